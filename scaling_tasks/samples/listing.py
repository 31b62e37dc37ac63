"""One pass over an image folder: names, sizes and modification times, without opening a file.

Standard library only: the plugin calls this on every run to see whether the data set is still what the cache says.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_ISREG

from scaling_tasks.errors import DatasetError

__all__ = ["UNTRUSTED", "Folder", "fingerprint", "walk"]

UNTRUSTED = -1  # stands for a modification time that must not be believed: the file is read again next time


@dataclass(frozen=True)
class Folder:
    """The files directly in one directory, in byte order of their names.

    Attributes:
        path: Relative to the data set, ``""`` for the data set itself.
        names: File names.
        sizes: Bytes per file, ``array('q')``; -1 where there is no regular file behind the name.
        times: Modification times in nanoseconds, ``array('q')``.
    """

    path: str
    names: list[str]
    sizes: array[int]
    times: array[int]

    @property
    def fingerprint(self) -> bytes:
        """A digest of everything above."""
        return fingerprint(self.path, self.names, self.sizes, self.times)


def fingerprint(path: str, names: list[str], sizes: array[int], times: array[int]) -> bytes:
    """Return the digest by which two listings of one directory are compared, 16 bytes."""
    digest = hashlib.blake2b(os.fsencode("\0".join([path, *names])), digest_size=16)
    digest.update(sizes.tobytes())
    digest.update(times.tobytes())
    return digest.digest()


def walk(root: str) -> Iterator[Folder]:
    """Yield every directory below ``root`` that holds files, in byte order of their paths.

    Names beginning with a dot are left out. Links are followed; one that leads back to a directory it lies in is not.

    Raises:
        DatasetError: A directory cannot be listed.
    """
    pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    while pending:
        path, above = pending.pop()
        files, folders, here = _list(root, path, above)
        if files:
            names, sizes, times = zip(*files, strict=True)
            yield Folder(path, list(names), array("q", sizes), array("q", times))
        pending += [(folder, here) for folder in sorted(folders, reverse=True)]


_Entry = tuple[str, int, int]
_Inodes = tuple[tuple[int, int], ...]


def _list(root: str, path: str, above: _Inodes) -> tuple[list[_Entry], list[str], _Inodes]:
    directory = os.path.join(root, path) if path else root  # noqa: PTH118 - pathlib costs more than the listing
    files: list[_Entry] = []
    folders: list[str] = []
    linked: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                if entry.is_dir():
                    (linked if entry.is_symlink() else folders).append(f"{path}/{name}" if path else name)
                else:
                    files.append(_measure(entry))
        here = (*above, _inode(directory))
        folders += [name for name in linked if _inode(os.path.join(root, name)) not in here]  # noqa: PTH118
    except OSError as cause:
        raise DatasetError(
            f"cannot be listed ({cause.strerror})", where=directory, fix="Check dataset.path and its permissions."
        ) from cause
    files.sort()
    return files, folders, here


def _measure(entry: os.DirEntry[str]) -> _Entry:
    try:
        status = entry.stat()
    except OSError:
        return entry.name, -1, 0
    if not S_ISREG(status.st_mode):
        return entry.name, -1, 0
    return entry.name, status.st_size, status.st_mtime_ns


def _inode(directory: str) -> tuple[int, int]:
    status = os.stat(directory)  # noqa: PTH116
    return status.st_dev, status.st_ino
