"""Keeping two runs in one repository from doing the same work at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from scaling_tasks.errors import printable
from scaling_tasks.files import open_own, open_regular

__all__ = ["exclusive", "is_free", "taken_if_free", "tell", "when_waiting"]

_LONGEST_HOLDER = 1000  # Of what a lock's file says of who holds it.

Notice = Callable[[str], None]
_notice: Notice | None = None


def when_waiting(notice: Notice | None) -> None:
    """Have ``notice`` called with one line whenever this process has to wait for another; None for standard error."""
    global _notice
    _notice = notice


@contextlib.contextmanager
def exclusive(path: Path, purpose: str = "", *, below: Path, moment: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on ``path``; waits for whoever holds it, and is released if the holder dies.

    Args:
        path: The lock's file, created where absent. It holds the process id and command of its last holder.
        purpose: What is done under the lock; whoever has to wait is told.
        below: What the lock lies below, see ``paths.directory_of``.
        moment: Nobody holds it for long, so that there is nothing to tell.

    Raises:
        OSError: It cannot be made, or is a link.
    """
    while True:
        # A descriptor of its own for each holder: flock excludes threads of one process as well as other processes.
        with _opened(path, below) as file:
            _acquire(file, purpose, moment)
            if not _is_still(file, path):
                continue  # Removed while we waited: whoever comes now would lock another file.
            _sign(file)
            yield
            return


def is_free(path: Path, *, below: Path) -> bool:
    """Return whether nobody holds the lock at this moment."""
    try:
        with open_regular(path, below=below) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:  # Held, or no lock of ours.
        return False
    return True


@contextlib.contextmanager
def taken_if_free(path: Path, *, below: Path) -> Iterator[bool]:
    """Hold the lock if nobody does; yields whether it is held."""
    with _opened(path, below) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield _is_still(file, path)


def _opened(path: Path, below: Path) -> IO[str]:
    """Open a lock's file, made where it is not there.

    Raises:
        OSError: It cannot be made, or is a link: what that leads to would be written.
    """
    return os.fdopen(open_own(path, os.O_RDWR, 0o666, below=below, make=True), "a+", errors="backslashreplace")


def _acquire(file: IO[str], purpose: str, moment: bool) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = printable(file.read(_LONGEST_HOLDER).strip())
        # Between units of one run there is nothing to tell: it is the run's own business.
        if holder and not moment and not holder.startswith(f"{os.getpid()} "):
            pid, _, command = holder.partition(" ")
            tell(f"waiting for process {pid} ({command})" + (f", which is {purpose}" if purpose else ""))
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_still(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _sign(file: IO[str]) -> None:
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()} {' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}\n")
        file.flush()


def tell(line: str) -> None:
    """Have whoever watches this process told that something takes longer than it might."""
    if _notice is not None:
        _notice(line)
    else:
        sys.stderr.write(line + "\n")
