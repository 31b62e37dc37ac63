"""Rounding sizes up to multiples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["round_up"]


def round_up(values: NDArray[np.integer], multiple: int) -> NDArray[np.int64]:
    """Return ``values`` raised to the next multiple of ``multiple`` (elementwise, same shape)."""
    return -(-np.asarray(values, dtype=np.int64) // multiple) * multiple
