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

from scaling_tasks.planning.exchange import weighted_sum
from scaling_tasks.planning.grid import CandidateGrid

__all__ = ["Problem", "Relaxation", "ascend", "maximise_bound"]

# Entries of the table of candidates that matter, and steps between passes over all candidates (fewer on larger tables).
_TABLE = 600_000
_STEPS = 20
# Weight of the newest subgradient in the direction of a step.
_FRESH = 0.4


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


@dataclass(frozen=True, eq=False)
class _Part:
    """The candidates that matter at the current multipliers, tabulated: a quick, optimistic relaxation."""

    problem: Problem
    flat: NDArray[np.int64]
    costs: NDArray[np.float64]

    @classmethod
    def near(cls, problem: Problem, relaxation: Relaxation, table: NDArray[np.float64]) -> _Part:
        """Return the candidates that earn most, as many as an affordable table holds."""
        room = max(3 * problem.most, _TABLE // len(problem.grid.weights))
        earned = relaxation.earned
        flat = np.arange(len(earned))
        if len(earned) > room:
            flat = np.sort(np.argpartition(earned, len(earned) - room)[len(earned) - room :])
        costs = np.where(problem.grid.contained(flat), table[flat], np.inf)
        return cls(problem, flat, costs)

    def relax(self, limits: NDArray[np.float64]) -> tuple[float, NDArray[np.int64]]:
        """Return the bound over these candidates alone, and how often each sample is served."""
        weights, problem = self.problem.grid.weights, self.problem
        earned = weighted_sum(weights, np.maximum(limits[:, None] - self.costs, 0)) - problem.prices[self.flat]
        rank = earned.copy()
        rank[np.isin(self.flat, problem.forced)] = np.inf
        count = min(problem.most, len(rank))
        top = np.argpartition(rank, len(rank) - count)[len(rank) - count :]
        taken = top[rank[top] > 0]
        bound = float(weights @ limits) - float(earned[taken].sum())
        return bound, (self.costs[:, taken] < limits[:, None]).sum(axis=1)


def maximise_bound(
    problem: Problem, start: NDArray[np.float64], upper: float, iterations: int, *, outer: bool = False
) -> Relaxation:
    """Return the best bound found by a deflected subgradient method with Polyak steps.

    Most steps look only at the candidates that earned most when all were last looked at; bounds are taken from
    passes over all candidates.

    Args:
        problem: What is to be chosen.
        start: First multipliers, such as what each sample costs in a good solution, float64 [n].
        upper: Cost of a known solution.
        iterations: Largest number of passes over all candidates, each after a few steps.
        outer: Whether to bound with ``outer_costs``, needed where the grid is thinned.
    """
    table = (problem.grid.outer_costs if outer else problem.grid.costs).ravel()
    best = relax(problem, start, outer=outer)
    limits, direction = start, np.zeros(len(start))
    pace, idle = 1.0, 0
    current = best
    for _ in range(iterations):
        gap = upper - best.bound
        if gap <= 1e-9 * abs(upper) or pace < 1e-3:
            break
        part = _Part.near(problem, current, table)
        limits, direction = _climb(part, limits, direction, pace, upper, gap)
        current = relax(problem, limits, outer=outer)
        if current.bound > best.bound + 1e-6 * gap:
            idle = 0 if current.bound > best.bound + 1e-2 * gap else idle + 1
            best = current
        else:
            idle += 1
        if idle >= 4:
            current, limits = best, best.limits
            direction, pace, idle = np.zeros(len(start)), pace * 0.5, 0
    return best


def ascend(
    problem: Problem, start: NDArray[np.float64], upper: float, steps: int, *, outer: bool = False
) -> Relaxation:
    """Return the best bound found in some steps that each look at all candidates.

    For very many samples, whose table holds too few candidates for ``maximise_bound`` to climb on.
    """
    best = current = relax(problem, start, outer=outer)
    table = (problem.grid.outer_costs if outer else problem.grid.costs).ravel()
    direction, pace = np.zeros(len(start)), 0.3
    for _ in range(steps):
        costs = np.where(problem.grid.contained(current.taken), table[current.taken], np.inf)
        direction = (1 - _FRESH) * (1.0 - (costs < current.limits[:, None]).sum(axis=1)) + _FRESH * direction
        norm = float(problem.grid.weights @ direction**2)
        if norm <= 0 or upper - best.bound <= 1e-9 * abs(upper):
            break
        step = pace * (upper - current.bound) / norm
        current = relax(problem, np.maximum(current.limits + step * direction, 0), outer=outer)
        if current.bound > best.bound:
            best = current
        else:
            pace *= 0.6
    return best


def _climb(
    part: _Part,
    limits: NDArray[np.float64],
    direction: NDArray[np.float64],
    pace: float,
    upper: float,
    gap: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take a few subgradient steps over some candidates; return the best multipliers on the way, and the direction."""
    weights = part.problem.grid.weights
    highest, found = -np.inf, limits
    for _ in range(max(4, min(_STEPS, _STEPS * _TABLE // part.costs.size))):
        bound, served = part.relax(limits)
        if bound > highest:
            highest, found = bound, limits
        direction = _FRESH * (1.0 - served) + (1 - _FRESH) * direction
        norm = float(weights @ direction**2)
        if norm <= 0:
            break
        step = pace * max(upper - bound, 0.1 * gap) / norm
        limits = np.maximum(limits + step * direction, 0)
    return found, direction
