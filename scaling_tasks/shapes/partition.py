"""Serving requests of many items: which items to run together, at least total cost. Needs numpy only.

The programme: items in some order are cut into runs of neighbours; a run begins at an item and is as long as one of the
batch sizes allows or the request ends; the least total over all cuts is found from the end backwards (`cut_request` for
one request, `RunTable` for very many at once). With one size variable and descending sizes this is the least over all
partitions. The cost of a batch depends on its count and its largest item and grows with both, so some optimal partition
consists of runs of neighbours in descending order (exchanging two items between batches so that the larger ones are
together never makes a batch dearer), and each run is as long as its bucket allows (leaving items to the rest never
makes the rest cheaper). With several size variables a few orders are tried (`orders_of`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RunTable", "Served", "cut_request", "orders_of", "weighted_total"]

Size = tuple[int, ...]


def orders_of(sizes: Sequence[Size], alone: Callable[[Size], float]) -> list[list[int]]:
    """Return the orders in which the items of one request are cut: by each variable, and by what each costs alone.

    Args:
        sizes: Per item its values of the size variables.
        alone: The least cost of running one item by itself.
    """

    def by(key: int) -> list[int]:
        return sorted(range(len(sizes)), key=lambda item: sizes[item][key:] + sizes[item][:key], reverse=True)

    if len(sizes[0]) < 2:
        return [by(0)]
    costs = {size: alone(size) for size in set(sizes)}
    dearest = sorted(range(len(sizes)), key=lambda item: costs[sizes[item]], reverse=True)
    return [*(by(key) for key in range(len(sizes[0]))), dearest]


def cut_request(
    total: int, runs: Callable[[int], Iterable[tuple[int, float, int]]]
) -> tuple[float, list[tuple[int, int, int]]]:
    """Return the least cost of cutting items 0 … total - 1 into runs, and the runs as (start, end, bucket).

    Args:
        total: Number of items.
        runs: For the item at which a run begins, the (end, cost, bucket) that it may have, ends ascending.
    """
    least = [math.inf] * total + [0.0]
    best: list[tuple[int, int]] = [(1, -1)] * total
    for start in range(total - 1, -1, -1):
        for end, cost, bucket in runs(start):
            # Of equal costs the fuller batch: fewer runs.
            if cost + least[end] <= least[start]:
                least[start] = cost + least[end]
                best[start] = (end, bucket)
    found, start = [], 0
    while start < total:
        end, bucket = best[start]
        found.append((start, end, bucket))
        start = end
    return least[0], found


@dataclass(frozen=True, eq=False)
class Served:
    """Requests served at least cost.

    Attributes:
        total: Σ cost over all batches, weighted by request; infinite where an item fits no bucket.
        uses: Weight with which each distinct run is used, float64 [u].
        requests: Cost of each request that has items, float64 [r].
        pick: Which batch size the run has that would begin at each item, int64 [m].
    """

    total: float
    uses: NDArray[np.float64]
    requests: NDArray[np.float64]
    pick: NDArray[np.int64]


def weighted_total(costs: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return Σ weight·cost, infinite where a request, even one of no weight, cannot be served."""
    return float((costs * weights).sum()) if np.isfinite(costs).all() else math.inf


