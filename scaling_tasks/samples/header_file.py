"""The beginning of an image file, of which only so much is read whatever it says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["HEAD_BYTES", "MOST_HEADER_BYTES", "HeaderFile", "OpenHeader", "PartHeader"]

HEAD_BYTES = 4096
"""What is read of every file, and at a time where more is needed."""
MOST_HEADER_BYTES = 1 << 20
"""What is read at most beyond that; a camera's previews and colour profiles are stepped over, not read."""

# A read of a few bytes is counted as so many, so that steps through a file are bounded too: to 16,384.
_LEAST_COUNTED = 64
_FURTHEST = (1 << 63) - 1 - MOST_HEADER_BYTES


class HeaderFile:
    """Reads at any place of a file, and as a stream for a library that wants one, until the limit is reached."""

    __slots__ = ("_left", "_position")

    def __init__(self) -> None:
        self._left, self._position = MOST_HEADER_BYTES, 0

    def at(self, position: int, length: int = HEAD_BYTES) -> bytes:
        """Return ``length`` bytes from ``position`` on, fewer where the file ends.

        Raises:
            ValueError: As much as is read of a file has been read, or no file is that long.
            OSError: The file cannot be read.
        """
        if self._left <= 0 or not 0 <= position <= _FURTHEST:
            raise ValueError("no end of the header")
        found = self._part(max(0, min(length, self._left)), position)
        self._left -= max(len(found), _LEAST_COUNTED)
        return found

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as of a binary stream."""
        found = self.at(self._position, self._left if size < 0 else size)
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as in a binary stream."""
        start = self._end() if whence == os.SEEK_END else self._position if whence == os.SEEK_CUR else 0
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the place, as in a binary stream."""
        return self._position

    def _part(self, length: int, position: int) -> bytes:
        raise NotImplementedError

    def _end(self) -> int:
        raise NotImplementedError


class OpenHeader(HeaderFile):
    """Of an open file.

    Args:
        descriptor: The file's.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def _part(self, length: int, position: int) -> bytes:
        return os.pread(self._descriptor, length, position)

    def _end(self) -> int:
        return os.fstat(self._descriptor).st_size


class PartHeader(HeaderFile):
    """Of what has no descriptor of its own: a file elsewhere, or within another.

    Args:
        head: Its first bytes.
        size: All its bytes.
        fetch: Reads it from one place to another.
    """

    __slots__ = ("_fetch", "_head", "_size")

    def __init__(self, head: bytes, size: int, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._head, self._size, self._fetch = head, size, fetch

    def _part(self, length: int, position: int) -> bytes:
        end = min(position + length, self._size)
        if end <= max(position, len(self._head)):
            return self._head[position:end]
        return self._fetch(position, end)

    def _end(self) -> int:
        return self._size
