"""Image sizes from the first bytes of a file, without decoding it."""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from struct import unpack_from

from scaling_tasks.samples.exif import MOST_EXIF_BYTES, is_turned
from scaling_tasks.samples.header_file import HEAD_BYTES, HeaderFile, OpenHeader
from scaling_tasks.samples.iso_media import iso_sides
from scaling_tasks.samples.limits import LARGEST_SIZE

__all__ = ["UNREADABLE", "Fault", "measure", "probe"]

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_LAST = frozenset({0xD9, 0xDA})
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ISO_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


class Fault(IntEnum):
    """Why a file gave no size."""

    NOT_AN_IMAGE = 1
    CORRUPT = 2
    UNREADABLE = 3


def probe(path: str) -> tuple[int, int]:
    """Return the (height, width) in pixels of the image at ``path`` as it is shown, its orientation applied.

    Where the file gives no size: (0, its `Fault`). Plain numbers, as millions of files pass through here.

    Only the header is read (4 KiB; up to `MOST_HEADER_BYTES` where metadata stand before the size), so an image whose
    pixels are truncated still has a size. One with a side above `LARGEST_SIZE` counts as corrupt. JPEG, PNG, GIF, BMP
    and WebP are read here because one read and a few byte comparisons are several times faster than a general library;
    AVIF and HEIF because their turns count; TIFF, JPEG 2000 and Netpbm by `imagesize`.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return UNREADABLE
    try:
        return measure(OpenHeader(descriptor), os.read(descriptor, HEAD_BYTES))
    except OSError:
        return UNREADABLE
    finally:
        os.close(descriptor)


def measure(file: HeaderFile, head: bytes) -> tuple[int, int]:
    """Return what `probe` does, of a file whose first `HEAD_BYTES` are at hand."""
    try:
        size = _size(file, head)
    except _NotAnImageError:
        return _NOT_AN_IMAGE
    except OSError:
        return UNREADABLE
    except (struct.error, ValueError, IndexError):
        return _CORRUPT
    return size if 0 < size[0] <= LARGEST_SIZE and 0 < size[1] <= LARGEST_SIZE else _CORRUPT


# A pipe that took the place of a file since it was listed must not block.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_NOT_AN_IMAGE = 0, int(Fault.NOT_AN_IMAGE)
_CORRUPT = 0, int(Fault.CORRUPT)
UNREADABLE = 0, int(Fault.UNREADABLE)


class _NotAnImageError(Exception):
    """The first bytes belong to no image format."""


def _size(file: HeaderFile, head: bytes) -> tuple[int, int]:
    if head[:3] == b"\xff\xd8\xff":
        return _jpeg(file, head)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(file, head)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        width, height = unpack_from("<HH", head, 6)
        return height, width
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(file, head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return _bmp(head)
    if _is_rare(head):
        return _rare(file)
    if _is_iso(head):
        return iso_sides(file)
    raise _NotAnImageError


def _shown(height: int, width: int, turned: bool) -> tuple[int, int]:
    return (width, height) if turned else (height, width)


def _jpeg(file: HeaderFile, head: bytes) -> tuple[int, int]:
    """Walk the segments up to the first frame header; only an Exif segment before it is looked into."""
    buffer, base, position, turned = head, 0, 2, False
    while True:
        at = position - base
        if at + 9 > len(buffer):
            buffer, base, at = file.at(position), position, 0
        if buffer[at] != 0xFF:
            raise ValueError("no marker")
        marker = buffer[at + 1]
        if marker == 0xFF:
            # To the last of them, which the marker follows.
            position += len(buffer) - at - len(buffer[at + 1 :].lstrip(b"\xff")) - 1
        elif marker in _JPEG_SIZES:
            height, width = unpack_from(">HH", buffer, at + 5)
            return _shown(height, width, turned)
        elif marker in _JPEG_BARE:
            position += 2
        elif marker in _JPEG_LAST:
            raise ValueError("no frame header")
        else:
            (length,) = unpack_from(">H", buffer, at + 2)
            if length < 2:
                raise ValueError("a segment without a length")
            if marker == 0xE1 and not turned and buffer[at + 4 : at + 8] == b"Exif":
                turned = _jpeg_turned(file, buffer, base, position + 10, length - 8)
            position += 2 + length


def _jpeg_turned(file: HeaderFile, buffer: bytes, base: int, position: int, length: int) -> bool:
    start = position - base
    whole = start + length <= len(buffer)
    return is_turned(buffer[start : start + length] if whole else file.at(position, length))


def _png(file: HeaderFile, head: bytes) -> tuple[int, int]:
    """Read IHDR, then look for an eXIf chunk before the pixels."""
    if head[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk")
    width, height = unpack_from(">II", head, 16)
    buffer, base, position = head, 0, 33
    while True:
        at = position - base
        if at + 8 > len(buffer):
            buffer, base, at = file.at(position), position, 0
        kind = buffer[at + 4 : at + 8]
        if kind in (b"IDAT", b"IEND") or len(kind) < 4:
            return height, width
        (length,) = unpack_from(">I", buffer, at)
        if kind == b"eXIf":
            return _shown(height, width, is_turned(file.at(position + 8, min(length, MOST_EXIF_BYTES))))
        position += 12 + length


def _bmp(head: bytes) -> tuple[int, int]:
    (header,) = unpack_from("<I", head, 14)
    if header == 12:
        width, height = unpack_from("<HH", head, 18)
        return height, width
    width, height = unpack_from("<ii", head, 18)
    return abs(height), width  # a negative height only says that rows run from top to bottom


def _webp(file: HeaderFile, head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(head[24:27], "little")
        height = 1 + int.from_bytes(head[27:30], "little")
        has_exif = bool(head[20] & 0x08)
        return _shown(height, width, has_exif and _webp_turned(file))
    if kind == b"VP8L":
        (bits,) = unpack_from("<I", head, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = unpack_from("<HH", head, 26)
        return height & 0x3FFF, width & 0x3FFF
    raise ValueError("no picture chunk")


def _webp_turned(file: HeaderFile) -> bool:
    position = 12
    while len(chunk := file.at(position, 8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            payload = file.at(position + 8, min(length, MOST_EXIF_BYTES))
            return is_turned(payload.removeprefix(b"Exif\0\0"))
        position += 8 + length + (length & 1)
    return False


def _is_rare(head: bytes) -> bool:
    netpbm = head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()
    jpeg2000 = head[4:8] == b"jP  "
    return head[:4] in _TIFF or netpbm or jpeg2000


def _is_iso(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _ISO_BRANDS


def _rare(file: HeaderFile) -> tuple[int, int]:
    import imagesize

    # It answers -1 whatever a damaged file makes its parsers raise.
    width, height = imagesize.get(file)
    return height, width
