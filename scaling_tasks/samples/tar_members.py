"""Images in a tar file by their headers alone: nothing is extracted, and no name in it is ever a path."""

from __future__ import annotations

import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from scaling_tasks.samples.header_file import HEAD_BYTES, PartHeader
from scaling_tasks.samples.headers import Fault, measure
from scaling_tasks.samples.kinds import IMAGE_SUFFIXES

__all__ = ["Members", "read_members"]

_BLOCK = 512
# Of a long name or extended attributes, which stand before a member.
_LONGEST_EXTENSION = 1 << 20
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)


@dataclass
class Members:
    """The images of one tar file: names, bytes, heights and widths as for a directory."""

    names: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    heights: array[int] = field(default_factory=lambda: array("i"))
    widths: array[int] = field(default_factory=lambda: array("i"))

    def add(self, name: str, size: int, sides: tuple[int, int]) -> None:
        """Note one."""
        self.names.append(name.replace("\0", "\\0"))
        self.sizes.append(size)
        self.heights.append(sides[0])
        self.widths.append(sides[1])


def read_members(file: BinaryIO) -> Members:
    """Measure every image; other members, such as labels, are stepped over.

    From where the file is damaged or cut off, it is one entry that is no image.

    Raises:
        OSError: The file cannot be read.
    """
    found = Members()
    end = file.seek(0, 2)
    place = _Place()
    try:
        for name, start, size in _files(file, end, place):
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                found.add(name, size, _sides(file, start, min(size, end - start)))
    except (tarfile.TarError, ValueError, _DamagedError):
        found.add(f"(from byte {place.at} on)", 0, (0, int(Fault.CORRUPT)))
    return found


def _sides(file: BinaryIO, start: int, size: int) -> tuple[int, int]:
    def fetch(first: int, stop: int) -> bytes:
        file.seek(start + first)
        return file.read(stop - first)

    head = fetch(0, min(size, HEAD_BYTES))
    return measure(PartHeader(head, size, fetch), head)


@dataclass
class _Place:
    at: int = 0


class _DamagedError(Exception):
    """What follows cannot be told."""


def _files(file: BinaryIO, end: int, place: _Place) -> Iterator[tuple[str, int, int]]:
    """Yield name, place and size of every regular file."""
    said: dict[str, str] = {}
    while True:
        file.seek(place.at)
        block = file.read(_BLOCK)
        if place.at and not block.strip(b"\0"):
            return  # The mark of the end, or the end itself, which some writers leave unmarked.
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        start = place.at + _BLOCK
        size = int(said["size"]) if "size" in said else member.size
        if size < 0 or member.type == tarfile.GNUTYPE_SPARSE:
            raise _DamagedError
        carries = member.type in _FILES or member.type in _EXTENSIONS or member.type not in tarfile.SUPPORTED_TYPES
        if member.type in _EXTENSIONS or member.type == tarfile.GNUTYPE_LONGLINK:
            said = {**said, **_extension(file, start, member)} if member.type != tarfile.XGLTYPE else said
            size, carries = member.size, True
        else:
            if member.type in _FILES:
                yield said.get("path", member.name), start, size
            said = {}
        place.at = start + (-(-size // _BLOCK) * _BLOCK if carries else 0)
        if place.at > end:
            raise _DamagedError


def _extension(file: BinaryIO, start: int, member: tarfile.TarInfo) -> dict[str, str]:
    """Return what a block before a member says of it."""
    if member.size > _LONGEST_EXTENSION:
        raise _DamagedError
    file.seek(start)
    content = file.read(member.size)
    if member.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    said = {}
    while content.strip(b"\0"):
        length = content.partition(b" ")[0]
        if not (length.isdigit() and len(length) + 1 < int(length[:9]) <= len(content)):
            raise _DamagedError
        record = content[len(length) + 1 : int(length)].removesuffix(b"\n")
        key, _, value = record.partition(b"=")
        if key in (b"path", b"size"):
            said[key.decode()] = value.decode("utf-8", "surrogateescape")
        content = content[int(length) :]
    return said
