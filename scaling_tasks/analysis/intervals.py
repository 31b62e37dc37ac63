"""Bounds of what elementwise operators give, from the bounds of what they are given; truth values are 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

__all__ = ["COMBINED", "EVERYTHING", "Interval", "truth"]

Interval = tuple[float, float]
EVERYTHING: Interval = (-math.inf, math.inf)


def truth(interval: Interval) -> Interval:
    """Return the bounds of numbers as truth values."""
    if interval == (0.0, 0.0):
        return interval
    return (1.0, 1.0) if interval[0] > 0 or interval[1] < 0 else (0.0, 1.0)


def _added(ends: Sequence[Interval]) -> Interval:
    low, high = (sum(end[side] for end in ends) for side in (0, 1))
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def _multiplied(ends: Sequence[Interval]) -> Interval:
    low, high = ends[0]
    for other in ends[1:]:
        corners = [left * right for left in (low, high) for right in other]
        if any(math.isnan(corner) for corner in corners):
            return EVERYTHING
        low, high = min(corners), max(corners)
    return low, high


def _chosen(ends: Sequence[Interval]) -> Interval:
    condition, yes, no = ends
    if condition == (1.0, 1.0):
        return yes
    return no if condition == (0.0, 0.0) else (min(yes[0], no[0]), max(yes[1], no[1]))


def _equal(ends: Sequence[Interval]) -> Interval:
    (low, high), (other, end) = ends
    if high < other or end < low:
        return 0.0, 0.0
    return (1.0, 1.0) if low == high == other == end else (0.0, 1.0)


def _less(ends: Sequence[Interval], *, strictly: bool) -> Interval:
    (low, high), (other, end) = ends
    if high < other or (high == other and not strictly):
        return 1.0, 1.0
    return (0.0, 0.0) if low > end or (low == end and strictly) else (0.0, 1.0)


COMBINED: dict[str, Callable[[Sequence[Interval]], Interval]] = {
    "Add": _added,
    "Sub": lambda ends: _added([ends[0], (-ends[1][1], -ends[1][0])]),
    "Mul": _multiplied,
    "Where": _chosen,
    "And": lambda ends: (min(low for low, _ in ends), min(high for _, high in ends)),
    "Or": lambda ends: (max(low for low, _ in ends), max(high for _, high in ends)),
    "Not": lambda ends: (1.0 - ends[0][1], 1.0 - ends[0][0]),
    "Neg": lambda ends: (-ends[0][1], -ends[0][0]),
    "Equal": _equal,
    "Less": lambda ends: _less(ends, strictly=True),
    "LessOrEqual": lambda ends: _less(ends, strictly=False),
    "Greater": lambda ends: _less([ends[1], ends[0]], strictly=True),
    "GreaterOrEqual": lambda ends: _less([ends[1], ends[0]], strictly=False),
}
"""What an operator makes of the bounds of its inputs, in order."""
