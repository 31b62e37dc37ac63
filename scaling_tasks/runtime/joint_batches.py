"""The cheapest runs for items of several size variables, by searching them best first: exact where few are possible.

What is left to run is a number of items per size. One of the largest sizes left must be in some run; the buckets that
contain it, and what else fills them, are the branches. A run is as full as it can be, and never takes an item while it
leaves a larger one that fits, because the larger one's place elsewhere would do for the smaller one.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scaling_tasks.runtime.selection import contains

__all__ = ["Room", "cheapest_runs", "useful_rooms"]

Size = tuple[int, ...]
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Room:
    """A bucket as the items see it: so many of at most this size, at this cost."""

    rows: int
    size: Size
    cost: float


def useful_rooms(rooms: Sequence[Room]) -> list[Room]:
    """Return the rooms that no other replaces: none that is as large in all respects costs as little."""
    kept: list[Room] = []
    for room in sorted(rooms, key=lambda room: (room.cost, -room.rows, *(-side for side in room.size))):
        if not any(other.rows >= room.rows and contains(other.size, room.size) for other in kept):
            kept.append(room)
    return kept


def cheapest_runs(
    sizes: Sequence[Size], counts: Counts, rooms: Sequence[Room], below: float, most_steps: int
) -> list[Counts] | None:
    """Return how many items of each size every run takes, at least total cost.

    Args:
        sizes: Distinct, each in some room.
        counts: How many items there are of each.
        rooms: As ``useful_rooms`` returns them.
        below: Only a total below this is of interest.
        most_steps: How many choices may be tried.

    Returns:
        The runs; None where no total is below ``below`` or the steps did not suffice to tell.
    """
    order = sorted(range(len(sizes)), key=lambda kind: sizes[kind], reverse=True)
    search = _Search([sizes[kind] for kind in order], rooms, most_steps)
    found = search.run(tuple(counts[kind] for kind in order), below)
    if found is None:
        return None
    places = [order.index(kind) for kind in range(len(sizes))]
    return [tuple(run[place] for place in places) for run in found]


class _Search:
    """Best first, by the cost so far and a bound of the rest: what a place costs in the best room, for every item.

    Args:
        sizes: In descending order, so that a size comes after all that contain it.
        rooms: The rooms.
        steps: How many choices may be tried.
    """

    def __init__(self, sizes: Sequence[Size], rooms: Sequence[Room], steps: int) -> None:
        self._steps = steps
        kinds = range(len(sizes))
        self._larger = [[other for other in range(kind) if contains(sizes[other], sizes[kind])] for kind in kinds]
        self._fitting = [(room, [kind for kind in kinds if contains(room.size, sizes[kind])]) for room in rooms]
        self._least = [
            min(room.cost / room.rows for room, fitting in self._fitting if kind in fitting) for kind in kinds
        ]

    def run(self, counts: Counts, below: float) -> list[Counts] | None:
        costs, came_from, done = {counts: 0.0}, dict[Counts, tuple[Counts, Counts]](), set[Counts]()
        order = itertools.count()
        waiting = [(self._bound(counts), next(order), counts)]
        while waiting and self._steps > 0:
            _, _, left = heapq.heappop(waiting)
            if not any(left):
                return _path(came_from, left)
            if left in done:
                continue
            done.add(left)
            for cost, taken in self._runs(left):
                rest = tuple(map(int.__sub__, left, taken))
                total = costs[left] + cost
                bound = total + self._bound(rest)
                # Sums in another order differ in their last bits, which must not look like a gain.
                if total < costs.get(rest, float("inf")) and bound < below * (1 - 1e-12):
                    costs[rest], came_from[rest] = total, (left, taken)
                    heapq.heappush(waiting, (bound, next(order), rest))
        return None

    def _bound(self, left: Counts) -> float:
        return sum(map(float.__mul__, self._least, map(float, left)))

    def _runs(self, left: Counts) -> Iterator[tuple[float, Counts]]:
        """Yield the runs that the first kind left can be in."""
        first = next(kind for kind, count in enumerate(left) if count)
        for room, fitting in self._fitting:
            if first in fitting:
                there = [kind for kind in fitting if left[kind]]
                for taken in self._fillings(left, there, room.rows):
                    counts = [0] * len(left)
                    for kind, count in zip(there, taken, strict=True):
                        counts[kind] = count
                    yield room.cost, tuple(counts)

    def _fillings(self, left: Counts, there: Sequence[int], rows: int) -> Iterator[list[int]]:
        """Yield how many of each kind a room of so many rows takes; at least one of the first kind."""

        def fill(position: int, rows: int, short: frozenset[int]) -> Iterator[list[int]]:
            self._steps -= 1
            if position == len(there):
                if not rows or not short:
                    yield []
                return
            kind = there[position]
            most = 0 if short.intersection(self._larger[kind]) else min(left[kind], rows)
            for count in range(most, -1 if position else 0, -1):
                if self._steps <= 0:
                    return
                still = short if count == left[kind] else short | {kind}
                for rest in fill(position + 1, rows - count, still):
                    yield [count, *rest]

        return fill(0, rows, frozenset())


def _path(came_from: dict[Counts, tuple[Counts, Counts]], end: Counts) -> list[Counts]:
    runs = []
    while end in came_from:
        end, taken = came_from[end]
        runs.append(taken)
    return runs
