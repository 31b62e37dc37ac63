"""The EXIF orientation: whether an image is shown with its sides exchanged."""

from __future__ import annotations

import struct
from struct import unpack_from

__all__ = ["MOST_EXIF_BYTES", "is_turned"]

MOST_EXIF_BYTES = 1 << 16
"""What a block is read of; JPEG allows no longer one, and the orientation stands at the beginning."""

_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})


def is_turned(tiff: bytes) -> bool:
    """Return whether the orientation in an EXIF block exchanges height and width (values 5 to 8).

    Args:
        tiff: The block from its byte order mark on. A damaged block counts as not turned, as decoders treat it.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    try:
        (directory,) = unpack_from(order + "I", tiff, 4)
        (count,) = unpack_from(order + "H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = unpack_from(order + "HH", tiff, entry)
            if tag == _ORIENTATION:
                value = unpack_from(order + ("H" if kind == 3 else "I"), tiff, entry + 8)[0]
                return value in _TURNED
    except struct.error:
        return False
    return False
