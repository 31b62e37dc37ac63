"""One pass over all candidates: what each earns at some limits, and how often each point is then served.

On a line of candidates along the last axis, those that serve a point below its limit are an interval. It begins at the
point and ends where the cost reaches the limit; on the next line it is shorter, as costs never fall, and once empty it
stays so. Two difference arrays a line therefore give all sums, and points leave for good: the work is a small part of
points times lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Passes", "make_passes"]

# Entries (points times candidates) of a table that is quicker than going line by line.
_TABLE = 400_000


class Passes(Protocol):
    """Passes over candidates for fixed points, weights and costs."""

    def gains(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Σ w·max(0, limit - cost) over the points in each candidate, flat float64 [candidates]."""
        ...

    def served(self, limits: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Σ share over the candidates that contain each point and cost less than its limit, float64 [n].

        Args:
            limits: One value per point, float64 [n].
            shares: By how much each candidate is taken, flat float64 [candidates].
        """
        ...

    def work(self, limits: NDArray[np.float64]) -> int:
        """Return about how many comparisons a pass over the candidates is at these limits."""
        ...


def make_passes(costs: NDArray[np.float64], position: NDArray[np.int64], weights: NDArray[np.float64]) -> Passes:
    """Return passes over the candidates ``costs`` [m_1 … m_d], nondecreasing, d ≥ 2, for points at ``position``."""
    if costs.size * len(position) <= _TABLE:
        return _Table(costs, position, weights)
    return _Lines(costs, position, weights)


class _Table:
    """Few points and candidates: everything at once."""

    def __init__(self, costs: NDArray[np.float64], position: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        where = np.unravel_index(np.arange(costs.size), costs.shape)
        inside = np.ones((len(position), costs.size), dtype=bool)
        for column, index in enumerate(where):
            inside &= position[:, column, None] <= index[None, :]
        self._costs, self._weights = np.where(inside, costs.ravel()[None, :], np.inf), weights

    def gains(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        # Not a matrix product: a threaded one adds in an order that depends on the machine.
        found: NDArray[np.float64] = np.einsum("i,ij->j", self._weights, np.maximum(limits[:, None] - self._costs, 0))
        return found

    def served(self, limits: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        taken = np.flatnonzero(shares)
        found: NDArray[np.float64] = np.einsum(
            "ij,j->i", (self._costs[:, taken] < limits[:, None]).astype(np.float64), shares[taken]
        )
        return found

    def work(self, limits: NDArray[np.float64]) -> int:
        return int(self._costs.size) // 4


class _Lines:
    """Line by line, the points in order of their last coordinate but one."""

    def __init__(self, costs: NDArray[np.float64], position: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        # Lines are along the longest axis, so that they are few.
        self._axes = np.argsort(costs.shape, kind="stable").tolist()
        costs, position = np.ascontiguousarray(costs.transpose(self._axes)), position[:, self._axes]
        self._shape = costs.shape
        self._planes = costs.reshape(-1, *costs.shape[-2:])
        self._outer = np.indices(costs.shape[:-2] or (1,)).reshape(max(1, costs.ndim - 2), -1).T
        self._order = np.argsort(position[:, -2], kind="stable")
        ordered = position[self._order]
        self._head, self._row, self._column = ordered[:, :-2], ordered[:, -2].copy(), ordered[:, -1].copy()
        self._weights = weights[self._order]

    def gains(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        values = limits[self._order]
        heavy = self._weights * values
        result = np.zeros_like(self._planes)
        width = self._shape[-1] + 1
        for plane, rows in self._inside(values):
            for line, active, first, last in self._lines(plane, rows, values):
                ends = np.concatenate([first, last])
                mass, total = self._weights[active], heavy[active]
                count = np.bincount(ends, np.concatenate([mass, -mass]), width)[:-1].cumsum()
                worth = np.bincount(ends, np.concatenate([total, -total]), width)[:-1].cumsum()
                result[plane, line] = worth - self._planes[plane, line] * count
        back: NDArray[np.float64] = result.reshape(self._shape).transpose(np.argsort(self._axes)).ravel()
        return back

    def served(self, limits: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        values = limits[self._order]
        turned = [self._shape[axis] for axis in np.argsort(self._axes).tolist()]
        taken = shares.reshape(turned).transpose(self._axes).reshape(self._planes.shape)
        sums = np.zeros(len(values))
        for plane, rows in self._inside(values):
            if not taken[plane].any():
                continue
            before = np.concatenate([np.zeros((taken.shape[1], 1)), taken[plane].cumsum(axis=1)], axis=1)
            for line, active, first, last in self._lines(plane, rows, values):
                sums[active] += before[line][last] - before[line][first]
        result = np.empty_like(sums)
        result[self._order] = sums
        return result

    def work(self, limits: NDArray[np.float64]) -> int:
        # Of some points, how many lines each stays on; and what a line costs by itself.
        some = np.unique(np.linspace(0, len(limits) - 1, 200).astype(np.int64))
        values = limits[self._order][some]
        lines: int = 0
        for head, row, column, value in zip(self._head[some], self._row[some], self._column[some], values, strict=True):
            beyond = np.all(self._outer[:, : len(head)] >= head, axis=1)
            lines += int(np.count_nonzero(self._planes[beyond][:, row:, column] < value))
        return lines * len(limits) // len(some) + 700 * int(np.prod(self._shape[:-1]))

    def _inside(self, values: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each plane with the points that some candidate in it serves below their limits."""
        for plane, outer in enumerate(self._outer):
            inside = self._planes[plane][self._row, self._column] < values
            for column, place in zip(self._head.T, outer, strict=False):
                inside &= column <= place
            rows = np.flatnonzero(inside)
            if len(rows):
                yield plane, rows

    def _lines(
        self, plane: int, rows: NDArray[np.int64], values: NDArray[np.float64]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield each line of a plane with the points served on it and the ends of their intervals."""
        table = self._planes[plane]
        starts = np.searchsorted(self._row[rows], np.arange(len(table) + 1))
        active = rows[:0]
        for line, costs in enumerate(table):
            if starts[line + 1] > starts[line]:
                active = np.concatenate([active, rows[starts[line] : starts[line + 1]]])
            if len(active):
                active = active[costs[self._column[active]] < values[active]]
            if len(active):
                yield line, active, self._column[active], np.searchsorted(costs, values[active])
