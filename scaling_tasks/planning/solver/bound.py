"""Where the lower bound is computed: Lagrangian relaxation, raised by a smoothed, accelerated ascent.

"Each point is served once" is relaxed with one limit v_i per point. What remains splits by candidate: candidate c earns
g(c) = Σ w_i·max(0, v_i - f(c)) over the points in it, less its price, and the k that earn most are taken. So

    L(v) = Σ w_i·v_i - (sum of the k largest positive g(c))

is a lower bound for every v, and the best one equals the bound of the strong linear relaxation of the p-median problem
(the relaxation has the integrality property: Geoffrion 1974; Cornuéjols, Fisher, Nemhauser 1977).

L has kinks everywhere, and subgradient steps stall far from its top. Here "the k largest" is replaced by shares
x(c) = min(1, exp((g(c) - τ)/μ)) that sum to k (Nesterov 2005, entropic smoothing with a falling μ), and accelerated
gradient steps are taken with restarts (O'Donoghue, Candès 2015), each point's step in proportion to its own cost. The
bound itself is always L, without smoothing. Where points are many, limits climb on few coordinates first and are
carried over to more, interpolated between the centres of mass of the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.planning.solver.fractional import fractional_total
from scaling_tasks.planning.solver.levels import levels_of
from scaling_tasks.planning.solver.passes import Passes, make_passes

__all__ = ["Relaxation", "raise_bound", "relax", "smoothed_shares"]

# μ at first and at last, in units of (known total ÷ number of chosen); a carried-over start needs less smoothing.
_ROUGH, _CARRIED, _FINE = 0.1, 0.005, 0.0003
# Length of a step in units of μ, the points' own costs having mean 1.
_STEP = 10.0
# By how much more work is done in three dimensions and more, where grids are larger.
_MORE = 4
# By how much the largest points' weight times limit may move, in the same unit.
_LARGEST = 0.1


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The bound at one set of limits.

    Attributes:
        bound: L(v).
        limits: v, float64 [n].
        earned: g(c) less the price for every candidate, flat float64; infinite for the forced ones.
        threshold: What the last of k candidates earns, 0 where fewer than k earn anything.
        shares: By how much each candidate is taken in a nearly best fractional choice, flat; None where not known.
        fraction: What some fractional choice costs, so that no bound of this kind is above it; infinite if not known.
    """

    bound: float
    limits: NDArray[np.float64]
    earned: NDArray[np.float64]
    threshold: float
    shares: NDArray[np.float64] | None = None
    fraction: float = np.inf

    def survivors(self, upper: float) -> NDArray[np.int64]:
        """Return the candidates that a solution cheaper than ``upper`` may hold, flat indices ascending.

        To hold candidate c outside the taken ones, the relaxation gives up at least threshold - g(c).
        """
        slack = max(0.0, upper - self.bound) + 1e-9 * abs(upper)
        return np.flatnonzero(self.earned >= self.threshold - slack)


def relax(candidates: Candidates, limits: NDArray[np.float64], passes: Passes | None = None) -> Relaxation:
    """Return the bound at ``limits`` [n]."""
    passes = passes or make_passes(candidates.costs, candidates.position, candidates.weights)
    earned = passes.gains(limits) - candidates.prices.ravel()
    forced = list(candidates.forced)
    bound = float((candidates.weights * limits).sum()) - float(earned[forced].sum())
    earned[forced] = -np.inf
    count = min(candidates.most - len(forced), earned.size)
    top = np.sort(earned[np.argpartition(earned, earned.size - count)[earned.size - count :]]) if count else earned[:0]
    bound -= float(np.maximum(top, 0).sum())
    earned[forced] = np.inf
    threshold = np.inf if not len(top) else max(0.0, float(top[0]))
    return Relaxation(bound, limits, earned, threshold)


