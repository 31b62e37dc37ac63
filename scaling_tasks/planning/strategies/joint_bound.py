"""A proven lower bound for requests of items of one size variable that are cut into batches.

Each item has a limit v. A bucket (batch b, size s) earns in a request the most that disjoint runs of at most b items of
size ≤ s bring in: Σ over the runs of (Σ limits of its items - cost of the bucket). Relaxing "each item is run once" by
the limits, the k buckets that earn most are taken:

    L(v) = Σ v - (sum of the k largest earnings)

is a lower bound for every v ≥ 0. A programme over positions gives the earnings of all buckets at once: what is earned
from an item on is the better of leaving it out and of beginning the fullest run there (limits are not negative, so a
fuller run of the same cost earns no less).

L has kinks wherever a request leaves a run out or begins it, and where another bucket becomes one of the k. Both are
smoothed for the steps of the ascent: the k largest by entropy, as for single samples (``solver.bound``), and the better
of two by a quadratic (Nesterov 2005), whose width falls along with it. The bound is L itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.request.serving import Side
from scaling_tasks.planning.solver.bound import smoothed_shares
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.shapes.partition import RunTable

__all__ = ["bound_requests"]

# Candidates that are looked at between passes over all, most steps, steps between such passes, entries at a time.
_ACTIVE, _STEPS, _TURN, _BLOCK = 240, 400, 20, 3_000_000
# Length of a step in units of μ; μ at first in units of (known total ÷ number of buckets), and by how much it falls.
_STEP, _ROUGH, _FALL = 20.0, 0.05, 0.01
# Width of the better of two at first, in units of (known total ÷ number of requests); it falls by as much.
_WIDTH = 0.06
# By how much the largest item's weight times limit may move, in units of the others' steps.
_LARGEST = 0.1
# Entries (items times candidates) that a step may look at; beyond, limits are learnt on a part of the requests.
_WORK = 30_000_000


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
    table = side.table(runs, buckets)
    upper = runs.serve(table.min(axis=1)).total
    start = _shared(runs, table.min(axis=1))
    game = _Game.of(runs, side, choices)
    whole = len(runs.items) * len(game.costs)
    if whole <= _WORK:
        return game.climb(start, most, upper, max(40, min(_STEPS, 20 * effort.ascent // max(1, whole))))
    part = runs.some(max(1, len(runs.starts) * _WORK // whole))
    small = _Game.of(part, side, choices)
    few = side.table(part, buckets).min(axis=1)
    known = part.serve(few).total
    learnt = small.climbed(_shared(part, few), most, known, 120)
    return game.bound(_carried(part, learnt, runs, start), most)[0]


def _shared(runs: RunTable, run_costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each item pays in the cheapest partition, every item of a batch the same, float64 [m]."""
    found = runs.serve(run_costs)
    paid = np.empty(len(runs.items))
    for at, end, cost in runs.batches(found, run_costs):
        share = cost / (end - at)
        length = end - at
        index = np.repeat(at, length) + np.arange(length.sum()) - np.repeat(length.cumsum() - length, length)
        paid[index] = np.repeat(share, length)
    return paid


