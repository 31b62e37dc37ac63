"""A proven lower bound for several variables, by Lagrangian relaxation.

"Each sample is served once" is relaxed with one multiplier w_i·v_i per sample. What remains splits by candidate:
candidate c earns g(c) = Σ w_i·max(0, v_i - f(c)) over the samples in it, less its price, and the k that earn most
are taken. So

    L(v) = Σ w_i·v_i - (sum of the k largest positive g(c))

is a lower bound for every v; the best one equals the bound of the strong linear relaxation of the p-median problem (the
relaxation has the integrality property: Geoffrion 1974; Cornuéjols, Fisher, Nemhauser 1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.grid import CandidateGrid

__all__ = ["Problem", "Relaxation", "maximise_bound"]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be chosen.

    Attributes:
        grid: The candidates.
        prices: Price of having each candidate, flat float64 [size].
        most: Largest number of buckets.
        forced: Candidates that must be chosen, flat indices.
    """

    grid: CandidateGrid
    prices: NDArray[np.float64]
    most: int
    forced: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The bound at one set of multipliers.

    Attributes:
        bound: L(v).
        limits: v, float64 [n].
        earned: g(c) less the price for every candidate, float64 [grid size]; infinite for the forced ones.
        taken: The candidates taken, flat indices, at most k.
        threshold: What the last of k candidates earns, 0 where fewer than k earn anything.
    """

    bound: float
    limits: NDArray[np.float64]
    earned: NDArray[np.float64]
    taken: NDArray[np.int64]
    threshold: float

    def survivors(self, upper: float) -> NDArray[np.int64]:
        """Return the candidates that a solution cheaper than ``upper`` may hold, flat indices ascending.

        To hold candidate c outside the taken ones, the relaxation gives up at least threshold - g(c).
        """
        slack = max(0.0, upper - self.bound) + 1e-9 * abs(upper)
        return np.flatnonzero(self.earned >= self.threshold - slack)


def relax(problem: Problem, limits: NDArray[np.float64], *, outer: bool = False) -> Relaxation:
    """Return the bound at ``limits`` [n]."""
    earned = problem.grid.gains(limits, outer=outer) - problem.prices
    forced = list(problem.forced)
    bound = float(problem.grid.weights @ limits) - float(earned[forced].sum())
    earned[forced] = np.inf
    count = min(problem.most, earned.size)
    top = np.argpartition(earned, earned.size - count)[earned.size - count :]
    taken = np.sort(top[earned[top] > 0])
    free = earned[taken]
    bound -= float(free[np.isfinite(free)].sum())
    threshold = max(0.0, float(earned[top].min())) if np.isfinite(earned[top]).any() else np.inf
    return Relaxation(bound, limits, earned, taken, threshold)


def maximise_bound(
    problem: Problem, start: NDArray[np.float64], upper: float, iterations: int, *, outer: bool = False
) -> Relaxation:
    """Return the best bound found by a deflected subgradient method with Polyak steps.

    Args:
        problem: What is to be chosen.
        start: First multipliers, such as what each sample costs in a good solution, float64 [n].
        upper: Cost of a known solution.
        iterations: Largest number of passes over the grid.
        outer: Whether to bound with ``outer_costs``, needed where the grid is thinned.
    """
    grid = problem.grid
    best = current = relax(problem, start, outer=outer)
    costs = (grid.outer_costs if outer else grid.costs).ravel()
    direction, pace, idle = np.zeros(len(start)), 1.0, 0
    for _ in range(iterations):
        gap = upper - best.bound
        if gap <= 1e-9 * abs(upper) or pace < 1e-3:
            break
        served = (grid.contained(current.taken) & (costs[current.taken] < current.limits[:, None])).sum(axis=1)
        direction = 0.7 * (1.0 - served) + 0.3 * direction
        norm = float(grid.weights @ direction**2)
        if norm <= 0:
            break
        step = pace * max(upper - current.bound, gap) / norm
        current = relax(problem, np.maximum(current.limits + step * direction, 0), outer=outer)
        if current.bound > best.bound + 1e-7 * abs(upper):
            best, idle = current, 0
        else:
            idle += 1
            if idle >= 8:
                current, direction, pace, idle = best, np.zeros(len(start)), pace * 0.5, 0
    return best
