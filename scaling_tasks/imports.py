"""The files that importing a module reads and that are worked on, found out without importing it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from scaling_tasks.errors import ConfigError
from scaling_tasks.known_digests import known_digests

__all__ = ["OwnModules", "imported_beside", "own_modules"]

_OURS = "scaling_tasks"
_INSTALLED = {"site-packages", "dist-packages"}
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)

_MOST_BYTES = 1 << 24  # of Python that somebody wrote


class OwnModules(NamedTuple):
    """What importing a module reads of somebody's own.

    Attributes:
        files: The files, sorted.
        roots: The directory that each package or module is found in, by its first name.
    """

    files: list[Path]
    roots: Mapping[str, Path]


def own_modules(module: str) -> OwnModules:
    """Return what importing ``module`` from the current directory would read of somebody's own.

    Followed are import statements wherever they stand, in functions too, to modules below the current directory and to
    those that Python is told to find elsewhere without their being installed: by ``PYTHONPATH``, or by an editable
    installation. What is installed is left out, and so is this package, even where it lies here.
    """
    return _followed(module, _root)


def imported_beside(module: str, root: Path) -> list[Path]:
    """Return the files below ``root`` that importing ``module`` from there reads; none where that is installed."""
    if _is_installed(root):
        return []
    return _followed(module, lambda name: None if name == _OURS else root).files


def _followed(module: str, root_of: Callable[[str], Path | None]) -> OwnModules:
    found: set[Path] = set()
    looked: dict[str, Path | None] = {}
    roots: dict[str, Path] = {}
    pending = [module]
    seen = set(pending)
    while pending:
        parts = pending.pop().split(".")
        name = parts[0]
        if name not in looked:
            looked[name] = root_of(name)
        if (root := looked[name]) is None:
            continue
        for file in _files(root, parts):
            roots[name] = root
            if file not in found:
                found.add(file)
                new = [each for each in _known_imports(file, root) if each not in seen]
                seen.update(new)
                pending += new
    return OwnModules(sorted(found), roots)


def _root(name: str) -> Path | None:
    """Return the directory in which a top-level package or module lies, None where nobody works on it."""
    if name == _OURS or name in sys.stdlib_module_names:
        return None
    here = Path(name)
    if any(file.is_file() for file in _candidates(here)):
        return Path()
    spec = None
    with contextlib.suppress(ImportError, ValueError):  # Its finder is broken, or it is a module that was made up.
        spec = importlib.util.find_spec(name)
    if spec is None or not spec.has_location:
        # As Python has it: a package without a file of its own is what a name means where it means nothing else.
        places = [Path(place) for place in (spec.submodule_search_locations if spec else None) or ()]
        places = [Path(name)] if here.is_dir() else places
    else:
        assert spec.origin is not None
        places = [Path(spec.origin).parent if spec.submodule_search_locations is not None else Path(spec.origin)]
    root = next((place.parent for place in places if not _is_installed(place)), None)
    return None if root is None or not root.is_dir() else _from_here(root)


def _from_here(root: Path) -> Path:
    whole, here = root.resolve(), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def _is_installed(place: Path) -> bool:
    whole = place.absolute()
    return bool(_INSTALLED & {*whole.parts}) or any(whole.is_relative_to(own) for own in _of_python())


@functools.cache
def _of_python() -> tuple[str, ...]:
    return sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")


def _candidates(place: Path) -> Iterator[Path]:
    yield from (place / f"__init__{suffix}" for suffix in _SUFFIXES)
    yield from (place.with_name(f"{place.name}{suffix}") for suffix in _SUFFIXES)


def _files(root: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the file of a module and those of the packages around it, as far as they lie below its root."""
    for count in range(1, len(parts) + 1):
        yield from (file for file in _candidates(root.joinpath(*parts[:count])) if file.is_file())


def _known_imports(file: Path, root: Path) -> list[str]:
    """Return a file's imports, read out of it only when it has changed.

    Raises:
        ConfigError: It is so large that it is no module.
    """
    if file.suffix != ".py":
        return []
    if file.stat().st_size > _MOST_BYTES:
        what = f"{file} is larger than {_MOST_BYTES} bytes"
        raise ConfigError(what, where="verify.metric", fix="Put a module in its place.")
    inner = file.relative_to(root)
    noted = f"imports {inner.as_posix()} {known_digests().digest(file)}"
    found: list[str] | None = known_digests().fact(noted)
    if found is None:
        found = sorted(set(_imports(file, inner.parent.parts)))
        known_digests().note(noted, found)
    return found


def _imports(file: Path, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the modules that the import statements of a package's file may mean; a broken file imports nothing."""
    import ast

    try:
        statements = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # Nested too deeply.
        return
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names if alias.name != "*")
