"""What a toolkit's compiler loads besides its launcher, digested for the cache key.

Left out is what the operating system brings, and what is not a library: operator packages are known by their versions.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from scaling_tasks.engines.lite_python import search_directory
from scaling_tasks.errors import CompileError
from scaling_tasks.files import digest_bytes
from scaling_tasks.known_digests import known_digests

__all__ = ["library_digest", "toolkit_identity"]

_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")
_LIBRARY = re.compile(r".*\.so(\.\d+)*")
_VERSIONS = ("version.info", "version.cfg", "version.txt", ".commit_id")
_BESIDE = ("../lib", "../lib64")
_PARTS = re.compile(r"ASCEND\w*_(HOME|PATH)|TOOLCHAIN_HOME|(MS)?LITE_HOME")
_LOADER_SECONDS = 30.0
_TREE = 4


def toolkit_identity(name: str, launcher: Path) -> dict[str, str]:
    """Return digests of a launcher, of the libraries and plugins it would load now, and of its toolkit's versions.

    Args:
        name: What the compiler is called.
        launcher: The program, or a script that starts one called alike in the same directory (``atc``, ``atc.bin``).

    Raises:
        CompileError: One of the files cannot be read.
    """
    program = launcher.resolve()
    programs = [program, *sorted(program.parent.glob(f"{program.name}.*"))]
    loaded = {library for each in programs for library in _loaded(each)}
    places = {library.parent for library in loaded} | {(program.parent / place).resolve() for place in _BESIDE}
    # What is opened by name while it runs is looked for where the needed libraries are.
    places |= {Path(place).resolve() for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if place}
    plugins = (file for place in places if not _of_system(place) for file in _libraries(place))
    parts = {
        name: _digest(programs),
        f"{name} libraries": _digest([*loaded, *plugins]),
        f"{name} versions": _digest(_version_files(program)),
    }
    return {part: digest for part, digest in parts.items() if digest}


def library_digest(directory: Path) -> str:
    """Return one digest of all libraries below a directory; empty where there are none."""
    return _digest(file for file in directory.rglob("*.so*") if _LIBRARY.fullmatch(file.name))


def _loaded(program: Path) -> Iterator[Path]:
    """Yield what the loader finds for a program now, by its own account; nothing for a script."""
    try:
        done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=_LOADER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return
    for found in re.findall(r"=> (/.+?) \(0x", done.stdout):
        if not _of_system(path := Path(found).resolve()):
            yield path


def _libraries(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (file.resolve() for file in directory.iterdir() if _LIBRARY.fullmatch(file.name))


def _of_system(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _SYSTEM)


def _version_files(program: Path) -> Iterator[Path]:
    """Yield the notes of versions around a program, and in the other parts that the environment names."""
    around = [place for place in program.parents[:_TREE] if place != Path(place.anchor)]
    named = [Path(value) for variable, value in os.environ.items() if _PARTS.fullmatch(variable) and value]
    for place in [*around, *(place for part in named for place in (part, part.parent))]:
        for note in _VERSIONS:
            yield from (path.resolve() for path in (place / note, *place.glob(f"*/{note}")))


def _digest(files: Iterable[Path]) -> str:
    """Return one digest of files by name and content, wherever they lie; empty where there are none."""
    known = known_digests(search_directory())
    try:
        contents = sorted(f"{file.name} {known.digest(file)}\n" for file in {*files} if file.is_file())
    except OSError as cause:
        raise CompileError(f"cannot be read ({cause.strerror})", where=str(cause.filename)) from cause
    return digest_bytes("".join(contents).encode()) if contents else ""
