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

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates, equal_steps, thin_axis
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.planning.solver.passes import Passes, make_passes

__all__ = ["Relaxation", "raise_bound", "relax", "smoothed_shares"]

# Candidates of the coarser grids; each needs fewer steps than the one before.
_LEVELS = (1_600, 8_000, 40_000)
# μ at first and at last, in units of (known total ÷ number of chosen); a carried-over start needs less smoothing.
_ROUGH, _CARRIED, _FINE = 0.1, 0.005, 0.001
# Length of a step in units of μ, the points' own costs having mean 1.
_STEP = 10.0
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
    """

    bound: float
    limits: NDArray[np.float64]
    earned: NDArray[np.float64]
    threshold: float
    shares: NDArray[np.float64] | None = None

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
    coarser = [size for size in _LEVELS if 3 * size <= candidates.size and len(candidates.weights) > 400]
    spent, limits, carried = 0, start, None
    # The fewer the candidates, the more steps are affordable.
    steps, corners = (
        effort.steps * (3 if coarser else 1),
        np.stack(np.unravel_index(np.asarray(chosen), candidates.costs.shape), axis=1),
    )
    for size in coarser:
        level = _coarsen(candidates, size, corners)
        limits = level.start(start) if carried is None else carried.interpolate(limits, level)
        climb = _Climb(level.candidates, upper, len(chosen), carried is not None)
        count = min(steps, (effort.ascent // 3 - spent) // (2 * climb.work(limits)))
        if count >= 10:
            limits, spent = climb.run(limits, count).limits, spent + 2 * count * climb.work(limits)
        carried, steps = level, max(effort.steps, steps // 2)
    if carried is not None:
        limits = carried.interpolate(limits, _whole(candidates))
    climb = _Climb(candidates, upper, len(chosen), carried is not None)
    count = min(steps, (effort.ascent - spent) // (2 * climb.work(limits)))
    best = climb.run(limits, max(1, count))
    plain = relax(candidates, start, climb.passes)
    return best if best.bound >= plain.bound else replace(plain, shares=best.shares)


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

    def _lifted(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the limits with those of the largest points raised until a candidate that contains them is taken.

        Until then every raise is all gain.
        """
        limits = limits.copy()
        shape = self._candidates.costs.shape
        for point in self._largest.tolist():
            limits[point] = max(limits[point], float(self._candidates.costs.ravel()[-1]))
            found = relax(self._candidates, limits, self.passes)
            beyond = tuple(slice(int(place), None) for place in self._candidates.position[point])
            missing = found.threshold - float(found.earned.reshape(shape)[beyond].max())
            if np.isfinite(missing) and missing > 0:
                limits[point] += missing / self._candidates.weights[point]
        return limits

    def run(self, limits: NDArray[np.float64], steps: int) -> Relaxation:
        """Return the best relaxation on the way, with the shares averaged over the last half of the steps."""
        weights, limits = self._candidates.weights, self._lifted(limits)
        best = relax(self._candidates, limits, self.passes)
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
    low, high = 0.0, max(0.0, float(values.max(initial=0.0))) + np.log(max(2, len(values)))
    if np.exp(np.minimum(values, 0)).sum() > room:
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if np.exp(np.minimum(values - middle, 0)).sum() > room else (low, middle)
    else:
        high = 0.0
    shares[near] = np.exp(np.minimum(values - high, 0))
    return shares


