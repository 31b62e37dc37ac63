"""The files of a repository that importing a module reads, found out without importing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling_tasks.errors import ConfigError
from scaling_tasks.known_digests import known_digests

__all__ = ["imported_files"]

_OURS = "scaling_tasks"


_MOST_BYTES = 1 << 24  # of Python that somebody wrote


def imported_files(module: str) -> list[Path]:
    """Return the files below the current directory that importing ``module`` from it would read, sorted.

    Followed are import statements wherever they stand, in functions too; what is installed is left out, and so is this
    package, even where it lies here.
    """
    found: dict[Path, None] = {}
    pending = [module]
    seen = set(pending)
    while pending:
        for file in _files(pending.pop()):
            if file not in found:
                found[file] = None
                new = [name for name in _known_imports(file) if name not in seen and name.split(".")[0] != _OURS]
                seen.update(new)
                pending += new
    return sorted(found)


def _files(module: str) -> Iterator[Path]:
    """Yield the file of a module and those of the packages around it, as far as they lie here."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = Path(*parts[:count])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file


def _known_imports(file: Path) -> list[str]:
    """Return a file's imports, read out of it only when it has changed.

    Raises:
        ConfigError: It is so large that it is no module.
    """
    if file.stat().st_size > _MOST_BYTES:
        what = f"{file} is larger than {_MOST_BYTES} bytes"
        raise ConfigError(what, where="verify.metric", fix="Put a module in its place.")
    noted = f"imports {file.as_posix()} {known_digests().digest(file)}"
    found: list[str] | None = known_digests().fact(noted)
    if found is None:
        found = sorted(set(_imports(file)))
        known_digests().note(noted, found)
    return found


def _imports(file: Path) -> Iterator[str]:
    """Yield the modules that a file's import statements may mean; a broken file imports nothing."""
    import ast

    try:
        statements = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # Nested too deeply.
        return
    package = file.parent.parts
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names if alias.name != "*")
