"""Sizes rounded up to multiples, and arrays padded to larger ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["padded_to", "round_up"]


def round_up(values: NDArray[np.integer], multiple: int) -> NDArray[np.int64]:
    """Return ``values`` raised to the next multiple of ``multiple`` (elementwise, same shape)."""
    return -(-np.asarray(values, dtype=np.int64) // multiple) * multiple


def padded_to(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return an array with zeros at its ends up to a shape."""
    widths = [(0, room - have) for have, room in zip(array.shape, shape, strict=True)]
    # numpy pads nothing that has no axes.
    return np.pad(array, widths) if widths else array
