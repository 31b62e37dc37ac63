"""One pass over all candidates: what each earns at some limits, and how often each point is then served.

On a line of candidates along the last axis, those that serve a point below its limit are an interval. It begins at the
point and ends where the cost reaches the limit; on the next line it is shorter, as costs never fall, and once empty it
stays so. Two difference arrays a line therefore give all sums, and points leave for good: the work is a small part of
points times lines. Where numba is installed, large passes are compiled (``compiled``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.compiled import Kernels, find_kernels

__all__ = ["Passes", "make_passes"]

# Entries (points times candidates) of a table that is quicker than going line by line.
_TABLE = 400_000
# And from where on compiling takes less time than it saves.
_LARGE = 20_000_000
# Parts of a large pass per thread.
_PARTS = 4


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
    laid = _Laid.out(costs, position, weights)
    large = costs.size * len(position) >= _LARGE
    kernels = find_kernels(large=large)
    # A small pass is over before threads have begun.
    return _Lines(laid) if kernels is None else _Compiled(laid, kernels, len(os.sched_getaffinity(0)) if large else 1)


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


@dataclass(frozen=True, eq=False)
class _Laid:
    """Candidates as planes of lines along the longest axis, so that lines are few; points by their last but one place.

    Attributes:
        axes: The order in which the axes were put.
        shape: Extents in that order.
        planes: Costs, [planes, lines, places].
        outer: Where each plane lies on the axes before the last two, int64 [planes, d - 2].
        order: The order in which points were put.
        head: Where each point lies on the axes before the last two, int64 [n, d - 2].
        row: And on the last but one, ascending.
        column: And on the last.
        weights: Their weights.
    """

    axes: list[int]
    shape: tuple[int, ...]
    planes: NDArray[np.float64]
    outer: NDArray[np.int64]
    order: NDArray[np.int64]
    head: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def out(cls, costs: NDArray[np.float64], position: NDArray[np.int64], weights: NDArray[np.float64]) -> _Laid:
        axes = np.argsort(costs.shape, kind="stable").tolist()
        costs, position = np.ascontiguousarray(costs.transpose(axes)), position[:, axes]
        outer = np.indices(costs.shape[:-2] or (1,)).reshape(max(1, costs.ndim - 2), -1).T[:, : costs.ndim - 2]
        order = np.argsort(position[:, -2], kind="stable")
        ordered = position[order]
        return cls(
            axes, costs.shape, costs.reshape(-1, *costs.shape[-2:]), np.ascontiguousarray(outer), order,
            np.ascontiguousarray(ordered[:, :-2]), ordered[:, -2].copy(), ordered[:, -1].copy(), weights[order],
        )  # fmt: skip

    def flat(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a value per candidate of the planes in the order of the candidates."""
        back: NDArray[np.float64] = table.reshape(self.shape).transpose(np.argsort(self.axes)).ravel()
        return back

    def in_planes(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a value per candidate laid out as the planes are."""
        turned = [self.shape[axis] for axis in np.argsort(self.axes).tolist()]
        return np.ascontiguousarray(flat.reshape(turned).transpose(self.axes)).reshape(self.planes.shape)

    def by_point(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a value per point in the order that the points were given in."""
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def work(self, limits: NDArray[np.float64]) -> int:
        # Of some points, how many lines each stays on; and what a line costs by itself.
        some = np.unique(np.linspace(0, len(limits) - 1, 200).astype(np.int64))
        values = limits[self.order][some]
        lines: int = 0
        for head, row, column, value in zip(self.head[some], self.row[some], self.column[some], values, strict=True):
            beyond = np.all(self.outer >= head, axis=1)
            lines += int(np.count_nonzero(self.planes[beyond][:, row:, column] < value))
        return lines * len(limits) // len(some) + 700 * int(np.prod(self.shape[:-1]))


class _Lines:
    """Line by line, all points of a line at once."""

    def __init__(self, laid: _Laid) -> None:
        self._laid = laid

    def gains(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        laid, values = self._laid, limits[self._laid.order]
        heavy = laid.weights * values
        result = np.zeros_like(laid.planes)
        width = laid.shape[-1] + 1
        for plane, rows in self._inside(values):
            for line, active, first, last in self._lines(plane, rows, values):
                ends = np.concatenate([first, last])
                mass, total = laid.weights[active], heavy[active]
                count = np.bincount(ends, np.concatenate([mass, -mass]), width)[:-1].cumsum()
                worth = np.bincount(ends, np.concatenate([total, -total]), width)[:-1].cumsum()
                result[plane, line] = worth - laid.planes[plane, line] * count
        return laid.flat(result)

    def served(self, limits: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        laid, values = self._laid, limits[self._laid.order]
        taken = laid.in_planes(shares)
        sums = np.zeros(len(values))
        for plane, rows in self._inside(values):
            if not taken[plane].any():
                continue
            before = np.concatenate([np.zeros((taken.shape[1], 1)), taken[plane].cumsum(axis=1)], axis=1)
            for line, active, first, last in self._lines(plane, rows, values):
                sums[active] += before[line][last] - before[line][first]
        return laid.by_point(sums)

    def work(self, limits: NDArray[np.float64]) -> int:
        return self._laid.work(limits)

    def _inside(self, values: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each plane with the points that some candidate in it serves below their limits."""
        laid = self._laid
        for plane, outer in enumerate(laid.outer):
            inside = laid.planes[plane][laid.row, laid.column] < values
            for column, place in zip(laid.head.T, outer, strict=True):
                inside &= column <= place
            rows = np.flatnonzero(inside)
            if len(rows):
                yield plane, rows

    def _lines(
        self, plane: int, rows: NDArray[np.int64], values: NDArray[np.float64]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield each line of a plane with the points served on it and the ends of their intervals."""
        laid, table = self._laid, self._laid.planes[plane]
        starts = np.searchsorted(laid.row[rows], np.arange(len(table) + 1))
        active = rows[:0]
        for line, costs in enumerate(table):
            if starts[line + 1] > starts[line]:
                active = np.concatenate([active, rows[starts[line] : starts[line + 1]]])
            if len(active):
                active = active[costs[laid.column[active]] < values[active]]
            if len(active):
                yield line, active, laid.column[active], np.searchsorted(costs, values[active])


class _Compiled:
    """The same sums in the same order by compiled kernels, parts of them at the same time.

    What a candidate earns is of its plane alone, and how often a point is served of that point: no sum depends on how
    many parts there are.
    """

    def __init__(self, laid: _Laid, kernels: Kernels, threads: int) -> None:
        self._laid, self._kernels, self._threads = laid, kernels, threads

    def gains(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        laid, result = self._laid, np.zeros_like(self._laid.planes)
        points = (laid.head, laid.row, laid.column, laid.weights, limits[laid.order])

        def part(some: slice) -> None:
            self._kernels.gains(laid.planes[some], laid.outer[some], *points, result[some])

        self._in_parts(part, len(laid.planes))
        return laid.flat(result)

    def served(self, limits: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        laid, sums, values = self._laid, np.zeros(len(self._laid.weights)), limits[self._laid.order]
        taken = laid.in_planes(shares)

        def part(some: slice) -> None:
            points = (laid.head[some], laid.row[some], laid.column[some], values[some])
            self._kernels.served(laid.planes, laid.outer, *points, taken, sums[some])

        self._in_parts(part, len(sums))
        return laid.by_point(sums)

    def work(self, limits: NDArray[np.float64]) -> int:
        return self._laid.work(limits)

    def _in_parts(self, part: Callable[[slice], None], count: int) -> None:
        # More parts than threads, since the first ones are more work than the last or the other way round.
        parts = 1 if self._threads == 1 else min(count, _PARTS * self._threads)
        ends = (np.arange(parts + 1) * count // parts).tolist()
        if parts == 1:
            part(slice(0, count))
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(part, map(slice, ends[:-1], ends[1:])))