@dataclass(frozen=True, eq=False)
class _Level:
    """A grid of some of the coordinates, and what limits are carried over by.

    Attributes:
        candidates: The grid and the points rounded up to it.
        owner: The level's point that each of the original points became part of, int64 [n].
        centres: Centre of mass of the points that round up to each coordinate, per axis.
    """

    candidates: Candidates
    owner: NDArray[np.int64]
    centres: list[NDArray[np.float64]]

    def start(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the largest of the original points' limits for each of the level's."""
        found: NDArray[np.float64] = np.zeros(len(self.candidates.weights))
        np.maximum.at(found, self.owner, limits)
        return found

    def interpolate(self, limits: NDArray[np.float64], finer: _Level) -> NDArray[np.float64]:
        """Return limits for the points of a finer level, linear between centres of mass along every axis.

        So each candidate of this level goes on earning what it earned, to first order.
        """
        table = np.zeros(self.candidates.costs.shape)
        table[tuple(self.candidates.position.T)] = limits
        for axis in range(table.ndim):
            # Where no point was, at least what smaller ones have.
            np.maximum.accumulate(table, axis=axis, out=table)
        table[tuple(self.candidates.position.T)] = limits
        places = [
            _between(mine, theirs[column])
            for mine, theirs, column in zip(self.centres, finer.centres, finer.candidates.position.T, strict=True)
        ]
        result: NDArray[np.float64] = np.zeros(len(finer.candidates.weights))
        for corner in itertools.product((0, 1), repeat=table.ndim):
            part = np.ones(len(result))
            for side, (_, share) in zip(corner, places, strict=True):
                part *= share if side else 1 - share
            result += part * table[tuple(low + side for side, (low, _) in zip(corner, places, strict=True))]
        return result


def _between(
    centres: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the index of the centre before each value, and how far it is on the way to the next, 0 … 1."""
    if len(centres) == 1:
        return np.zeros(len(values), dtype=np.int64) - 1, np.ones(len(values))
    low = np.clip(np.searchsorted(centres, values), 1, len(centres) - 1) - 1
    span = np.maximum(centres[low + 1] - centres[low], 1e-9)
    return low, np.clip((values - centres[low]) / span, 0, 1)


def _centres(candidates: Candidates, axis: int, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    sizes = candidates.axes[axis].astype(np.float64)
    mass = np.bincount(candidates.position[:, axis], candidates.weights, len(sizes))
    heads = np.concatenate([[0], kept[:-1] + 1])
    heavy, moment = np.add.reduceat(mass, heads), np.add.reduceat(mass * sizes, heads)
    return np.where(heavy > 0, moment / np.maximum(heavy, 1e-300), sizes[kept])


def _whole(candidates: Candidates) -> _Level:
    kept = [np.arange(len(axis)) for axis in candidates.axes]
    centres = [_centres(candidates, axis, stay) for axis, stay in enumerate(kept)]
    return _Level(candidates, np.arange(len(candidates.weights)), centres)


def _coarsen(candidates: Candidates, most: int, corners: NDArray[np.int64]) -> _Level:
    """Return the grid of at most about ``most`` candidates, those at the coordinates of ``corners`` among them."""
    shape = candidates.costs.shape
    held = np.vstack([corners, *(np.stack(np.unravel_index([index], shape), axis=1) for index in candidates.forced)])
    kept = []
    for axis, (sizes, count) in enumerate(zip(candidates.axes, equal_steps(shape, most), strict=True)):
        mass = np.bincount(candidates.position[:, axis], candidates.weights, len(sizes)).astype(np.float64)
        stay = np.arange(len(sizes)) if count == len(sizes) else thin_axis(sizes, mass, count)
        kept.append(np.unique(np.concatenate([stay, held[:, axis]])))
    where = tuple(np.searchsorted(stay, column) for stay, column in zip(kept, candidates.position.T, strict=True))
    points = np.ix_(*kept)
    costs = np.ascontiguousarray(candidates.costs[points])
    flat, owner = np.unique(np.ravel_multi_index(where, costs.shape), return_inverse=True)
    forced = tuple(
        int(np.ravel_multi_index([np.searchsorted(s, w) for s, w in zip(kept, corner, strict=True)], costs.shape))
        for corner in (np.unravel_index(index, shape) for index in candidates.forced)
    )
    level = Candidates(
        tuple(axis[stay] for axis, stay in zip(candidates.axes, kept, strict=True)),
        np.stack(np.unravel_index(flat, costs.shape), axis=1),
        np.bincount(owner.ravel(), candidates.weights, len(flat)).astype(np.float64),
        costs, costs, np.ascontiguousarray(candidates.prices[points]), forced, candidates.most, True,
    )  # fmt: skip
    centres = [_centres(candidates, axis, stay) for axis, stay in enumerate(kept)]
    return _Level(level, owner.ravel(), centres)
