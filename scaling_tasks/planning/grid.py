"""The candidate buckets of several variables: every join of samples, laid out as a grid.

Shrinking a bucket to the coordinate-wise maximum (the join) of the samples it serves never makes it dearer, so some
optimum consists of joins; every join has its coordinates among the samples' coordinates.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import CostModel, cost_of

__all__ = ["CandidateGrid", "build_grid"]


@dataclass(frozen=True, eq=False)
class CandidateGrid:
    """Every combination of the samples' coordinates.

    Attributes:
        axes: Distinct coordinates per variable, ascending; m_1 … m_d of them.
        position: Where each sample lies on each axis, int64 [n, d].
        weights: Weight of each sample, float64 [n].
        costs: Cost of serving a sample by the cheapest candidate at or beyond each candidate, [m_1 … m_d];
            nondecreasing.
        own_costs: Cost of each candidate itself, [m_1 … m_d]; the same where the cost model is nondecreasing.
        outer_costs: Lower bound of what any shape costs that rounds up to the candidate; ``costs`` where nothing was
            thinned.
    """

    axes: tuple[NDArray[np.int64], ...]
    position: NDArray[np.int64]
    weights: NDArray[np.float64]
    costs: NDArray[np.float64]
    own_costs: NDArray[np.float64]
    outer_costs: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of candidates."""
        return self.costs.size

    @property
    def work(self) -> int:
        """Comparisons that one call of ``gains`` makes, about."""
        return int(self.size // self.costs.shape[-1] * len(self.weights))

    @property
    def thinned(self) -> bool:
        """Whether some joins are missing."""
        return self.outer_costs is not self.costs

    def shapes(self, flat: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the shapes of candidates given by flat index, int64 [len(flat), d]."""
        where = np.unravel_index(flat, self.costs.shape)
        return np.stack([axis[index] for axis, index in zip(self.axes, where, strict=True)], axis=1)

    def contained(self, flat: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each sample lies in each candidate, bool [n, len(flat)]."""
        where = np.unravel_index(flat, self.costs.shape)
        inside = np.ones((len(self.position), len(flat)), dtype=bool)
        for column, index in enumerate(where):
            inside &= self.position[:, column, None] <= index[None, :]
        return inside

    def join(self, rows: NDArray[np.int64]) -> int:
        """Return the flat index of the join of some samples."""
        return int(np.ravel_multi_index(tuple(self.position[rows].max(axis=0)), self.costs.shape))

    def attained(self, flat: int) -> int:
        """Return the first candidate at or beyond ``flat`` whose own cost is ``costs`` there."""
        where = np.unravel_index(flat, self.costs.shape)
        beyond = tuple(slice(int(index), None) for index in where)
        offset = np.unravel_index(int(self.own_costs[beyond].argmin()), self.own_costs[beyond].shape)
        return int(np.ravel_multi_index(tuple(a + b for a, b in zip(where, offset, strict=True)), self.costs.shape))

    def gains(self, limits: NDArray[np.float64], *, outer: bool = False) -> NDArray[np.float64]:
        """Return Σ w·max(0, limit - cost of candidate) over the samples in each candidate, flat float64 [size].

        One pass over the grid's lines along its last axis: on a line the candidates that serve sample i below its limit
        are an interval, so that two difference arrays give all sums at once.

        Args:
            limits: One value per sample, float64 [n].
            outer: Whether to use ``outer_costs``.
        """
        costs = (self.outer_costs if outer else self.costs).reshape(-1, self.costs.shape[-1])
        lines = np.ndindex(self.costs.shape[:-1])
        head, last = self.position[:, :-1], self.position[:, -1]
        width = costs.shape[1]
        result = np.zeros_like(costs)
        # Where samples come in order of their first coordinate, those of a line are among the first.
        ascending = bool((np.diff(head[:, 0]) >= 0).all())
        ends_at = np.searchsorted(head[:, 0], np.arange(self.costs.shape[0]), side="right")
        for row, line in enumerate(lines):
            stop = int(ends_at[line[0]]) if ascending else len(last)
            inside = costs[row][last[:stop]] < limits[:stop]
            for column, place in zip(head[:stop].T, line, strict=True):
                inside &= column <= place
            kept = np.flatnonzero(inside)
            if len(kept):
                low, limit, weight = last[kept], limits[kept], self.weights[kept]
                ends = np.concatenate([low, np.searchsorted(costs[row], limit)])
                mass = np.concatenate([weight, -weight])
                heavy = np.bincount(ends, mass, width + 1)[:-1].cumsum()
                total = np.bincount(ends, mass * np.concatenate([limit, limit]), width + 1)[:-1].cumsum()
                result[row] = total - costs[row] * heavy
        return result.ravel()


def build_grid(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most_candidates: int,
    top: Sequence[int] | None = None,
) -> CandidateGrid:
    """Return the candidate grid of distinct samples [n, d], and of ``top``, a shape that contains them all.

    Where the joins are more than ``most_candidates``, coordinates are thinned on the longest axes and
    samples round up to the next one that stays; ``outer_costs`` then still allows a proven bound.
    """
    axes = [np.unique(column) for column in (samples if top is None else np.vstack([samples, top])).T]
    kept = _thin(axes, samples, weights, most_candidates)
    position = np.stack([np.searchsorted(axis, column) for axis, column in zip(kept, samples.T, strict=True)], axis=1)
    own = _grid_costs(kept, model)
    costs = _closed(own)
    outer = costs
    if any(len(axis) < len(full) for axis, full in zip(kept, axes, strict=True)):
        # A shape that rounds up to a kept coordinate is at least one unit beyond the kept one before it.
        below = [_least_rounding_up(axis, full) for axis, full in zip(kept, axes, strict=True)]
        outer = _closed(np.minimum(_grid_costs(below, model), costs))
        position, weights = _merged(position, weights, own.shape)
    return CandidateGrid(tuple(kept), position, weights, costs, own, outer)


def _merged(
    position: NDArray[np.int64], weights: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Merge samples that rounded up to the same candidate."""
    flat, inverse = np.unique(np.ravel_multi_index(tuple(position.T), shape), return_inverse=True)
    mass: NDArray[np.float64] = np.zeros(len(flat))
    np.add.at(mass, inverse.ravel(), weights)
    return np.stack(np.unravel_index(flat, shape), axis=1), mass


def _closed(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    for axis in range(costs.ndim):
        costs = np.flip(np.minimum.accumulate(np.flip(costs, axis), axis=axis), axis)
    return np.ascontiguousarray(costs)


def _grid_costs(axes: Sequence[NDArray[np.int64]], model: CostModel) -> NDArray[np.float64]:
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return cost_of(model, mesh).reshape([len(axis) for axis in axes])


def _least_rounding_up(kept: NDArray[np.int64], full: NDArray[np.int64]) -> NDArray[np.int64]:
    before = np.concatenate([[-1], np.searchsorted(full, kept[:-1])])
    least: NDArray[np.int64] = full[before + 1]
    return least


def _thin(
    axes: Sequence[NDArray[np.int64]], samples: NDArray[np.int64], weights: NDArray[np.float64], most: int
) -> list[NDArray[np.int64]]:
    """Keep coordinates at equal shares of weight and range, and the largest; at most ``most`` points in all."""
    sizes = [len(axis) for axis in axes]
    while np.prod(sizes, dtype=np.float64) > most:
        longest = int(np.argmax(sizes))
        sizes[longest] = max(1, sizes[longest] * 9 // 10)
    kept = []
    for axis, size, column in zip(axes, sizes, samples.T, strict=True):
        # By range too: a rare large sample that rounds up far costs as much as many small ones.
        mass = np.bincount(np.searchsorted(axis, column), weights, len(axis)) * axis
        mass = (mass / mass.sum() + np.diff(axis, prepend=axis[0]) / max(1, axis[-1] - axis[0])).cumsum()
        marks = np.searchsorted(mass, mass[-1] * np.arange(1, size) / size)
        kept.append(axis if size == len(axis) else axis[np.unique([*itertools.chain(marks), len(axis) - 1])])
    return kept
