"""Which part of a changed directory is still as the cache has it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from scaling_tasks.samples.blocks import Block, Entry
from scaling_tasks.samples.listing import Folder

__all__ = ["Recalled", "recall"]

_STRETCH = 4096


@dataclass(frozen=True)
class Recalled:
    """A directory cut into an unchanged beginning, a middle, and an unchanged end.

    One file more or less among hundreds of thousands leaves nearly all of them in the ends, which are compared and
    copied without a step per file.

    Attributes:
        middle: The files between.
        known: What the cache has in place of the middle, by name, as far as it can still hold.
        heights: Of the beginning and of the end.
        widths: The same.
    """

    middle: Folder
    known: dict[str, Entry]
    heights: tuple[array[int], array[int]]
    widths: tuple[array[int], array[int]]


def recall(folder: Folder, block: Block | None) -> Recalled:
    """Compare a directory, sorted by name, with its block in the cache."""
    if block is None:
        empty = (array("i"), array("i"))
        return Recalled(folder, {}, empty, empty)
    names, (sizes, times, heights, widths) = block.file_names(), block.columns()
    new: list[Sequence[object]] = [folder.names, folder.sizes, folder.times]
    old: list[Sequence[object]] = [names, sizes, times]
    most = min(len(folder.names), block.count)
    before = _common(new, old, most)
    after = _common([column[::-1] for column in new], [column[::-1] for column in old], most - before)
    stop = block.count - after
    middle = folder.part(before, len(folder.names) - after)
    present = set(middle.times)  # a row of another time is of no use, and after a fresh checkout all are
    rows = zip(sizes[before:stop], times[before:stop], heights[before:stop], widths[before:stop], strict=True)
    known = {name: row for name, row in zip(names[before:stop], rows, strict=True) if row[1] in present}
    return Recalled(middle, known, (heights[:before], heights[stop:]), (widths[:before], widths[stop:]))


def _common(left: Sequence[Sequence[object]], right: Sequence[Sequence[object]], most: int) -> int:
    """Return how many rows agree from the first on, at most ``most``."""
    start = 0
    while start < most:
        stop = min(start + _STRETCH, most)
        if any(one[start:stop] != other[start:stop] for one, other in zip(left, right, strict=True)):
            break
        start = stop
    while start < most and all(one[start] == other[start] for one, other in zip(left, right, strict=True)):
        start += 1
    return start
