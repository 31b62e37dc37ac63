"""A bundle's directory that stays what it was when it was opened, whatever is published in its place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path, PosixPath

__all__ = ["hold"]


def hold(directory: Path) -> Path:
    """Return the directory as it is now: files found through it are of one generation, as long as the result lives.

    A publication gives the directory another name before it takes its place, and does not remove it while it is held.
    """
    while True:
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return directory  # Whoever reads it says best what is wrong with it.
        with contextlib.suppress(OSError):  # Not every file system has locks.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_nlink:
            return _HeldDirectory(directory, descriptor)
        os.close(descriptor)  # Removed in this moment: another stands in its place.


class _HeldDirectory(PosixPath):
    """The path of an open directory; what is found through it follows the directory when that gets another name."""

    _descriptor: int

    def __new__(cls, directory: Path, descriptor: int) -> _HeldDirectory:
        made = super().__new__(cls, directory)
        made._descriptor = descriptor
        weakref.finalize(made, os.close, descriptor)
        return made

    def __init__(self, directory: Path, descriptor: int) -> None:
        if PosixPath.__init__ is not object.__init__:  # From Python 3.12 on it takes the path.
            PosixPath.__init__(self, directory)  # type: ignore[call-arg]

    def with_segments(self, *segments: str | os.PathLike[str]) -> Path:
        """Return what is derived from it as a plain path."""
        return Path(*segments)

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:  # type: ignore[override]
        # Whatever name it has now, it may have another before a file in it is opened; engines open them in processes
        # of their own, too.
        here = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")
        return (here if here.is_dir() else Path(str(self))) / name

    def __reduce__(self) -> tuple[type[Path], tuple[str]]:
        return (Path, (str(self),))
