"""The beginning of an image file, of which only so much is read whatever it says of itself."""

from __future__ import annotations

import os

__all__ = ["HEAD_BYTES", "MOST_HEADER_BYTES", "HeaderFile"]

HEAD_BYTES = 4096
"""What is read of every file, and at a time where more is needed."""
MOST_HEADER_BYTES = 1 << 20
"""What is read at most beyond that; a camera's previews and colour profiles are stepped over, not read."""

# A read of a few bytes is counted as so many, so that steps through a file are bounded too: to 16,384.
_LEAST_COUNTED = 64
_FURTHEST = (1 << 63) - 1 - MOST_HEADER_BYTES


class HeaderFile:
    """Reads at any place of an open file, and as a stream for a library that wants one, until the limit is reached.

    Args:
        descriptor: The open file.
    """

    __slots__ = ("_descriptor", "_left", "_position")

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._left, self._position = descriptor, MOST_HEADER_BYTES, 0

    def at(self, position: int, length: int = HEAD_BYTES) -> bytes:
        """Return ``length`` bytes from ``position`` on, fewer where the file ends.

        Raises:
            ValueError: As much as is read of a file has been read, or no file is that long.
            OSError: The file cannot be read.
        """
        if self._left <= 0 or not 0 <= position <= _FURTHEST:
            raise ValueError("no end of the header")
        found = os.pread(self._descriptor, max(0, min(length, self._left)), position)
        self._left -= max(len(found), _LEAST_COUNTED)
        return found

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as of a binary stream."""
        found = self.at(self._position, self._left if size < 0 else size)
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as in a binary stream."""
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._position = starts[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the place, as in a binary stream."""
        return self._position
