"""The lower bound of requests of items of one size variable that are cut into batches.

Each item has a limit v, and a bucket earns in a request what disjoint runs bring in (``joint_earnings``). Relaxing
"each item is run once" by the limits, the k buckets that earn most are taken:

    L(v) = Σ v - (sum of the k largest earnings)

is a lower bound for every v ≥ 0. L has kinks wherever a request leaves a run out or begins it, and where another bucket
becomes one of the k. Both are smoothed for the steps of the ascent: the k largest by entropy, as for single samples
(``solver.bound``), and the better of two by a quadratic, whose width is a part of what the request pays, so that steps
suit requests of one item and of hundreds. The bound is L itself.

Of very many requests parts are climbed on first, each a few times as large as the one before. What is learnt there is
by how much each bucket is taken; at these shares every request's limits are found by itself, and few steps are left for
all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.request.serving import Side
from scaling_tasks.planning.solver.bound import smoothed_shares
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.planning.strategies.joint_earnings import Earnings
from scaling_tasks.shapes.partition import RunTable

__all__ = ["bound_requests"]

# Entries (items times candidates) beyond which a part of the requests is climbed on first, and steps there.
_WORK, _ON_PART = 30_000_000, 200
# By how much parts grow, and entries that the steps on each may look at.
_GROWTH, _CARRIED_WORK = 8, 1_600_000_000
# Most steps, and the fewest on all requests where they are few.
_STEPS, _FEWEST = 500, 40
# Steps at the shares of the part; widths at first and at last; length of a step in units of the width.
_AT_SHARES, _WIDE, _NARROW, _PACE = 12, 0.1, 0.01, 0.5
# By how much the largest item's weight times limit may move, in units of the others' steps.
_LARGEST = 0.1
# Buckets taken by less are not carried over.
_TAKEN = 1e-3


@dataclass(frozen=True)
class _Schedule:
    """How an ascent goes.

    Attributes:
        rough: μ at first, in units of (known total ÷ number of buckets).
        width: Width of the better of two at first, in units of what a request pays.
        fall: By how much both fall.
        length: Of a step, in units of μ.
        active: Most candidates that a step looks at.
        turn: Steps between passes over all candidates.
    """

    rough: float = 0.05
    width: float = 0.1
    fall: float = 0.01
    length: float = 10.0
    active: int = 240
    turn: int = 20


_FROM_START, _CARRIED = _Schedule(), _Schedule(rough=0.01, width=0.02, fall=0.05, active=160, turn=6)


@dataclass(frozen=True, eq=False)
class _Climbed:
    """The best that an ascent found.

    Attributes:
        bound: L.
        limits: float64 [m].
        shares: By how much each candidate was taken in the last step, float64 [c].
    """

    bound: float
    limits: NDArray[np.float64]
    shares: NDArray[np.float64]


def bound_requests(
    runs: RunTable, side: Side, choices: Sequence[int], buckets: NDArray[np.int64], most: int, effort: Effort
) -> float | None:
    """Return a proven lower bound of the cost of all requests with at most ``most`` buckets, None for no effort.

    Args:
        runs: The requests, over one size variable.
        side: Where the batch is, and costs.
        choices: The batch sizes that buckets may have.
        buckets: Known good buckets, int64 [k, 2].
        most: Largest number of buckets.
        effort: Budgets.
    """
    if effort.ascent <= 0 or not len(runs.items):
        return None
    known = _Known.of(runs, side, buckets, most)
    earnings = Earnings(runs, side, choices)
    whole = len(runs.items) * len(earnings.costs)
    if whole <= _WORK:
        steps = max(_FEWEST, min(_STEPS, 25 * effort.ascent // max(1, whole)))
        return _climb(earnings, known.paid, known, steps, _FROM_START).bound
    count = max(1, len(runs.starts) * _WORK // whole)
    part = runs.some(count)
    few, known_part = Earnings(part, side, choices), _Known.of(part, side, buckets, most)
    learnt = _climb(few, known_part.paid, known_part, _ON_PART, _FROM_START)
    while count < len(runs.starts):
        count = count * _GROWTH if 2 * count * _GROWTH < len(runs.starts) else len(runs.starts)
        part = runs.some(count) if count < len(runs.starts) else runs
        more = Earnings(part, side, choices) if part is not runs else earnings
        known_part = _Known.of(part, side, buckets, most) if part is not runs else known
        limits = _at_shares(more, known_part, _carried(few, learnt, more), *_carried_shares(few, learnt, more))
        steps = max(_CARRIED.turn, min(_FEWEST, _CARRIED_WORK // (_CARRIED.active * len(part.items))))
        few, learnt = more, _climb(more, limits, known_part, steps, _CARRIED)
    return learnt.bound


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of requests from a good plan.

    Attributes:
        most: Largest number of buckets.
        upper: What the plan costs.
        paid: What each item pays of it, every item of a batch the same, float64 [m].
        widths: What each request pays, float64 [r].
    """

    most: int
    upper: float
    paid: NDArray[np.float64]
    widths: NDArray[np.float64]

    @classmethod
    def of(cls, runs: RunTable, side: Side, buckets: NDArray[np.int64], most: int) -> _Known:
        costs = side.table(runs, buckets).min(axis=1)
        found = runs.serve(costs)
        paid = np.empty(len(runs.items))
        for at, end, cost in runs.batches(found, costs):
            length = end - at
            index = np.repeat(at, length) + np.arange(length.sum()) - np.repeat(length.cumsum() - length, length)
            paid[index] = np.repeat(cost / length, length)
        return cls(most, found.total, paid, np.maximum(found.requests, 1e-9 * found.requests.max()))