def _carried(
    part: RunTable, learnt: NDArray[np.float64], runs: RunTable, start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return limits for all items: the mean of what was learnt for items of their size, or else what they pay."""
    sizes, inverse = np.unique(part.items[:, 0], return_inverse=True)
    mean = np.bincount(inverse.ravel(), learnt) / np.bincount(inverse.ravel())
    place = np.clip(np.searchsorted(sizes, runs.items[:, 0]), 0, len(sizes) - 1)
    return np.where(sizes[place] == runs.items[:, 0], mean[place], start)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some requests, the longest first, their items by the distance from the end, so that sizes ascend with it.

    Attributes:
        weights: Weight of each request, float64 [r].
        at: Which item is at each distance, int64 [longest, r]; one beyond the last where there is none.
        alive: How many of the requests have an item at each distance.
        counts: How many items of each request are no larger than each size, int64 [r, sizes].
    """

    weights: NDArray[np.float64]
    at: NDArray[np.int64]
    alive: list[int]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, runs: RunTable, rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> _Block:
        lengths = runs.lengths[rows]
        distance = np.arange(int(lengths[0]))
        inside = distance[:, None] < lengths[None, :]
        at = np.where(inside, (runs.starts[rows] + lengths)[None, :] - 1 - distance[:, None], len(runs.items))
        place = np.searchsorted(sizes, runs.items[at[inside], 0])
        owner = np.broadcast_to(np.arange(len(rows)), at.shape)[inside]
        counts = np.bincount(owner * len(sizes) + place, minlength=len(rows) * len(sizes))
        alive = np.searchsorted(-lengths, -distance, side="left").tolist()
        return cls(runs.weights[rows], at, alive, counts.reshape(len(rows), -1).cumsum(axis=1))


@dataclass(frozen=True, eq=False)
class _Play:
    """What candidates earn in a block, and how.

    Attributes:
        earned: Weighted by request, float64 [c].
        chances: By how much a run begins at each distance, float64 [alive, c] each.
        counts: How many items of each request each candidate may run, int64 [r, c].
    """

    earned: NDArray[np.float64]
    chances: list[NDArray[np.float64]]
    counts: NDArray[np.int64]


class _Game:
    """What every bucket earns at some limits."""

    def __init__(
        self, runs: RunTable, batches: NDArray[np.int64], sizes: NDArray[np.int64], table: NDArray[np.float64]
    ):
        self.runs, self._axis = runs, sizes
        # Candidates of one batch size are next to each other.
        self.batches, self._place = np.repeat(batches, len(sizes)), np.tile(np.arange(len(sizes)), len(batches))
        self.sizes, self.costs = sizes[self._place], table.ravel()
        self._order = np.argsort(-runs.lengths, kind="stable")
        self._cut: dict[int, list[_Block]] = {}  # Into blocks of so many requests.

    @classmethod
    def of(cls, runs: RunTable, side: Side, choices: Sequence[int]) -> _Game:
        sizes, batches = np.unique(runs.items[:, 0]), np.asarray(sorted(choices), dtype=np.int64)
        grid_batches, grid_sizes = np.repeat(batches, len(sizes)), np.tile(sizes, len(batches))
        table = side.costs(side.join(grid_batches, grid_sizes[:, None])).reshape(len(batches), len(sizes))
        for axis in (0, 1):
            # A run is served by the cheapest bucket that contains it.
            table = np.flip(np.minimum.accumulate(np.flip(table, axis), axis=axis), axis)
        return cls(runs, batches, sizes, table)

    def bound(self, limits: NDArray[np.float64], most: int) -> tuple[float, NDArray[np.float64]]:
        """Return L at ``limits``, and what each candidate earns."""
        earned = np.zeros(len(self.costs))
        for start in range(0, len(self.costs), _ACTIVE):
            which = np.arange(start, min(start + _ACTIVE, len(self.costs)))
            for block in self._blocks(len(which)):
                earned[which] += self._play(limits, block, which).earned
        count = min(most, len(earned))
        top = np.sort(np.partition(earned, len(earned) - count)[len(earned) - count :])
        mass = np.repeat(self.runs.weights, self.runs.lengths)
        return float((mass * limits).sum() - np.maximum(top, 0).sum()), earned

    def climb(self, limits: NDArray[np.float64], most: int, upper: float, steps: int) -> float:
        """Return the best bound found."""
        return self.bound(self.climbed(limits, most, upper, steps), most)[0]

    def climbed(self, limits: NDArray[np.float64], most: int, upper: float, steps: int) -> NDArray[np.float64]:
        """Return better limits: smoothed, accelerated steps that look only at what earned most when all were seen."""
        weights = np.repeat(self.runs.weights, self.runs.lengths)
        mean = max(1e-300, float(weights.sum()))
        limits = self._lifted(limits, most)
        best, earned = self.bound(limits, most)
        scale = limits / max(1e-300, float((limits * weights).sum() / mean))
        largest = int(self.runs.items[:, 0].argmax())
        # The largest item must be run however little it weighs: its steps are as long as that takes.
        scale[largest] = max(1.0, _LARGEST * mean / max(1e-300, float(weights[largest])))
        here, before, found, pace = limits, limits, limits, 1.0
        unit, width = upper / max(1, most), upper / max(1e-300, float(self.runs.weights.sum()))
        for step in range(steps):
            if step % _TURN == 0:
                active = np.sort(np.argsort(-earned, kind="stable")[: max(_ACTIVE, 3 * most)])
            fall = _FALL ** min(1.0, step / max(1.0, 0.85 * steps))
            slope = 1.0 - self.served(here, active, most, unit * _ROUGH * fall, width * _WIDTH * fall)
            after = np.maximum(here + _STEP * unit * _ROUGH * fall / mean * scale * slope, 0)
            if float((weights * slope * (after - before)).sum()) < 0:
                pace = 1.0
            faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            here = np.maximum(after + (pace - 1) / faster * (after - before), 0)
            before, pace = after, faster
            if (step + 1) % _TURN == 0 or step + 1 == steps:
                reached, earned = self.bound(here, most)
                if reached > best:
                    best, found = reached, here
                if upper - best <= 1e-6 * upper:
                    break
        return found

    def _lifted(self, limits: NDArray[np.float64], most: int) -> NDArray[np.float64]:
        """Return the limits with the largest item's raised until a bucket that contains it is taken."""
        earned = self.bound(limits, most)[1]
        count = min(most, len(earned))
        threshold = max(0.0, float(np.partition(earned, len(earned) - count)[len(earned) - count]))
        largest = int(self.runs.items[:, 0].argmax())
        weight = float(np.repeat(self.runs.weights, self.runs.lengths)[largest])
        missing = threshold - float(earned[self.sizes >= self.runs.items[largest, 0]].max())
        if missing <= 0 or weight <= 0:
            return limits
        lifted: NDArray[np.float64] = limits.copy()
        lifted[largest] += missing / weight
        return lifted

    def served(
        self, limits: NDArray[np.float64], which: NDArray[np.int64], most: int, smoothing: float, width: float
    ) -> NDArray[np.float64]:
        """Return by how much each item is run when the candidates ``which`` are taken in smoothed shares."""
        blocks = self._blocks(len(which))
        plays = [self._play(limits, block, which, width) for block in blocks]
        shares = smoothed_shares(np.sum([play.earned for play in plays], axis=0), most, smoothing)
        served = np.zeros(len(self.runs.items) + 1)
        taken = shares > 1e-7
        for block, play in zip(blocks, plays, strict=True):
            self._serve(served, block, which[taken], play.chances, play.counts[:, taken], taken, shares[taken])
        return served[:-1]

    def _blocks(self, candidates: int) -> list[_Block]:
        count = max(1, int(_BLOCK // (candidates * max(1, int(self.runs.lengths.max())))))
        if count not in self._cut:
            rows = [self._order[start : start + count] for start in range(0, len(self._order), count)]
            self._cut[count] = [_Block.of(self.runs, part, self._axis) for part in rows]
        return self._cut[count]

    def _play(self, limits: NDArray[np.float64], block: _Block, which: NDArray[np.int64], width: float = 0.0) -> _Play:
        """Play the programme for candidates; with a width, the better of two is smoothed and chances are kept."""
        costs, groups = self.costs[which], self._groups(which)
        sums = np.zeros((len(block.at) + 1, len(block.weights)))
        np.cumsum(np.append(limits, 0.0)[block.at], axis=0, out=sums[1:])
        earned, chances = np.zeros((len(block.at) + 1, len(block.weights), len(which))), []
        for distance, many in enumerate(block.alive):
            begun, before = np.empty((many, len(which))), earned[distance, :many]
            for batch, mine in groups:
                back = max(0, distance + 1 - batch)
                gained = (sums[distance + 1, :many] - sums[back, :many])[:, None]
                np.add(earned[back, :many, mine], gained, out=begun[:, mine])
            begun -= costs
            if width > 0:
                begun -= before
                begun /= width
                chance = np.clip(0.5 * begun + 0.5, 0, 1)
                # The smoothed positive part: 0 below -1, the square of the chance up to 1, the identity beyond.
                begun -= 1
                np.maximum(begun, 0, out=begun)
                begun += chance * chance
                begun *= width
                np.add(before, begun, out=earned[distance + 1, :many])
                chances.append(chance)
            else:
                np.maximum(begun, before, out=earned[distance + 1, :many])
        counts = block.counts[:, self._place[which]]
        last = np.take_along_axis(earned, counts[None], axis=0)[0]
        return _Play((last * block.weights[:, None]).sum(axis=0), chances, counts)

    def _groups(self, which: NDArray[np.int64]) -> list[tuple[int, slice]]:
        batches, heads = np.unique(self.batches[which], return_index=True)
        ends = [*heads[1:].tolist(), len(which)]
        return [
            (batch, slice(head, end)) for batch, head, end in zip(batches.tolist(), heads.tolist(), ends, strict=True)
        ]

    def _serve(
        self, served: NDArray[np.float64], block: _Block, which: NDArray[np.int64], chances: list[NDArray[np.float64]],
        counts: NDArray[np.int64], taken: NDArray[np.bool_], shares: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Add by how much each item is run to ``served``: what is earned at the end, traced back to the runs."""
        groups, shape = self._groups(which), (len(block.weights), len(which))
        flow = np.zeros((len(block.at) + 1, *shape))
        np.put_along_axis(flow, counts[None], shares[None, None, :] * np.ones((1, *shape)), axis=0)
        change = np.zeros((len(block.at) + 1, shape[0]))
        for distance in range(len(chances) - 1, -1, -1):
            many = block.alive[distance]
            here = flow[distance + 1, :many]
            begun = here * chances[distance][:, taken]
            flow[distance, :many] += here - begun
            for batch, mine in groups:
                back = max(0, distance + 1 - batch)
                flow[back, :many, mine] += begun[:, mine]
                change[back, :many] += begun[:, mine].sum(axis=1)
            change[distance + 1, :many] -= begun.sum(axis=1)
        served[block.at] += change[:-1].cumsum(axis=0)