def raise_bound(candidates: Candidates, chosen: Sequence[int], upper: float, effort: Effort) -> Relaxation:
    """Return the best relaxation found, begun at what each point costs in a known choice.

    Args:
        candidates: The candidates and points.
        chosen: A good choice, flat indices.
        upper: What a known choice costs.
        effort: Budgets.
    """
    start = candidates.served(chosen)
    start = np.where(np.isfinite(start), start, candidates.costs.ravel()[-1])
    if effort.ascent <= 0 or upper <= 0:
        return relax(candidates, start)
    levels = levels_of(candidates, np.stack(np.unravel_index(np.asarray(chosen), candidates.costs.shape), axis=1))
    # The fewer the candidates, the more steps are affordable.
    steps, spent = effort.steps * (3 if len(levels) > 1 else 1), 0
    budget = effort.ascent * (_MORE if candidates.costs.ndim > 2 else 1)
    carried, limits, fractions = None, start, [np.inf]
    for left, level in zip(range(len(levels), 0, -1), levels, strict=True):
        limits = level.start(start) if carried is None else carried.interpolate(limits, level)
        climb = _Climb(level.candidates, upper, len(chosen), carried is not None)
        # What one level leaves over is shared by the finer ones.
        count = min(steps, (budget - spent) // (2 * left * climb.work(limits)))
        if left == 1 or count >= 10:
            found = climb.run(limits, max(1, count))
            limits, spent = found.limits, spent + 2 * count * climb.work(limits)
            if found.shares is not None:
                fractions.append(fractional_total(level.candidates, found.shares) or np.inf)
        carried, steps = level, max(effort.steps, steps // 2)
    plain = relax(candidates, start, climb.passes)
    best = found if found.bound >= plain.bound else replace(plain, shares=found.shares)
    return replace(best, fraction=min(fractions))


class _Climb:
    """The ascent on one grid."""

    def __init__(self, candidates: Candidates, upper: float, chosen: int, carried: bool) -> None:
        self._candidates, self._upper, self._carried = candidates, upper, carried
        self.passes = make_passes(candidates.costs, candidates.position, candidates.weights)
        self._unit = upper / max(1, chosen)
        own = candidates.costs[tuple(candidates.position.T)]
        mean = float((candidates.weights * own).sum())
        self._scale = np.maximum(own, 1e-9 * own.max()) / mean if mean > 0 else np.ones(len(own))
        # The largest point along each axis must be served however little it weighs: only a limit of about
        # (what a candidate earns) ÷ weight pays for that, so its steps are as long as that takes.
        self._largest = np.unique(candidates.position.argmax(axis=0))
        self._scale[self._largest] = np.maximum(
            self._scale[self._largest], _LARGEST / candidates.weights[self._largest]
        )
        self._work: int | None = None

    def work(self, limits: NDArray[np.float64]) -> int:
        if self._work is None:
            self._work = max(1, self.passes.work(limits) + self._candidates.size // 2)
        return self._work

    def _lifted(self, limits: NDArray[np.float64]) -> Relaxation:
        """Return the relaxation with the largest points' limits raised until a candidate that contains them is taken.

        Until then every raise is all gain; where one is not, it is not made.
        """
        shape, best = self._candidates.costs.shape, relax(self._candidates, limits, self.passes)
        for point in self._largest.tolist():
            raised = best.limits.copy()
            raised[point] = max(raised[point], float(self._candidates.costs.ravel()[-1]))
            found = relax(self._candidates, raised, self.passes)
            beyond = tuple(slice(int(place), None) for place in self._candidates.position[point])
            missing = found.threshold - float(found.earned.reshape(shape)[beyond].max())
            if np.isfinite(missing) and missing > 0:
                raised[point] += missing / self._candidates.weights[point]
                found = relax(self._candidates, raised, self.passes)
            best = found if found.bound > best.bound else best
        return best

    def run(self, limits: NDArray[np.float64], steps: int) -> Relaxation:
        """Return the best relaxation on the way, with the shares averaged over the last half of the steps."""
        weights, best = self._candidates.weights, self._lifted(limits)
        limits = best.limits
        rough = _CARRIED if self._carried else _ROUGH
        here, before, pace = limits, limits, 1.0
        total: NDArray[np.float64] = np.zeros(self._candidates.size)
        averaged = 0
        for step in range(steps):
            if self._upper - best.bound <= 1e-9 * abs(self._upper):
                break
            smoothing = self._unit * rough * (_FINE / rough) ** min(1.0, step / max(1.0, 0.8 * steps))
            found = relax(self._candidates, here, self.passes)
            best = found if found.bound > best.bound else best
            shares = smoothed_shares(found.earned, self._candidates.most, smoothing)
            if 2 * step >= steps:
                total, averaged = total + shares, averaged + 1
            slope = 1.0 - self.passes.served(here, shares)
            after = np.maximum(here + _STEP * smoothing * self._scale * slope, 0)
            if float((weights * slope * (after - before)).sum()) < 0:
                pace = 1.0
            faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            here = np.maximum(after + (pace - 1) / faster * (after - before), 0)
            before, pace = after, faster
        return replace(best, shares=total / averaged if averaged else None)


def smoothed_shares(earned: NDArray[np.float64], most: int, smoothing: float) -> NDArray[np.float64]:
    """Return min(1, exp((earned - τ)/μ)) with the least τ ≥ 0 at which they sum to ``most`` or less; forced ones 1."""
    shares = np.isinf(earned).astype(np.float64)
    room = most - float(shares.sum())
    free = np.where(np.isinf(earned), -np.inf, earned / smoothing)
    count = min(int(room), len(free))
    if count < 1:
        return shares
    least = float(np.partition(free, len(free) - count)[len(free) - count])
    near = np.flatnonzero(free > max(least, 0.0) - 30)
    values = free[near]
    level = _level(values, int(room)) if np.exp(np.minimum(values, 0)).sum() > room else 0.0
    shares[near] = np.exp(np.minimum(values - level, 0))
    return shares


def _level(values: NDArray[np.float64], room: int) -> float:
    """Return the τ at which Σ min(1, exp(value - τ)) is ``room``, for more than ``room`` values."""
    split = np.partition(values, len(values) - room)
    top = np.sort(split[len(values) - room :])[::-1]
    least = top[-1]
    # With m of them at 1, the others make up the rest: exp(-τ)·Σ exp(value) = room - m.
    tail = float(np.exp(split[: len(values) - room] - least).sum())
    sums = tail + np.exp(np.minimum(top - least, 700))[::-1].cumsum()[::-1]
    levels = least + np.log(sums / (room - np.arange(room)))
    return float(levels[int(np.argmax(top <= levels))])
