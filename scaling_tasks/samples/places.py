"""Where a data set is: a path on this machine, or a URL of a store that fsspec speaks to."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scaling_tasks.files import open_regular
from scaling_tasks.known_digests import STATE

if TYPE_CHECKING:
    from scaling_tasks.samples.remote import Remote

__all__ = ["RangeFile", "is_derived", "is_url", "local_path", "open_data", "summary_path"]

_HERE = "file://"
_READ_AHEAD = 4 << 20


def is_url(path: str) -> bool:
    """Return whether a data set is elsewhere."""
    return "://" in path and not path.startswith(_HERE)


def local_path(path: str) -> Path:
    """Return the path of what is on this machine, written as one or as a ``file://`` URL."""
    return Path(path.removeprefix(_HERE))


def summary_path(cache_path: Path) -> Path:
    """Return where a scan writes its summary: beside the cache, with the suffix ``.json``."""
    return cache_path.with_suffix(".json")


def is_derived(cache_path: Path) -> bool:
    """Return whether a cache lies where this tool keeps such; another place is the caller's, with all there is."""
    return STATE.name in cache_path.parts


def open_data(path: str, read_ahead: int = _READ_AHEAD) -> BinaryIO:
    """Open a file here or elsewhere for reading.

    Args:
        path: Its path or URL.
        read_ahead: Bytes asked for at once of a file elsewhere.

    Raises:
        DatasetError: What the URL needs is not installed.
        OSError: It cannot be read.
    """
    if not is_url(path):
        return open_regular(local_path(path))
    from scaling_tasks.samples.remote import Remote

    remote = Remote(path)
    return io.BufferedReader(RangeFile(remote, remote.root, remote.entry(remote.root).size), read_ahead)


class RangeFile(io.RawIOBase):
    """A file elsewhere as a stream: each read asks for just that range.

    Args:
        remote: The store.
        path: The file's path there.
        size: Its bytes.
    """

    def __init__(self, remote: Remote, path: str, size: int) -> None:
        super().__init__()
        self._remote, self._path, self._size = remote, path, size
        self._position = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """Read on into a buffer; return the number of bytes."""
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        found = self._remote.read(self._path, self._position, end)
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)
