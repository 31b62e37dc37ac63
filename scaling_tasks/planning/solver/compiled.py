"""The passes over candidates as loops for numba: where it is installed, large instances take a fifth of the time.

The loops add the same numbers in the same order as the passes without it (``passes``), so a plan and its bound do not
depend on whether numba is there, to the last bit.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kernels", "add_gains", "add_served", "find_kernels"]

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Kernels:
    """The loops, compiled.

    Attributes:
        gains: See `add_gains`.
        served: See `add_served`.
    """

    gains: Callable[..., None]
    served: Callable[..., None]


def find_kernels(*, large: bool) -> Kernels | None:
    """Return the compiled loops; None without numba, or where they are to be compiled for what is not large."""
    return _kernels() if large or _kernels.cache_info().currsize else None


@functools.cache
def _kernels() -> Kernels | None:
    if importlib.util.find_spec("numba") is None:
        return None
    import numba

    compile_loop = numba.njit(nogil=True)
    return Kernels(compile_loop(add_gains), compile_loop(add_served))


def add_gains(
    planes: Numbers, outer: Places, head: Places, row: Places, column: Places, weights: Numbers, limits: Numbers,
    result: Numbers,
) -> None:  # fmt: skip
    """Set ``result`` [planes, lines, places] to Σ w·max(0, limit - cost) over the points in each candidate.

    A point is on a line's list while the cheapest candidate there serves it below its limit; where that ends on the
    line only ever moves back from one line to the next.
    """
    count, width = len(row), planes.shape[2]
    active, last = np.empty(count, np.int64), np.empty(count, np.int64)
    mass, worth = np.empty(width + 1), np.empty(width + 1)
    for plane in range(planes.shape[0]):
        listed, following = 0, 0
        for line in range(planes.shape[1]):
            costs = planes[plane, line]
            while following < count and row[following] == line:
                inside = costs[column[following]] < limits[following]
                for axis in range(outer.shape[1]):
                    inside = inside and head[following, axis] <= outer[plane, axis]
                if inside:
                    active[listed], last[listed] = following, width
                    listed += 1
                following += 1
            mass[:], worth[:] = 0.0, 0.0
            kept = 0
            for place in range(listed):
                point = active[place]
                limit, begin, end = limits[point], column[point], last[place]
                if costs[begin] < limit:
                    while costs[end - 1] >= limit:
                        end -= 1
                    active[kept], last[kept] = point, end
                    kept += 1
                    mass[begin] += weights[point]
                    worth[begin] += weights[point] * limit
            listed = kept
            # All that begins is added before all that ends is taken away, as without numba.
            for place in range(listed):
                point = active[place]
                mass[last[place]] -= weights[point]
                worth[last[place]] -= weights[point] * limits[point]
            if listed:
                heavy, total = 0.0, 0.0
                for place in range(width):
                    heavy += mass[place]
                    total += worth[place]
                    result[plane, line, place] = total - costs[place] * heavy


def add_served(
    planes: Numbers, outer: Places, head: Places, row: Places, column: Places, limits: Numbers, shares: Numbers,
    result: Numbers,
) -> None:  # fmt: skip
    """Add to ``result`` [n] the Σ share over the candidates that contain each point and cost less than its limit."""
    count, width = len(row), planes.shape[2]
    active, last = np.empty(count, np.int64), np.empty(count, np.int64)
    before = np.zeros(width + 1)
    for plane in range(planes.shape[0]):
        if not shares[plane].any():
            continue
        listed, following = 0, 0
        for line in range(planes.shape[1]):
            costs = planes[plane, line]
            while following < count and row[following] == line:
                inside = costs[column[following]] < limits[following]
                for axis in range(outer.shape[1]):
                    inside = inside and head[following, axis] <= outer[plane, axis]
                if inside:
                    active[listed], last[listed] = following, width
                    listed += 1
                following += 1
            for place in range(width):
                before[place + 1] = before[place] + shares[plane, line, place]
            if before[width] == 0.0:
                continue
            kept = 0
            for place in range(listed):
                point = active[place]
                limit, begin, end = limits[point], column[point], last[place]
                if costs[begin] < limit:
                    while costs[end - 1] >= limit:
                        end -= 1
                    active[kept], last[kept] = point, end
                    kept += 1
                    result[point] += before[end] - before[begin]
            listed = kept
