"""The problem and its solution, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Function", "Problem", "Solution"]

# int64 [n, d] -> float64 [n], finite and not negative.
Function = Callable[[NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Problem:
    """Choose at most ``most`` candidates; each point is served by the cheapest chosen one that is ≥ it everywhere.

    What is minimised is Σ weight·cost(serving candidate) + Σ price(chosen candidate).

    Attributes:
        points: Distinct points, int64 [n, d].
        weights: Positive weights, float64 [n].
        cost: What serving by a candidate costs.
        most: Largest number of candidates.
        price: What having a candidate costs; None for nothing.
        forced: Candidates that must be chosen, int64 [f, d]; they count towards ``most``.
        axes: Coordinates beside the points' own that candidates may have, per dimension. Without them some optimum
            consists of joins (coordinate-wise maxima) of points only if the cost never falls.
    """

    points: NDArray[np.int64]
    weights: NDArray[np.float64]
    cost: Function
    most: int
    price: Function | None = None
    forced: NDArray[np.int64] | None = None
    axes: tuple[NDArray[np.int64], ...] | None = None

    @property
    def dimensions(self) -> int:
        """The number of coordinates of a point."""
        return int(self.points.shape[1])

    def prices(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what having each candidate costs, float64 [c]."""
        return np.zeros(len(candidates)) if self.price is None else self.price(candidates)

    def coordinates(self) -> list[NDArray[np.int64]]:
        """Return the distinct coordinates of all candidates per dimension, ascending."""
        columns = [[column] for column in self.points.T]
        for parts, more in zip(columns, self.forced.T if self.forced is not None else (), strict=False):
            parts.append(more)
        for parts, more in zip(columns, self.axes or (), strict=False):
            parts.append(more)
        return [np.unique(np.concatenate(parts)) for parts in columns]


@dataclass(frozen=True, eq=False)
class Solution:
    """The chosen candidates with their proof.

    Attributes:
        chosen: int64 [k, d].
        total: What they cost: Σ weight·cost plus prices.
        bound: Proven lower bound of what any choice costs; None where none is known.
        relaxed: What some fractional choice costs: no bound by the relaxation used here can be above it, so that where
            it is far below ``total`` the rest of the gap is the relaxation's. None where it was not computed.
        thinned: Whether candidates were left out, so that the best choice may not have been looked at.
    """

    chosen: NDArray[np.int64]
    total: float
    bound: float | None
    relaxed: float | None = None
    thinned: bool = False
