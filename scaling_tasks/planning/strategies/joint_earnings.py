"""What every bucket earns in requests that are cut into batches, at some limits, and by how much each item is then run.

A bucket (batch b, size s) of cost c earns in a request the most that disjoint runs of at most b items of size ≤ s
bring in: Σ over the runs of (Σ limits of its items - c). With items in ascending order and S(j) the sum of the first j
limits, the first j items bring in E(j) = max(0, S(j) - c) for j ≤ b, since limits are not negative and one run of all
is the best; beyond, E(j) = max(E(j - 1), E(j - b) + S(j) - S(j - b) - c). A candidate earns E(items of size ≤ s).

With a width, the better of two is smoothed by a quadratic (Nesterov 2005), and by how much the second one counts is
kept as a chance, along which what a candidate is taken by is traced back to the items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.request.serving import Side
from scaling_tasks.shapes.partition import RunTable

__all__ = ["Earnings", "Taken"]

# Candidates that are looked at together, entries of a table.
_TOGETHER, _BLOCK = 240, 3_000_000
# Candidates taken by less are left out where items are traced back.
_LEAST = 1e-7

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
# Half as many bytes: those of all requests are kept until it is known by how much candidates are taken.
Chances = NDArray[np.float32]
_NO_CHANCES: Chances = np.empty((0, 0, 0), dtype=np.float32)
# By how much each candidate is taken, given what each earns.
Taken = Callable[[Numbers], Numbers]


@dataclass(frozen=True, eq=False)
class _Block:
    """Some requests, the longest first, their items by the distance from the end, so that sizes ascend with it.

    Attributes:
        rows: Which requests they are, int64 [r].
        weights: Weight of each request, float64 [r].
        lengths: Number of items of each, int64 [r].
        at: Which item is at each distance, int64 [longest, r]; one beyond the last where there is none.
        alive: How many of the requests have an item at each distance.
        counts: How many items of each request are no larger than each size, unsigned [r, sizes].
    """

    rows: Places
    weights: Numbers
    lengths: Places
    at: Places
    alive: list[int]
    counts: NDArray[np.unsignedinteger[Any]]

    @classmethod
    def of(cls, runs: RunTable, rows: Places, sizes: Places) -> _Block:
        lengths = runs.lengths[rows]
        distance = np.arange(int(lengths[0]))
        inside = distance[:, None] < lengths[None, :]
        at = np.where(inside, (runs.starts[rows] + lengths)[None, :] - 1 - distance[:, None], len(runs.items))
        place = np.searchsorted(sizes, runs.items[at[inside], 0])
        owner = np.broadcast_to(np.arange(len(rows)), at.shape)[inside]
        counts = np.bincount(owner * len(sizes) + place, minlength=len(rows) * len(sizes)).reshape(len(rows), -1)
        alive = np.searchsorted(-lengths, -distance, side="left").tolist()
        small = np.min_scalar_type(len(distance))
        return cls(rows, runs.weights[rows], lengths, at, alive, counts.cumsum(axis=1).astype(small))


@dataclass(frozen=True, eq=False)
class _Trace:
    """How candidates of one batch size earn in a block.

    Attributes:
        mine: Which of the candidates that are looked at they are.
        batch: Their batch.
        longer: How many of the requests have more items than that.
        counts: How many items of each request each candidate may run, [r, c].
        one: By how much each of the other requests is one run, float32 [r - longer, c].
        first: By how much the first 1 … batch items of a longer request are one run, float32 [batch, longer, c].
        later: By how much a run ends at each distance from there on, float32 [alive, c] each.
    """

    mine: slice
    batch: int
    longer: int
    counts: NDArray[Any]
    one: Chances
    first: Chances
    later: list[Chances]


class Earnings:
    """All buckets that requests may have, and what they earn.

    Attributes:
        runs: The requests, over one size variable.
        mass: Weight of each item, that of its request, float64 [m].
        batches: Batch of each candidate, int64 [c]; those of one batch are next to each other.
        sizes: Size of each candidate, int64 [c].
        costs: What the cheapest bucket that contains each candidate costs, float64 [c].
    """

    def __init__(self, runs: RunTable, side: Side, choices: Sequence[int]) -> None:
        axis, batches = np.unique(runs.items[:, 0]), np.asarray(sorted(choices), dtype=np.int64)
        self.runs, self.mass, self._count = runs, np.repeat(runs.weights, runs.lengths), len(axis)
        self.batches, self.sizes = np.repeat(batches, len(axis)), np.tile(axis, len(batches))
        table = side.costs(side.join(self.batches, self.sizes[:, None])).reshape(len(batches), len(axis))
        for along in (0, 1):
            # A run is served by the cheapest bucket that contains it.
            table = np.flip(np.minimum.accumulate(np.flip(table, along), axis=along), along)
        self.costs, self._place = table.ravel(), np.tile(np.arange(len(axis)), len(batches))
        count = max(1, int(_BLOCK // (_TOGETHER * max(1, int(runs.lengths.max())))))
        order = np.argsort(-runs.lengths, kind="stable")
        self._blocks = [_Block.of(runs, order[at : at + count], axis) for at in range(0, len(order), count)]

    def of_all(self, limits: Numbers) -> Numbers:
        """Return what each candidate earns, float64 [c]."""
        earned = np.zeros(len(self.costs))
        for start in range(0, len(self.costs), _TOGETHER):
            which = np.arange(start, min(start + _TOGETHER, len(self.costs)))
            for block in self._blocks:
                earned[which] += self._play(limits, block, which)[0]
        return earned

    def located(self, batches: Places, sizes: Places) -> Places:
        """Return which candidates have these batches and sizes."""
        rows = np.searchsorted(self.batches, batches)
        found: Places = rows + np.searchsorted(self.sizes[: self._count], sizes)
        return found

    def served(
        self, limits: Numbers, which: Places, taken: Taken | Numbers, widths: Numbers
    ) -> tuple[Numbers, Numbers]:
        """Return by how much each item is run, float64 [m], and each candidate that is looked at taken, float64 [c].

        Args:
            limits: One value per item, float64 [m].
            which: The candidates that are looked at, ascending.
            taken: By how much each of them is taken, or how that follows from what they earn.
            widths: Of the better of two, one per request, float64 [r].
        """
        served, plays = np.zeros(len(self.runs.items) + 1), []
        for block in self._blocks:
            plays.append((block, *self._play(limits, block, which, widths)))
            if not callable(taken):
                _trace_back(served, *plays.pop(), taken)
        if callable(taken):
            taken = taken(np.sum([earned for _, earned, _ in plays], axis=0))
        for play in plays:
            _trace_back(served, *play, taken)
        return served[:-1], taken

    def _play(
        self, limits: Numbers, block: _Block, which: Places, widths: Numbers | None = None
    ) -> tuple[Numbers, list[_Trace]]:
        """Return what candidates earn in a block, weighted by request, and with widths how."""
        sums = np.zeros((len(block.at) + 1, len(block.weights)))
        np.cumsum(np.append(limits, 0.0)[block.at], axis=0, out=sums[1:])
        earned, traces = np.zeros(len(which)), []
        wide = None if widths is None else widths[block.rows, None]
        batches, heads = np.unique(self.batches[which], return_index=True)
        for batch, head, end in zip(batches.tolist(), heads, [*heads[1:], len(which)], strict=True):
            mine = slice(int(head), int(end))
            counts, costs = block.counts[:, self._place[which[mine]]], self.costs[which[mine]]
            longer = int(np.searchsorted(-block.lengths, -batch, side="left"))
            gained = np.take_along_axis(sums[:, longer:], counts[longer:].T.astype(np.intp), axis=0).T - costs
            one = _positive_part(gained, wide, slice(longer, None))
            earned[mine] = np.einsum("r,rc->c", block.weights[longer:], gained)
            first, later = _NO_CHANCES, list[Chances]()
            if longer:
                gained, first, later = _programme(sums, block, batch, longer, counts, costs, wide)
                earned[mine] += np.einsum("r,rc->c", block.weights[:longer], gained)
            if wide is not None:
                traces.append(_Trace(mine, batch, longer, counts, one, first, later))
        return earned, traces


def _programme(
    sums: Numbers, block: _Block, batch: int, longer: int, counts: NDArray[Any], costs: Numbers, wide: Numbers | None
) -> tuple[Numbers, Chances, list[Chances]]:
    """Return what candidates of one batch size earn in requests of more items, [longer, c], and the chances of runs."""
    found = np.zeros((len(block.at) + 1, longer, len(costs)))
    head = found[1 : batch + 1]
    np.subtract(sums[1 : batch + 1, :longer, None], costs, out=head)
    first, later = _positive_part(head, wide, slice(longer)), []
    for distance in range(batch, len(block.at)):
        many, back = min(block.alive[distance], longer), distance + 1 - batch
        begun = (sums[distance + 1, :many] - sums[back, :many])[:, None] - costs
        begun += found[back, :many]
        begun -= found[distance, :many]
        later.append(_positive_part(begun, wide, slice(many)))
        np.add(begun, found[distance, :many], out=found[distance + 1, :many])
    return np.take_along_axis(found, counts[None, :longer].astype(np.intp), axis=0)[0], first, later


def _positive_part(values: Numbers, wide: Numbers | None, rows: slice) -> Chances:
    """Replace values by their positive parts; with widths smoothed, by how much each is positive is returned."""
    if wide is None:
        np.maximum(values, 0, out=values)
        return _NO_CHANCES
    values /= wide[rows]
    chance = np.clip(0.5 * values + 0.5, 0, 1)
    # 0 below -1, the square of the chance up to 1, the identity beyond.
    values -= 1
    np.maximum(values, 0, out=values)
    values += chance * chance
    values *= wide[rows]
    found: Chances = chance.astype(np.float32)
    return found


def _trace_back(served: Numbers, block: _Block, _: Numbers, traces: list[_Trace], shares: Numbers) -> None:
    """Add by how much each item is run: what is earned at the end, traced back to where runs begin and end."""
    change = np.zeros((len(block.at) + 1, len(block.weights)))
    for trace in traces:
        taken = np.flatnonzero(shares[trace.mine] > _LEAST)
        if len(taken):
            mine, counts = shares[trace.mine][taken], trace.counts[:, taken].astype(np.intp)
            _trace_one(change, trace, taken, counts, mine)
            if trace.longer:
                _trace_programme(change, block, trace, taken, counts, mine)
    served[block.at] += change[:-1].cumsum(axis=0)


def _trace_one(change: Numbers, trace: _Trace, taken: Places, counts: Places, shares: Numbers) -> None:
    rows = np.arange(trace.longer, change.shape[1])[:, None]
    run = trace.one[:, taken] * shares
    change[0, trace.longer :] += run.sum(axis=1)
    ends = counts[trace.longer :] * change.shape[1] + rows
    change -= np.bincount(ends.ravel(), run.ravel(), change.size).reshape(change.shape)


def _trace_programme(
    change: Numbers, block: _Block, trace: _Trace, taken: Places, counts: Places, shares: Numbers
) -> None:
    longer, batch = trace.longer, trace.batch
    flow = np.zeros((len(change), longer, len(taken)))
    np.put_along_axis(flow, counts[None, :longer], np.broadcast_to(shares, (1, longer, len(taken))), axis=0)
    for distance in range(len(change) - 2, batch - 1, -1):
        many, back = min(block.alive[distance], longer), distance + 1 - batch
        here = flow[distance + 1, :many]
        begun = here * trace.later[distance - batch][:, taken]
        here -= begun
        flow[distance, :many] += here
        flow[back, :many] += begun
        ended = begun.sum(axis=1)
        change[back, :many] += ended
        change[distance + 1, :many] -= ended
    ended = (flow[1 : batch + 1] * trace.first[:, :, taken]).sum(axis=2)
    change[0, :longer] += ended.sum(axis=0)
    change[1 : batch + 1, :longer] -= ended
