"""A proven lower bound for requests of items of one size variable that are cut into batches.

Each item has a limit v. A bucket (batch b, size s) earns in a request the most that disjoint runs of at most b items of
size ≤ s bring in: Σ over the runs of (Σ limits of its items - cost of the bucket). Relaxing "each item is run once" by
the limits, the k buckets that earn most are taken:

    L(v) = Σ v - (sum of the k largest earnings)

is a lower bound for every v ≥ 0. A programme over positions gives the earnings of all buckets at once: what is earned
from an item on is the better of leaving it out and of beginning the fullest run there (limits are not negative, so a
fuller run of the same cost earns no less).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.request.serving import Side
from scaling_tasks.planning.solver.bound import smoothed_shares
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.shapes.partition import RunTable

__all__ = ["bound_requests"]

# Candidates that are looked at between passes over all, steps between such passes, and requests at a time.
_ACTIVE, _STEPS, _BLOCK = 160, 10, 512
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
        return game.climb(start, most, upper, max(2, min(40, 2 * effort.ascent // max(1, whole))))
    part = runs.some(max(1, len(runs.starts) * _WORK // whole))
    small = _Game.of(part, side, choices)
    few = side.table(part, buckets).min(axis=1)
    known = part.serve(few).total
    learnt = small.climbed(_shared(part, few), most, known, 12)
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


class _Game:
    """What every bucket earns at some limits.

    Items are laid out by their distance from the end of their request, so that sizes ascend with it.
    """

    def __init__(
        self, runs: RunTable, batches: NDArray[np.int64], sizes: NDArray[np.int64], costs: NDArray[np.float64]
    ):
        self.runs, self.batches, self.sizes, self.costs = runs, batches, sizes, costs
        self._order = np.argsort(-runs.lengths, kind="stable")

    @classmethod
    def of(cls, runs: RunTable, side: Side, choices: Sequence[int]) -> _Game:
        sizes, batches = np.unique(runs.items[:, 0]), np.asarray(sorted(choices), dtype=np.int64)
        grid_batches, grid_sizes = np.repeat(batches, len(sizes)), np.tile(sizes, len(batches))
        table = side.costs(side.join(grid_batches, grid_sizes[:, None])).reshape(len(batches), len(sizes))
        for axis in (0, 1):
            # A run is served by the cheapest bucket that contains it.
            table = np.flip(np.minimum.accumulate(np.flip(table, axis), axis=axis), axis)
        return cls(runs, grid_batches, grid_sizes, table.ravel())

    def bound(self, limits: NDArray[np.float64], most: int) -> tuple[float, NDArray[np.float64]]:
        """Return L at ``limits``, and what each candidate earns."""
        earned = self.earned(limits, np.arange(len(self.costs)))
        count = min(most, len(earned))
        top = np.sort(np.partition(earned, len(earned) - count)[len(earned) - count :])
        mass = np.repeat(self.runs.weights, self.runs.lengths)
        return float((mass * limits).sum() - np.maximum(top, 0).sum()), earned

    def climb(self, limits: NDArray[np.float64], most: int, upper: float, rounds: int) -> float:
        """Return the best bound found."""
        return self.bound(self.climbed(limits, most, upper, rounds), most)[0]

    def climbed(self, limits: NDArray[np.float64], most: int, upper: float, rounds: int) -> NDArray[np.float64]:
        """Return better limits: smoothed, accelerated steps that look only at what earned most when all were seen."""
        weights = np.repeat(self.runs.weights, self.runs.lengths)
        mean = max(1e-300, float(weights.sum()))
        limits = self._lifted(limits, most)
        best, earned = self.bound(limits, most)
        here, found = limits, limits
        scale = limits / max(1e-300, float((limits * weights).sum() / mean))
        largest = int(self.runs.items[:, 0].argmax())
        # The largest item must be run however little it weighs: its steps are as long as that takes.
        scale[largest] = max(1.0, _LARGEST * mean / max(1e-300, float(weights[largest])))
        unit = upper / max(1, most)
        for turn in range(rounds):
            active = np.argsort(-earned, kind="stable")[: max(_ACTIVE, 3 * most)]
            smoothing = unit * 0.05 * (0.02 ** (turn / max(1, rounds - 1)))
            before, pace = here, 1.0
            for _ in range(_STEPS):
                served = self.served(here, active, most, smoothing)
                slope = 1.0 - served
                after = np.maximum(here + 10.0 * smoothing / mean * scale * slope, 0)
                faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
                here = np.maximum(after + (pace - 1) / faster * (after - before), 0)
                before, pace = after, faster
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

    def earned(self, limits: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each of the candidates ``which`` earns, float64."""
        total = np.zeros(len(which))
        for batch in np.unique(self.batches[which]).tolist():
            mine = np.flatnonzero(self.batches[which] == batch)
            for rows in self._blocks():
                total[mine] += self._play(limits, rows, which[mine], batch)[0]
        return total

    def served(
        self, limits: NDArray[np.float64], which: NDArray[np.int64], most: int, smoothing: float
    ) -> NDArray[np.float64]:
        """Return by how much each item is run when the candidates ``which`` are taken in smoothed shares."""
        played: list[tuple[NDArray[np.int64], NDArray[np.int64], int, list[NDArray[np.bool_]], NDArray[np.int64]]] = []
        total = np.zeros(len(which))
        for batch in np.unique(self.batches[which]).tolist():
            mine = np.flatnonzero(self.batches[which] == batch)
            for rows in self._blocks():
                gained, taken, counts = self._play(limits, rows, which[mine], batch, keep=True)
                total[mine] += gained
                played.append((mine, rows, batch, taken, counts))
        shares = smoothed_shares(total, most, smoothing)
        served = np.zeros(len(self.runs.items) + 1)
        for mine, rows, batch, taken, counts in played:
            if shares[mine].any():
                self._serve(served, rows, batch, taken, counts, shares[mine])
        return served[:-1]

    def _blocks(self) -> list[NDArray[np.int64]]:
        return [self._order[start : start + _BLOCK] for start in range(0, len(self._order), _BLOCK)]

    def _play(
        self, limits: NDArray[np.float64], rows: NDArray[np.int64], which: NDArray[np.int64], batch: int,
        keep: bool = False,
    ) -> tuple[NDArray[np.float64], list[NDArray[np.bool_]], NDArray[np.int64]]:  # fmt: skip
        """Play the programme for candidates of one batch size over a block of requests, the longest first."""
        runs, costs = self.runs, self.costs[which]
        lengths, ends = runs.lengths[rows], runs.starts[rows] + runs.lengths[rows]
        longest = int(lengths[0])
        sums = np.zeros((longest + 1, len(rows)))
        sizes = np.full((longest, len(rows)), np.iinfo(np.int64).max)
        alive = np.searchsorted(-lengths, -np.arange(longest), side="left").tolist()
        for distance, many in enumerate(alive):
            at = ends[:many] - 1 - distance
            sizes[distance, :many] = runs.items[at, 0]
            sums[distance + 1, :many] = sums[distance, :many] + limits[at]
        # How many items of each request a candidate may run.
        counts = np.stack([(sizes <= size).sum(axis=0) for size in self.sizes[which].tolist()], axis=1)
        total, taken = np.zeros(len(which)), []
        zero = np.zeros((len(rows), len(which)))
        past = [zero]
        for distance, many in enumerate(alive):
            back = max(0, distance + 1 - batch)
            begun = (
                (sums[distance + 1, :many] - sums[back, :many])[:, None] - costs + past[max(-len(past), -batch)][:many]
            )
            before = past[-1][:many]
            take = begun > before
            earned = np.where(take, begun, before)
            ending = counts[:many] == distance + 1
            if ending.any():
                total += (np.where(ending, earned, 0.0) * runs.weights[rows[:many], None]).sum(axis=0)
            if keep:
                taken.append(take)
            past.append(earned)
            if len(past) > batch:
                past.pop(0)
        return total, taken, counts

    def _serve(
        self, served: NDArray[np.float64], rows: NDArray[np.int64], batch: int, taken: list[NDArray[np.bool_]],
        counts: NDArray[np.int64], shares: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Add by how much each item is run to ``served``."""
        ends = self.runs.starts[rows] + self.runs.lengths[rows]
        steps = np.zeros(len(served))
        place = counts.copy()
        for distance in range(len(taken) - 1, -1, -1):
            here = place[: len(taken[distance])] == distance + 1
            begun = here & taken[distance]
            row, column = np.nonzero(begun)
            if len(row):
                first = ends[row] - 1 - distance
                stop = np.minimum(first + batch, ends[row])
                np.add.at(steps, first, shares[column])
                np.add.at(steps, stop, -shares[column])
            part = place[: len(taken[distance])]
            part[begun] -= batch
            part[here & ~taken[distance]] -= 1
        served += steps.cumsum()
