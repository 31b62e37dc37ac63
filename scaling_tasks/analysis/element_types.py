"""What becomes of numbers in an element type: they are rounded, and some it does not hold at all."""

from __future__ import annotations

import math

import numpy as np

from scaling_tasks.analysis.tensors import numpy_type

__all__ = ["FLOATS", "cast", "cast_bounds", "held_bounds", "held_by"]

_INT32, _INT64, _BOOL = 6, 7, 9
FLOATS = (1, 10, 11, 16)
_WHOLE = {
    2: (0, 8),
    3: (7, 7),
    4: (0, 16),
    5: (15, 15),
    6: (31, 31),
    7: (63, 63),
    9: (0, 1),
    12: (0, 32),
    13: (0, 64),
    21: (0, 4),
    22: (3, 3),
    25: (0, 2),
    26: (1, 1),
}
"""Bits of the types of whole numbers, below and above zero."""


def held_by(number: float, dtype: int) -> float | None:
    """Return a number as an element type rounds it; None where a type of whole numbers makes another one of it."""
    held = _rounded(number, dtype)
    return held if held == number or dtype not in _WHOLE else None


def _rounded(number: float, dtype: int) -> float:
    with np.errstate(all="ignore"):
        return float(np.asarray(number, np.float64).astype(numpy_type(dtype)))


def held_bounds(low: float, high: float, dtype: int) -> tuple[float, float]:
    """Return the bounds of what an element type makes of numbers within bounds.

    Floats are rounded, and infinite beyond the largest; whole numbers beyond an end go on at the other one.
    """
    if dtype in FLOATS:
        return _rounded(low, dtype), _rounded(high, dtype)
    least, most = _ends(dtype)
    # Sizes and counts are far from the ends of the widest two.
    known = [end for end in (low, high) if math.isfinite(end) or dtype not in (_INT32, _INT64)]
    return (low, high) if all(least <= end <= most for end in known) else (-math.inf, math.inf)


def _ends(dtype: int) -> tuple[float, float]:
    """Return the least and the largest number of a type of whole ones; nothing is within those of any other."""
    below, above = _WHOLE.get(dtype, (0, 0))
    return (-(2.0**below) if below else 0.0), 2.0**above - 1


def cast(number: float, dtype: int) -> float | None:
    """Return what Cast makes of a number, before the type rounds it; None where that cannot be told."""
    if dtype in FLOATS or number == 0:
        return number
    if dtype == _BOOL:
        return 1.0
    return float(math.trunc(number)) if dtype in _WHOLE and math.isfinite(number) else None


def cast_bounds(low: float, high: float, source: int, dtype: int, *, finite: bool) -> tuple[float, float]:
    """Return the bounds of what Cast makes of numbers of another type."""
    if dtype == _BOOL:
        return 0.0, 1.0
    if dtype in FLOATS:
        return low, high
    if dtype not in _WHOLE:
        return -math.inf, math.inf
    low, high = ((math.trunc(end) if math.isfinite(end) else end) for end in (low, high))
    least, most = _ends(dtype)
    if (finite and least <= low and high < most + 1) or (source not in FLOATS and dtype == _INT64):
        return low, high
    # The least one stands for what is no number, or too small for the wider types.
    return -math.inf, (high if dtype in (_INT32, _INT64) and high < most + 1 else math.inf)
