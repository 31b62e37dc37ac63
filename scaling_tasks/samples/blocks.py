"""The image cache's body: per directory its listing and the size of every file in it."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.samples.listing import Folder

__all__ = ["Block", "pack", "unpack"]

Buffer = bytes | memoryview
_Count = Annotated[int, Meta(ge=0, lt=1 << 48)]
Entry = tuple[int, int, int, int]  # size, change time, height, width


@dataclass(frozen=True)
class Block:
    """One directory's files and what was measured, as raw bytes.

    Attributes:
        path: Relative to the data set.
        listed: Fingerprint of the listing the block was made from, in the file system's order; an unchanged directory
            is listed in an unchanged order, so this saves sorting it. Empty where a file must be read again.
        fingerprint: The same in the order of names, for copies of the data set.
        count: Number of files, n.
        names: Names in byte order, separated by NUL.
        numbers: int64 [2, n] sizes and change times, then int32 [2, n] heights and widths; where a file gave no
            size the height is 0 and the width its `Fault`.
    """

    path: str
    listed: str
    fingerprint: str
    count: int
    names: Buffer
    numbers: Buffer

    @classmethod
    def of(cls, folder: Folder, listed: str, heights: array[int], widths: array[int]) -> Block:
        """Return the block of a directory, its files sorted by name, and their measured sizes (``array('i')``)."""
        names = os.fsencode("\0".join(folder.names))
        numbers = b"".join(part.tobytes() for part in (folder.sizes, folder.times, heights, widths))
        return cls(folder.path, listed, folder.fingerprint(), len(folder.names), names, numbers)

    def file_names(self) -> list[str]:
        """Return the names of the files."""
        return os.fsdecode(bytes(self.names)).split("\0")

    def columns(self) -> tuple[array[int], array[int], array[int], array[int]]:
        """Return sizes, times, heights and widths."""
        cuts = [0, 8, 16, 20, 24]
        pieces = [self.numbers[low * self.count : high * self.count] for low, high in pairwise(cuts)]
        sizes, times, heights, widths = (array(code, bytes(raw)) for code, raw in zip("qqii", pieces, strict=True))
        return sizes, times, heights, widths

    def measured(self) -> Buffer:
        """Return heights, then widths, int32 [2, n], as raw bytes."""
        return self.numbers[16 * self.count :]


def pack(blocks: Iterable[Block]) -> list[Buffer]:
    """Return the body of a cache file: the length of a JSON index, the index, then every block's bytes."""
    index: list[list[Any]] = []
    chunks: list[Buffer] = []
    for block in blocks:
        index.append([block.path, block.listed, block.fingerprint, block.count, len(block.names)])
        chunks += [block.names, block.numbers]
    # Escaped, as a path need not be valid Unicode.
    head = json.dumps(index, separators=(",", ":")).encode("ascii")
    return [len(head).to_bytes(8, "little"), head, *chunks]


def unpack(body: memoryview) -> list[Block] | None:
    """Return the blocks of a cache file's body, without copying them; None where it is none that this writes."""
    start = 8 + int.from_bytes(body[:8], "little")
    try:
        index = msgspec.convert(json.loads(bytes(body[8:start])), list[tuple[str, str, str, _Count, _Count]])
    except (ValueError, RecursionError):
        return None
    blocks = []
    for path, listed, mark, count, length in index:
        middle, end = start + length, start + length + 24 * count
        blocks.append(Block(path, listed, mark, count, body[start:middle], body[middle:end]))
        start = end
    return blocks if start == len(body) and all(map(_is_sound, blocks)) else None


def _is_sound(block: Block) -> bool:
    """Return whether there is a name for each file, and sides or a fault."""
    import numpy as np

    from scaling_tasks.samples.headers import Fault

    heights, widths = np.frombuffer(block.measured(), dtype=np.int32).reshape(2, -1)
    faults = widths[heights == 0]
    sound = heights.min(initial=0) >= 0 and widths.min(initial=1) >= 1 and faults.max(initial=0) <= max(Fault)
    return bool(sound) and bytes(block.names).count(b"\0") + 1 == max(block.count, 1)
