"""One pass over an image folder: names, sizes and change times, without opening a file.

Standard library only: the plugin calls this on every run to see whether the data set is still what the cache says.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from stat import S_IFDIR, S_IFMT, S_IFREG

from scaling_tasks.errors import DatasetError

__all__ = ["UNTRUSTED", "Folder", "walk"]

UNTRUSTED = -1  # stands for a change time that must not be believed: the file is read again next time

# Times are kept in 64 bits of nanoseconds, and from the year 2262 on wrap around.
_HALF, _WHOLE = 1 << 63, 1 << 64
_KIND = S_IFMT(0o177777)
"""The bits of a mode that say what kind of file it is."""


@dataclass
class Folder:
    """The files directly in one directory.

    Attributes:
        path: Relative to the data set, ``""`` for the data set itself.
        names: File names, in the order in which the file system lists them until `sort` is called.
        sizes: Bytes per file, ``array('q')``; -1 where there is no regular file behind the name.
        times: Change times (``st_ctime``, which no tool can set back) in nanoseconds, ``array('q')``.
    """

    path: str
    names: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))

    def fingerprint(self) -> str:
        """Return a digest of everything above, in the present order."""
        digest = hashlib.blake2b(os.fsencode("\0".join([self.path, *self.names])), digest_size=16)
        digest.update(self.sizes.tobytes())
        digest.update(self.times.tobytes())
        return digest.hexdigest()

    def part(self, start: int, stop: int) -> Folder:
        """Return some of the files."""
        return Folder(self.path, self.names[start:stop], self.sizes[start:stop], self.times[start:stop])

    def sort(self) -> None:
        """Put the files in the order of their names."""
        if len(self.names) > 1:
            # One call per column: half the time of a step per file in a directory of hundreds of thousands.
            ordered = itemgetter(*sorted(range(len(self.names)), key=self.names.__getitem__))
            self.names = list(ordered(self.names))
            self.sizes, self.times = array("q", ordered(self.sizes)), array("q", ordered(self.times))


def walk(root: str) -> Iterator[Folder]:
    """Yield every directory below ``root`` that holds files; each directory before what is in it, neighbours by name.

    Names beginning with a dot are left out. Links are followed; a directory that several ways lead to is listed once,
    so that no links between directories can make the listing endless.

    Raises:
        DatasetError: A directory cannot be listed.
    """
    pending = [""]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder = Folder(pending.pop())
        inside = _list(root, folder, seen)
        if folder.names:
            yield folder
        pending += sorted(inside, reverse=True)


def _list(root: str, folder: Folder, seen: set[tuple[int, int]]) -> list[str]:
    """Fill ``folder`` unless it has been seen; return the directories in it."""
    directory = os.path.join(root, folder.path) if folder.path else root  # noqa: PTH118 - pathlib costs too much here
    try:
        status = os.stat(directory)  # noqa: PTH116
        here = (status.st_dev, status.st_ino)
        if here in seen:
            return []
        seen.add(here)
        with os.scandir(directory) as entries:
            inside = _take(entries, folder)
    except OSError as cause:
        raise DatasetError(
            f"cannot be listed ({cause.strerror})", where=directory, fix="Check dataset.path and its permissions."
        ) from cause
    return [f"{folder.path}/{name}" for name in inside] if folder.path else inside


def _take(entries: Iterable[os.DirEntry[str]], folder: Folder) -> list[str]:
    """Note the files in ``folder``; return the names of the directories to go into."""
    # Millions of times where nothing has changed: nothing is called or looked up here that need not be.
    directories: list[str] = []
    add_name, add_size, add_time = folder.names.append, folder.sizes.append, folder.times.append
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        try:
            status = entry.stat()
        except OSError:
            size, when = -1, 0
        else:
            kind = status.st_mode & _KIND
            if kind == S_IFREG:
                size, when = status.st_size, status.st_ctime_ns
            elif kind == S_IFDIR:
                directories.append(name)
                continue
            else:
                size, when = -1, 0
        add_name(name)
        add_size(size)
        try:
            add_time(when)
        except OverflowError:
            add_time((when + _HALF) % _WHOLE - _HALF)
    return directories