def _carried(few: Earnings, learnt: _Climbed, more: Earnings) -> NDArray[np.float64]:
    """Return limits for more items: the mean of what was learnt for items of their size, linear in between."""
    sizes, inverse = np.unique(few.runs.items[:, 0], return_inverse=True)
    mean = np.bincount(inverse.ravel(), learnt.limits) / np.bincount(inverse.ravel())
    return np.interp(more.runs.items[:, 0], sizes, mean)


def _carried_shares(few: Earnings, learnt: _Climbed, more: Earnings) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which candidates are taken and by how much, as learnt on fewer requests; one contains the largest item."""
    taken = np.flatnonzero(learnt.shares > _TAKEN)
    largest, sizes, shares = int(more.sizes.max()), few.sizes[taken], learnt.shares[taken].copy()
    beyond = sizes == few.sizes.max()
    shares[beyond] *= max(1.0, 1.0 / max(1e-300, float(shares[beyond].sum())))
    which = more.located(few.batches[taken], np.where(beyond, largest, sizes))
    order = np.argsort(which)
    return which[order], shares[order]


def _at_shares(
    earnings: Earnings,
    known: _Known,
    limits: NDArray[np.float64],
    which: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return limits at which the candidates ``which``, taken by ``shares``, run each item about once."""
    walk = _Walk(limits)
    for step in range(_AT_SHARES):
        width = _WIDE * (_NARROW / _WIDE) ** (step / (_AT_SHARES - 1))
        slope = 1.0 - earnings.served(walk.here, which, shares, width * known.widths)[0]
        walk.step(slope, _PACE * width * limits, earnings.mass)
    return walk.here


def _climb(earnings: Earnings, limits: NDArray[np.float64], known: _Known, steps: int, schedule: _Schedule) -> _Climbed:
    """Climb by smoothed, accelerated steps that look only at what earned most when all candidates were seen."""
    mass, most, unit = earnings.mass, known.most, known.upper / max(1, known.most)
    limits, earned = _lifted(earnings, limits, most)
    best = _Climbed(_bound(earnings, limits, earned, most), limits, np.zeros(len(earned)))
    items = max(1e-300, float(mass.sum()))
    scale = limits / max(1e-300, float((limits * mass).sum() / items))
    largest = int(earnings.runs.items[:, 0].argmax())
    # The largest item must be run however little it weighs: its steps are as long as that takes.
    scale[largest] = max(1.0, _LARGEST * items / max(1e-300, float(mass[largest])))
    walk = _Walk(limits)
    for step in range(steps):
        fall = schedule.fall ** min(1.0, step / max(1.0, 0.85 * steps))
        smoothing = unit * schedule.rough * fall
        if step % schedule.turn == 0:
            active = np.sort(np.argsort(-earned, kind="stable")[: max(schedule.active, 3 * most)])
        taken = partial(smoothed_shares, most=most, smoothing=smoothing)
        served, shares = earnings.served(walk.here, active, taken, schedule.width * fall * known.widths)
        walk.step(1.0 - served, schedule.length * smoothing / items * scale, mass)
        if (step + 1) % schedule.turn == 0 or step + 1 == steps:
            earned = earnings.of_all(walk.here)
            reached = _bound(earnings, walk.here, earned, most)
            best = replace(best, shares=np.bincount(active, shares, len(earned)).astype(np.float64))
            best = replace(best, bound=reached, limits=walk.here) if reached > best.bound else best
            if known.upper - best.bound <= 1e-6 * known.upper:
                break
    return best


class _Walk:
    """Accelerated steps, begun anew where they turn back (O'Donoghue, Candès 2015)."""

    def __init__(self, limits: NDArray[np.float64]) -> None:
        self.here, self._before, self._pace = limits, limits, 1.0

    def step(self, slope: NDArray[np.float64], lengths: NDArray[np.float64], mass: NDArray[np.float64]) -> None:
        """Go along ``slope``, each item by its own length; limits are not negative."""
        after = np.maximum(self.here + lengths * slope, 0)
        ahead = after - self._before
        if float((mass * slope * ahead).sum()) < 0:
            self._pace = 1.0
        faster = (1 + np.sqrt(1 + 4 * self._pace * self._pace)) / 2
        self.here = np.maximum(after + (self._pace - 1) / faster * ahead, 0)
        self._before, self._pace = after, faster


def _bound(earnings: Earnings, limits: NDArray[np.float64], earned: NDArray[np.float64], most: int) -> float:
    """Return L, given what candidates earn at the limits."""
    return float((earnings.mass * limits).sum() - np.maximum(np.sort(earned)[-most:], 0).sum())


def _lifted(
    earnings: Earnings, limits: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return limits, the largest item's raised until a bucket that contains it is taken, and what candidates earn."""
    earned = earnings.of_all(limits)
    threshold = max(0.0, float(np.sort(earned)[-most:][0]))
    largest = int(earnings.runs.items[:, 0].argmax())
    weight = float(earnings.mass[largest])
    missing = threshold - float(earned[earnings.sizes >= earnings.runs.items[largest, 0]].max())
    if missing <= 0 or weight <= 0:
        return limits, earned
    lifted: NDArray[np.float64] = limits.copy()
    lifted[largest] += missing / weight
    return lifted, earnings.of_all(lifted)
