"""Names that hold no path, and paths that neither a name nor a link leads out of the directory they belong to."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["directory_of", "enclosed", "entries", "files_below", "inside", "is_below", "is_inner_name", "is_plain_name"]

_LONGEST_NAME = 128
_NOT_PLAIN = frozenset("/\\*?[]")
_NO_STEPS = frozenset(("", ".", ".."))
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def is_plain_name(name: str, most: int = _LONGEST_NAME) -> bool:
    """Return whether ``name`` is one visible component of a path, so that no directory is left or entered by it.

    It is no pattern either, and has room for endings: it has at most so many bytes.
    """
    if name[:1] in ("", ".") or not name.isprintable() or not _NOT_PLAIN.isdisjoint(name):
        return False
    return len(name.encode("utf-8", "replace")) <= most


def is_inner_name(name: str) -> bool:
    """Return whether ``name`` is a relative path in its only spelling that stays below where it starts."""
    return "\0" not in name and _NO_STEPS.isdisjoint(name.split("/"))


def is_below(name: str) -> bool:
    """Return whether a path leads only downwards; what lies there may still be a link to elsewhere.

    Caches of models keep every file as a link to a store of contents.
    """
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def inside(root: Path, name: str) -> Path:
    """Return the path below a directory that a name is for; there may be nothing yet.

    Raises:
        OSError: It is no name of a file below the directory, or see ``enclosed``.
    """
    if not is_inner_name(name):
        raise _refused(errno.EINVAL, "its name leads elsewhere", root / name)
    return enclosed(root / name, root)


def enclosed(path: Path, below: Path) -> Path:
    """Return the path of what is no link, and has none on its way from ``below`` on; there may be nothing yet.

    Raises:
        OSError: It is one, or has, or does not lie below.
    """
    with contextlib.suppress(FileNotFoundError), directory_of(path, below) as (directory, name):
        if stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return path


@contextlib.contextmanager
def directory_of(path: Path, below: Path, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the directory in which a file lies or is to lie, step by step from ``below`` on, no link being followed.

    The way to ``below`` may be any: it is the user's, who may keep what is there on another disk. What is done by the
    descriptor is done in this directory, whatever becomes of its name meanwhile.

    Args:
        path: The file.
        below: A directory that ``path`` begins with.
        make: Whether directories that are not there are made.

    Yields:
        The directory's descriptor, and the file's name in it.

    Raises:
        OSError: There is none, a link is on the way, or the path does not lie below.
    """
    *steps, name = _steps(path, below)
    if make:
        below.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(below, _DIRECTORY)
    try:
        for step in steps:
            descriptor = _entered(descriptor, step, make)
        yield descriptor, name
    except OSError as cause:
        if cause.errno == errno.ELOOP:
            raise _refused(errno.ELOOP, "it is a link, which may lead elsewhere", path) from cause
        if cause.filename in (None, name, *steps):  # A full disk names nothing, a descriptor's file is named alone.
            cause.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def entries(directory: Path, below: Path) -> list[Path]:
    """Return what lies in a directory, sorted; nothing where there is none, or where it is found by a link alone."""
    try:
        with directory_of(directory / "any", below) as (descriptor, _):
            return [directory / name for name in sorted(os.listdir(descriptor))]  # noqa: PTH208 - no path
    except OSError:
        return []


def files_below(directory: Path, below: Path) -> list[Path]:
    """Return the files in a directory and in those below it, sorted; links count as files and are not followed."""
    found: list[Path] = []
    with contextlib.suppress(OSError), directory_of(directory / "any", below) as (descriptor, _):
        for place, inner, names, opened in os.fwalk(".", dir_fd=descriptor):
            links = [name for name in inner if stat.S_ISLNK(os.lstat(name, dir_fd=opened).st_mode)]
            found += [directory / place / name for name in (*names, *links)]
    return sorted(found)


def _steps(path: Path, below: Path) -> tuple[str, ...]:
    """Return the names that lead from a directory to a path.

    Raises:
        OSError: None do.
    """
    parts = path.relative_to(below).parts if path.is_relative_to(below) else ()
    if not parts or ".." in parts or "\0" in str(path):
        raise _refused(errno.EINVAL, f"it does not lie below {below}", path)
    return parts


def _entered(directory: int, step: str, make: bool) -> int:
    """Return the directory of that name in an open one, which is closed.

    Raises:
        OSError: There is none, or it is a link.
    """
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(step, dir_fd=directory)
    try:
        inner = os.open(step, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:
        if stat.S_ISLNK(os.lstat(step, dir_fd=directory).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise
    os.close(directory)
    return inner


def _refused(number: int, why: str, path: Path) -> OSError:
    return OSError(number, why, str(path))
