"""The candidates of several dimensions: every join of points, laid out as a grid.

Shrinking a candidate to the join (coordinate-wise maximum) of the points it serves never makes it dearer where the
cost never falls, so some optimum consists of joins; every join has its coordinates among the points' coordinates.
Where the cost falls, the caller names the other coordinates (``Problem.axes``), and each candidate serves at the cost
of the cheapest one at or beyond it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.problem import Function, Problem

__all__ = ["Candidates", "equal_steps", "lay_candidates", "lay_on", "thin_axis"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every combination of some coordinates, and the points that are to be served.

    Attributes:
        axes: Coordinates per dimension, ascending; m_1 … m_d of them.
        position: Where each point lies on each axis, int64 [n, d].
        weights: Weight of each point, float64 [n].
        costs: Cost of serving a point by the cheapest candidate at or beyond each candidate, [m_1 … m_d];
            nondecreasing.
        own_costs: Cost of each candidate itself; the same where the cost never falls.
        prices: What having each candidate costs, [m_1 … m_d].
        forced: Candidates that must be chosen, flat indices.
        most: Largest number of candidates to choose.
        thinned: Whether some joins are missing, so that points round up to those that are there.
        outer: Whether ``costs`` are lower bounds of what any shape costs that rounds up to a candidate.
    """

    axes: tuple[NDArray[np.int64], ...]
    position: NDArray[np.int64]
    weights: NDArray[np.float64]
    costs: NDArray[np.float64]
    own_costs: NDArray[np.float64]
    prices: NDArray[np.float64]
    forced: tuple[int, ...]
    most: int
    thinned: bool = False
    outer: bool = False

    @property
    def size(self) -> int:
        """Number of candidates."""
        return self.costs.size

    @property
    def last(self) -> int:
        """The candidate that contains every point, a flat index."""
        return self.size - 1

    def shapes(self, flat: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the coordinates of candidates given by flat index, int64 [len(flat), d]."""
        where = np.unravel_index(np.asarray(flat, dtype=np.int64), self.costs.shape)
        return np.stack([axis[index] for axis, index in zip(self.axes, where, strict=True)], axis=1)

    def located(self, shapes: NDArray[np.int64]) -> list[int]:
        """Return the largest candidate in each shape [k, d], flat indices; shapes that hold none are left out."""
        index = [
            np.searchsorted(axis, column, side="right") - 1 for axis, column in zip(self.axes, shapes.T, strict=True)
        ]
        inside = np.all(np.stack(index, axis=1) >= 0, axis=1)
        found = np.ravel_multi_index(tuple(column[inside] for column in index), self.costs.shape)
        return list(dict.fromkeys(found.tolist()))

    def contained(self, flat: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each point lies in each candidate, bool [n, len(flat)]."""
        where = np.unravel_index(flat, self.costs.shape)
        inside = np.ones((len(self.position), len(flat)), dtype=bool)
        for column, index in enumerate(where):
            inside &= self.position[:, column, None] <= index[None, :]
        return inside

    def served(self, chosen: Sequence[int]) -> NDArray[np.float64]:
        """Return the least cost of each point among the chosen, infinite where none contains it, float64 [n]."""
        flat = np.asarray(chosen, dtype=np.int64)
        least = np.full(len(self.position), np.inf)
        for index in flat.tolist():
            corner = np.unravel_index(index, self.costs.shape)
            inside = np.ones(len(self.position), dtype=bool)
            for column, end in zip(self.position.T, corner, strict=True):
                inside &= column <= end
            np.minimum(least, self.costs.ravel()[index], out=least, where=inside)
        return least

    def total(self, chosen: Sequence[int]) -> float:
        """Return Σ weight·cost plus prices, infinite where a point is not served."""
        return float((self.weights * self.served(chosen)).sum() + self.prices.ravel()[list(chosen)].sum())

    def join(self, rows: NDArray[np.int64]) -> int:
        """Return the flat index of the join of some points."""
        return int(np.ravel_multi_index(tuple(self.position[rows].max(axis=0)), self.costs.shape))

    def attained(self, flat: int) -> int:
        """Return the first candidate at or beyond ``flat`` whose own cost is ``costs`` there; forced ones stay."""
        if flat in self.forced:
            return flat
        where = np.unravel_index(flat, self.costs.shape)
        beyond = tuple(slice(int(index), None) for index in where)
        offset = np.unravel_index(int(self.own_costs[beyond].argmin()), self.own_costs[beyond].shape)
        return int(np.ravel_multi_index(tuple(a + b for a, b in zip(where, offset, strict=True)), self.costs.shape))

    def chosen_shapes(self, flat: Sequence[int]) -> NDArray[np.int64]:
        """Return the shapes to have for the chosen candidates, distinct, int64 [k, d]."""
        return np.unique(self.shapes([self.attained(index) for index in flat]), axis=0)


def lay_candidates(
    problem: Problem, most_candidates: int, keep: NDArray[np.int64] | None = None, *, outer: bool = False
) -> Candidates:
    """Return the candidates of a problem.

    Where the joins are more than ``most_candidates``, coordinates are left out on the longest axes and points round up
    to the next one that stays.

    Args:
        problem: The problem.
        most_candidates: How many candidates there may be.
        keep: Shapes whose coordinates stay, int64 [s, d].
        outer: Whether, where coordinates are left out, ``costs`` and ``prices`` shall be lower bounds of what any shape
            costs that rounds up to the candidate, so that a bound over these candidates holds for all.
    """
    full = problem.coordinates()
    held = [part for part in (problem.forced, keep) if part is not None and len(part)]
    rows = np.vstack(held) if held else problem.points[:0]
    axes = _thin(full, problem.points, problem.weights, most_candidates, rows)
    return lay_on(problem, axes, outer=outer)


def lay_on(problem: Problem, axes: Sequence[NDArray[np.int64]], *, outer: bool = False) -> Candidates:
    """Return the candidates over given coordinates, the last ones of a problem and the forced ones' among them."""
    full = problem.coordinates()
    position = np.stack(
        [np.searchsorted(axis, column) for axis, column in zip(axes, problem.points.T, strict=True)], axis=1
    )
    own = _grid(axes, problem.cost)
    costs, weights = _closed(own), problem.weights
    prices = _grid(axes, problem.prices)
    thinned = any(len(axis) < len(whole) for axis, whole in zip(axes, full, strict=True))
    if thinned:
        if outer:
            # A shape that rounds up to a kept coordinate is at least one step beyond the kept one before it.
            below = [_least_rounding_up(axis, whole) for axis, whole in zip(axes, full, strict=True)]
            costs = _closed(np.minimum(_grid(below, problem.cost), costs))
            if prices.min() < prices.max():
                prices = np.zeros_like(prices)
        position, weights = _merged(position, weights, own.shape)
    forced = () if problem.forced is None else _indices(axes, problem.forced, own.shape)
    return Candidates(
        tuple(axes), position, weights, costs, own, prices, forced, problem.most, thinned, thinned and outer
    )


def _indices(axes: Sequence[NDArray[np.int64]], shapes: NDArray[np.int64], extent: tuple[int, ...]) -> tuple[int, ...]:
    columns = [np.searchsorted(axis, column) for axis, column in zip(axes, shapes.T, strict=True)]
    return tuple(dict.fromkeys(np.ravel_multi_index(tuple(columns), extent).tolist()))


def _merged(
    position: NDArray[np.int64], weights: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Merge points that rounded up to the same candidate."""
    flat, inverse = np.unique(np.ravel_multi_index(tuple(position.T), shape), return_inverse=True)
    mass: NDArray[np.float64] = np.bincount(inverse.ravel(), weights, len(flat)).astype(np.float64)
    return np.stack(np.unravel_index(flat, shape), axis=1), mass


def _closed(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    for axis in range(costs.ndim):
        costs = np.flip(np.minimum.accumulate(np.flip(costs, axis), axis=axis), axis)
    return np.ascontiguousarray(costs)


def _grid(axes: Sequence[NDArray[np.int64]], function: Function) -> NDArray[np.float64]:
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return function(mesh).reshape([len(axis) for axis in axes])


def _least_rounding_up(kept: NDArray[np.int64], full: NDArray[np.int64]) -> NDArray[np.int64]:
    before = np.concatenate([[-1], np.searchsorted(full, kept[:-1])])
    least: NDArray[np.int64] = full[before + 1]
    return least


def _thin(
    axes: Sequence[NDArray[np.int64]],
    points: NDArray[np.int64],
    weights: NDArray[np.float64],
    most: int,
    rows: NDArray[np.int64],
) -> list[NDArray[np.int64]]:
    sizes = equal_steps([len(axis) for axis in axes], most)
    kept = []
    for index, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
        if size == len(axis):
            kept.append(axis)
            continue
        mass = np.bincount(np.searchsorted(axis, points[:, index]), weights, len(axis)).astype(np.float64)
        stay = thin_axis(axis, mass, size)
        kept.append(np.unique(np.concatenate([axis[stay], rows[:, index]])))
    return kept


def equal_steps(lengths: Sequence[int], most: int) -> list[int]:
    """Return how many coordinates to keep of each axis so that there are at most ``most`` combinations."""
    sizes = list(lengths)
    while np.prod(sizes, dtype=np.float64) > most and max(sizes) > 1:
        longest = int(np.argmax(sizes))
        sizes[longest] = max(1, sizes[longest] * 19 // 20)
    return sizes


def thin_axis(axis: NDArray[np.int64], mass: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return the indices of about ``size`` coordinates at equal shares of weight and range, the last among them."""
    # By range too: a rare large point that rounds up far costs as much as many small ones.
    heavy = mass * axis
    heavy = (heavy / max(heavy.sum(), 1e-300) + np.diff(axis, prepend=axis[0]) / max(1, axis[-1] - axis[0])).cumsum()
    marks = np.searchsorted(heavy, heavy[-1] * np.arange(1, size) / size)
    return np.unique([*itertools.chain(marks), len(axis) - 1])
