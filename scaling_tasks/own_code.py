"""What code this package is: a result that other code made is not taken for what this code would make."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from scaling_tasks.files import digest_bytes
from scaling_tasks.known_digests import known_digests

__all__ = ["code_of"]

_PACKAGE = Path(__file__).parent

_MOVES = {
    "__init__",
    "__main__",
    "action",
    "actions",
    "builds",
    "doit_plugin",
    "execution",
    "imports",
    "known_digests",
    "own_code",
    "serving",
    "store",
}
"""What has work done, keeps and shows results: none of it says what a result is."""

_SECOND = 1_000_000_000


def code_of(*parts: str) -> str:
    """Return the digest of the Python files of parts of this package, of all that results are made by if none is named.

    Args:
        parts: Rooms or modules at the top of the package, and modules of a room as ``room/module``.

    Raises:
        ValueError: There is no such part.
    """
    return _code_of(parts or _makers())


@functools.cache
def _code_of(parts: tuple[str, ...]) -> str:
    # Not where the package lies, which differs between machines.
    return digest_bytes("".join(f"{part} {_part(part)}\n" for part in sorted(parts)).encode())


@functools.cache
def _makers() -> tuple[str, ...]:
    with os.scandir(_PACKAGE) as entries:
        found = {entry.name.removesuffix(".py") for entry in entries if entry.is_dir() or entry.name.endswith(".py")}
    return tuple(sorted(found - _MOVES - {"__pycache__"}))


@functools.cache
def _part(part: str) -> str:
    """Return the digest of a part's files, read only where the file system says that one may have changed."""
    files = sorted(_files(part))
    if not files:
        raise ValueError(f"this package has no {part}")
    noted = f"code {part} {digest_bytes(repr(files).encode())}"
    known = known_digests().fact(noted)
    if known is None:
        contents = "".join(f"{name} {digest_bytes((_PACKAGE / name).read_bytes())}\n" for name, *_ in files)
        known = digest_bytes(contents.encode())
        newest = max(max(written, changed) for _, _, written, changed, _ in files)
        if time.time_ns() - newest > _SECOND and sorted(_files(part)) == files:  # Times are coarse.
            known_digests().note(noted, known)
    return str(known)


def _files(part: str) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield the name of each Python file of a part, its size, when it was written and changed, and its number."""
    module = _PACKAGE / f"{part}.py"
    if module.is_file():
        yield _state(f"{part}.py", module.stat())
        return
    pending = [part]
    while pending:
        directory = pending.pop()
        try:
            entries = os.scandir(_PACKAGE / directory)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                name = f"{directory}/{entry.name}"
                if entry.name.endswith(".py"):
                    yield _state(name, entry.stat())
                elif entry.is_dir() and entry.name != "__pycache__":
                    pending.append(name)


def _state(name: str, status: os.stat_result) -> tuple[str, int, int, int, int]:
    return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