class RunTable:
    """All runs that requests may be cut into, listed once. Memory is linear in the number of items.

    Args:
        items: Sizes of all items, int64 [m, d], those of one request next to each other.
        offsets: int64 [r + 1]; request i owns ``items[offsets[i]:offsets[i + 1]]``.
        choices: Batch sizes.
        weights: Weight of each request; 1 each by default.
        key: By what items are ordered, largest first, float64 [m]; the volume by default.

    Attributes:
        items: The items in the order in which they are cut, int64 [m, d].
        starts: Where each request with items begins, int64 [r].
        lengths: Its number of items, int64 [r].
        weights: Its weight, float64 [r].
        counts: Number of items of each distinct run, int64 [u].
        sizes: Largest size of each distinct run per variable, int64 [u, d].
    """

    def __init__(
        self,
        items: NDArray[np.int64],
        offsets: NDArray[np.int64],
        choices: Sequence[int],
        weights: NDArray[np.float64] | None = None,
        key: NDArray[np.float64] | None = None,
    ) -> None:
        lengths = np.diff(offsets)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        volume = items.astype(np.float64).prod(axis=1) if key is None else key
        order = np.lexsort((*(-items.T[::-1]), -volume, owner))
        filled = lengths > 0
        self.items = items[order]
        self.starts, self.lengths = np.asarray(offsets)[:-1][filled], lengths[filled]
        self.weights = (np.ones(len(lengths)) if weights is None else weights)[filled]
        self._choices = np.asarray(sorted(set(choices)), dtype=np.int64)
        self._end = np.repeat(self.starts + self.lengths, self.lengths)
        self._list_runs()

    def _list_runs(self) -> None:
        count, dimensions = self.items.shape
        axes = [np.unique(column) for column in self.items.T]
        places = [np.searchsorted(axis, column) for axis, column in zip(axes, self.items.T, strict=True)]
        here = np.arange(count)
        most = int(self.lengths.max(initial=0))
        shape = (most + 1, *(len(axis) for axis in axes))
        self._next = np.empty((len(self._choices), count), dtype=np.int64)
        keys = np.empty((len(self._choices), count), dtype=np.int64)
        for row, choice in enumerate(self._choices.tolist()):
            self._next[row] = np.minimum(here + choice, self._end)
            largest = [self._window(place, choice) if dimensions > 1 else place for place in places]
            keys[row] = np.ravel_multi_index((self._next[row] - here, *largest), shape)
        distinct, codes = np.unique(keys, return_inverse=True)
        self._codes = codes.reshape(keys.shape).astype(np.int32)
        found = np.unravel_index(distinct, shape)
        self.counts = found[0].astype(np.int64)
        columns = [axis[place] for axis, place in zip(axes, found[1:], strict=True)]
        self.sizes = np.stack(columns, axis=1) if columns else np.zeros((len(distinct), 0), dtype=np.int64)
        # Longest requests first: those that still have an item at some distance from their end come first.
        self._longest = np.argsort(-self.lengths, kind="stable")

    def _window(self, place: NDArray[np.int64], choice: int) -> NDArray[np.int64]:
        """Return the largest place in the run of at most ``choice`` items that begins at each."""
        largest: NDArray[np.int64] = place.copy()
        reach = 1
        here = np.arange(len(place))
        while reach < choice and reach < int(self.lengths.max(initial=0)):
            step = min(reach, choice - reach)
            beyond = here + step
            inside = beyond < self._end
            largest[inside] = np.maximum(largest[inside], largest[beyond[inside]])
            reach += step
        return largest

    def run_costs(
        self, batches: NDArray[np.int64], shapes: NDArray[np.int64], costs: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what each distinct run costs in each bucket, infinite where it does not fit, float64 [u, k]."""
        fits = self.counts[:, None] <= batches[None, :]
        for column, sizes in zip(self.sizes.T, shapes.T, strict=True):
            fits &= column[:, None] <= sizes[None, :]
        return np.where(fits, costs[None, :], np.inf)

    def serve(self, run_costs: NDArray[np.float64]) -> Served:
        """Return the least total cost, given what each distinct run costs, float64 [u]."""
        least = np.zeros(len(self.items) + 1)
        pick = np.zeros(len(self.items), dtype=np.int64)
        starts, lengths = self.starts[self._longest], self.lengths[self._longest]
        alive = np.searchsorted(-lengths, -np.arange(int(lengths.max(initial=0))), side="left")
        for distance, many in enumerate(alive.tolist()):
            at = starts[:many] + lengths[:many] - 1 - distance
            beyond = self._next[:, at]
            rest = np.where(beyond < self._end[at], least[np.minimum(beyond, len(self.items))], 0.0)
            options = run_costs[self._codes[:, at]] + rest
            pick[at] = options.argmin(axis=0)
            least[at] = options.min(axis=0)
        costs = least[self.starts]
        return Served(weighted_total(costs, self.weights), self._uses(pick), costs, pick)

    def batches(
        self, served: Served, run_costs: NDArray[np.float64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Yield the first runs of all requests, then the second ones, …: where they begin and end, what they cost."""
        position, end = self.starts.copy(), self.starts + self.lengths
        while len(position):
            chosen = served.pick[position]
            following = self._next[chosen, position]
            yield position, following, run_costs[self._codes[chosen, position]]
            more = following < end
            position, end = following[more], end[more]

    def some(self, count: int) -> RunTable:
        """Return the runs of ``count`` of the requests, evenly spread."""
        picked = np.unique(np.linspace(0, len(self.starts) - 1, min(count, len(self.starts))).astype(np.int64))
        parts = [self.items[self.starts[row] : self.starts[row] + self.lengths[row]] for row in picked.tolist()]
        offsets = np.concatenate([[0], self.lengths[picked].cumsum()])
        return RunTable(np.concatenate(parts), offsets, self._choices.tolist(), self.weights[picked])

    def _uses(self, pick: NDArray[np.int64]) -> NDArray[np.float64]:
        uses: NDArray[np.float64] = np.zeros(len(self.counts))
        rows = np.arange(len(self.starts))
        position = self.starts.copy()
        while len(rows):
            at = position[rows]
            np.add.at(uses, self._codes[pick[at], at], self.weights[rows])
            position[rows] = self._next[pick[at], at]
            rows = rows[position[rows] < (self.starts + self.lengths)[rows]]
        return uses
