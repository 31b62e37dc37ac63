"""The size of HEIF and AVIF images: the properties of the primary item, its rotation applied (ISO/IEC 23008-12)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

from scaling_tasks.samples.header_file import MOST_HEADER_BYTES, HeaderFile

__all__ = ["iso_sides"]


def iso_sides(file: HeaderFile) -> tuple[int, int]:
    """Return the (height, width) in pixels as the image is shown.

    Raises:
        ValueError: No size is found, or boxes are damaged; IndexError and struct.error likewise.
    """
    meta = _find(file, b"meta")[4:]
    boxes = dict(_boxes(meta))
    properties = dict(_boxes(boxes.get(b"iprp", b"")))
    listed = list(_boxes(properties.get(b"ipco", b"")))
    primary = _primary(boxes.get(b"pitm", b""))
    own = [listed[index - 1] for index in _associated(properties.get(b"ipma", b""), primary) if index]
    # Where nothing is said on the primary item, the largest size is that of the whole image.
    sizes = [unpack_from(">II", body, 4) for kind, body in own or listed if kind == b"ispe"]
    if not sizes:
        raise ValueError("no image size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    quarters = sum(body[0] & 3 for kind, body in own if kind == b"irot")
    return (width, height) if quarters % 2 else (height, width)


def _find(file: HeaderFile, wanted: bytes) -> bytes:
    """Return the contents of a box at the top of the file."""
    position = 0
    while len(head := file.at(position, 16)) >= 8:
        length, kind = unpack_from(">I4s", head)
        start = 8
        if length == 1:
            (length,) = unpack_from(">Q", head, 8)
            start = 16
        if kind == wanted:
            return file.at(position + start, length - start if length else MOST_HEADER_BYTES)
        if length < start:
            break
        position += length
    raise ValueError("no description of the image")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes in a box."""
    position = 0
    while position + 8 <= len(content):
        length, kind = unpack_from(">I4s", content, position)
        if length == 0:
            length = len(content) - position
        if length < 8 or position + length > len(content):
            raise ValueError("a box is cut off")
        yield kind, content[position + 8 : position + length]
        position += length


def _primary(box: bytes) -> int | None:
    if not box:
        return None
    item: int = unpack_from(">H" if box[0] == 0 else ">I", box, 4)[0]
    return item


def _associated(box: bytes, wanted: int | None) -> list[int]:
    """Return the numbers of the properties of an item, counted from 1."""
    if not box or wanted is None:
        return []
    version, wide = box[0], bool(box[3] & 1)
    (entries,) = unpack_from(">I", box, 4)
    position = 8
    for _ in range(entries):
        (item,) = unpack_from(">H" if version < 1 else ">I", box, position)
        position += 2 if version < 1 else 4
        count = box[position]
        position += 1
        form, step = (">H", 2) if wide else (">B", 1)
        numbers = [unpack_from(form, box, position + step * index)[0] for index in range(count)]
        position += step * count
        if item == wanted:
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
    return []
