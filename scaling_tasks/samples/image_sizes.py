"""From the image cache's blocks to measurements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.samples.blocks import Block
from scaling_tasks.samples.headers import Fault
from scaling_tasks.samples.measurements import MOST_LISTED, Measurements
from scaling_tasks.shapes.signature import HEIGHT, WIDTH

__all__ = ["image_measurements"]

_REASONS = {
    Fault.NOT_AN_IMAGE: "not an image",
    Fault.CORRUPT: "its header is damaged",
    Fault.UNREADABLE: "cannot be read",
}


def image_measurements(blocks: Sequence[Block]) -> Measurements:
    """Return the sizes of all images, sorted, so that neither names nor places of the files matter."""
    sides = [np.frombuffer(block.measured(), dtype=np.int32).reshape(2, -1) for block in blocks]
    both = np.concatenate(sides, axis=1) if sides else np.zeros((2, 0), dtype=np.int32)
    heights, widths = both
    good = heights > 0
    faults = np.bincount(widths[~good], minlength=len(Fault) + 1)
    source = {"images": int(good.sum()), "skipped": int((~good).sum())}
    source |= {fault.name.lower(): int(faults[fault]) for fault in Fault if faults[fault]}
    return Measurements(
        "images",
        (HEIGHT, WIDTH),
        _sorted_pairs(heights[good], widths[good]),
        source=source,
        skipped=tuple(_first_skipped(blocks, sides)),
    )


def _sorted_pairs(heights: NDArray[np.int32], widths: NDArray[np.int32]) -> NDArray[np.int64]:
    keys = np.sort(heights.astype(np.int64) << 32 | widths)
    return np.column_stack([keys >> 32, keys & 0xFFFFFFFF])


def _first_skipped(blocks: Sequence[Block], sides: Iterable[NDArray[np.int32]]) -> list[str]:
    listed: list[str] = []
    for block, (heights, widths) in zip(blocks, sides, strict=True):
        places = np.flatnonzero(heights == 0)[: MOST_LISTED - len(listed)]
        if len(places):
            names = block.file_names()
            prefix = f"{block.path}/" if block.path else ""
            listed += [f"{prefix}{names[place]}: {_REASONS[Fault(int(widths[place]))]}" for place in places]
    return listed
