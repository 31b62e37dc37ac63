"""Publishing a directory by one rename: whoever opens it finds all of the new generation or all of the old one.

The new generation is made beside the directory and the two exchange their names. A process that has the old one open
keeps it, under the lock that ``held`` takes, for as long as it likes; it is removed by the next publication after that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.files import digest_bytes, link_or_copy, publish, put_aside, reflink, remove_whole
from scaling_tasks.paths import enclosed, entries, opened

__all__ = ["publish_generation", "while_it_stays"]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def while_it_stays(directory: Path, state: Path) -> AbstractContextManager[None]:
    """Hold a directory against others who do, a moment: what is put into it is in no generation that goes meanwhile.

    Args:
        directory: Where generations are published.
        state: The directory for locks.
    """
    name = digest_bytes(os.fsencode(directory))
    return exclusive(state / "locks" / f"publication-{name}", below=state, moment=True)


def publish_generation(directory: Path, files: Mapping[str, Path], former: Collection[str], last: str) -> None:
    """Have ``directory`` hold these files in place of the former ones; everything else in it stays.

    Where its file system cannot exchange two names, as for a mounted directory, file after file is replaced instead.

    Args:
        directory: What to publish; made where it is not there.
        files: Where each file lies now, by its name in the directory.
        former: Names of the files that the last publication put there.
        last: The file that makes the others a whole.

    Raises:
        OSError: The directory or its parent cannot be written, or it is a link.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    enclosed(directory, directory.parent)
    for name in files:
        if (directory / name).is_dir() and not (directory / name).is_symlink():
            put_aside(directory / name, below=directory.parent)
    gone = {name for name in former if name not in files}
    fresh = directory.with_name(f".{directory.name}.{secrets.token_hex(6)}")
    try:
        fresh.mkdir()
        _fill(fresh, files)
        _carry_files(directory, fresh, {*files, *gone})
        if not directory.exists():
            fresh.rename(directory)
        elif _exchange(fresh, directory):
            _carry_directories(fresh, directory)
        else:
            _replace(directory, files, gone, last)
    finally:
        _sweep(directory)


def _fill(fresh: Path, files: Mapping[str, Path]) -> None:
    for name, source in files.items():
        if not reflink(source, fresh / name):
            link_or_copy(source, fresh / name)
        _flush(fresh / name)
    _flush(fresh)


def _flush(path: Path) -> None:
    """Have a file or directory on the disk before its generation gets its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _carry_files(directory: Path, fresh: Path, ours: Collection[str]) -> None:
    for path in entries(directory, directory.parent):
        if path.name not in ours and not path.name.startswith(".") and (path.is_file() or path.is_symlink()):
            if path.is_symlink():
                (fresh / path.name).symlink_to(path.readlink())
            else:
                link_or_copy(path, fresh / path.name)


def _carry_directories(old: Path, directory: Path) -> None:
    with opened(old, old.parent) as source, opened(directory, directory.parent) as target:
        for name in os.listdir(source):  # noqa: PTH208 - no path
            with contextlib.suppress(FileNotFoundError):  # Somebody's own, who took it away.
                if stat.S_ISDIR(os.lstat(name, dir_fd=source).st_mode):
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)


def _exchange(one: Path, other: Path) -> bool:
    """Have two paths exchange what they name, in one step; return whether that is possible here."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)


def _replace(directory: Path, files: Mapping[str, Path], gone: Collection[str], last: str) -> None:
    for name in sorted(files, key=lambda name: name == last):
        with publish(directory / name, below=directory.parent, durable=True, derived=True) as temporary:
            link_or_copy(files[name], temporary)
    for name in gone:
        remove_whole(directory / name, directory.parent)


def _sweep(directory: Path) -> None:
    """Remove the generations that nobody holds any more."""
    former = re.compile(re.escape(f".{directory.name}.") + "[0-9a-f]{12}")
    for path in entries(directory.parent, directory.parent):
        if former.fullmatch(path.name):
            with contextlib.suppress(OSError), _alone(path):
                remove_whole(path, directory.parent)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a directory that nobody else holds.

    Raises:
        OSError: Somebody does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
