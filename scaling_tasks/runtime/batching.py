"""Which items run together: the partition of items into batches of least total cost."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scaling_tasks.runtime.joint_batches import Room, cheapest_runs, useful_rooms
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.shapes.partition import Size, cut_request, orders_of

__all__ = ["Batch", "Batcher"]

# Beyond this many distinct sizes the memory of choices starts again.
_MOST_REMEMBERED = 1 << 14

# How many choices are tried in the search; some milliseconds.
_MOST_STEPS = 1 << 12


@dataclass(frozen=True)
class Batch:
    """Items that run together.

    Attributes:
        bucket: Index of the bucket.
        items: Indices of the items, at most as many as the bucket has rows.
    """

    bucket: int
    items: tuple[int, ...]


class Batcher:
    """Partitions items over the buckets of a table.

    By the programme of ``shapes.partition``, exact with one size variable. With several its result is taken unless a
    search of bounded length finds a cheaper one (``joint_batches``): it is exact up to about a dozen items, and for
    more where few distinct sizes lie between the buckets.

    Args:
        table: The buckets.
        batch_column: Which column of a bucket is the batch.
    """

    def __init__(self, table: BucketTable, batch_column: int) -> None:
        self._table, self._column = table, batch_column
        # One item alone always fits, also where no bucket has a single row.
        buckets = [table.buckets[index] for index in table.served]
        self._counts = sorted({1} | {bucket[batch_column] for bucket in buckets})
        self._choices: dict[Size, list[tuple[int, float, int]]] = {}
        pairs = zip(buckets, (table.costs[index] for index in table.served), strict=True)
        self._rooms = useful_rooms([Room(bucket[batch_column], self._without(bucket), cost) for bucket, cost in pairs])
        self._edges = [sorted(set(column)) for column in zip(*(room.size for room in self._rooms), strict=True)]

    def find(self, count: int, size: Size) -> int:
        """Return the cheapest bucket for ``count`` items of ``size`` in one run, -1 for none."""
        return self._table.find((*size[: self._column], count, *size[self._column :]))

    def partition(self, sizes: Sequence[Size]) -> list[Batch]:
        """Return batches that hold every item once.

        Args:
            sizes: Per item its values of the variables other than the batch; each is contained in some bucket.
        """
        if not sizes:
            return []
        orders = orders_of(sizes, lambda size: min(cost for _, cost, _ in self._options(size)))
        cost, batches = min((self._divide(order, sizes) for order in orders), key=lambda result: result[0])
        return batches if len(sizes[0]) < 2 else self._search(sizes, cost) or batches

    def least_cost(self, size: Size) -> float:
        """Return what an item of ``size`` costs at least, in the best batch of others that need no larger bucket."""
        return min(cost / count for count, cost, _ in self._options(size))

    def _search(self, sizes: Sequence[Size], below: float) -> list[Batch]:
        """Return batches that cost less than ``below``; none where there are none, or finding them takes too long."""
        kinds: dict[Size, list[int]] = defaultdict(list)
        for item, size in enumerate(sizes):
            # Sizes that the same buckets contain are one size.
            pairs = zip(self._edges, size, strict=True)
            kinds[tuple(edges[bisect_left(edges, side)] for edges, side in pairs)].append(item)
        counts = tuple(map(len, kinds.values()))
        batches = []
        for taken in cheapest_runs(list(kinds), counts, self._rooms, below, _MOST_STEPS) or ():
            items = [kind.pop() for kind, count in zip(kinds.values(), taken, strict=True) for _ in range(count)]
            largest = tuple(max(column) for column in zip(*(sizes[item] for item in items), strict=True))
            batches.append(Batch(self.find(len(items), largest), tuple(items)))
        return batches

    def _without(self, bucket: Size) -> Size:
        """Return a bucket without its batch."""
        return (*bucket[: self._column], *bucket[self._column + 1 :])

    def _divide(self, order: Sequence[int], sizes: Sequence[Size]) -> tuple[float, list[Batch]]:
        """Return the least cost of cutting ``order`` into runs, and the runs."""
        cost, runs = cut_request(len(order), lambda start: self._runs(order, sizes, start))
        return cost, [Batch(bucket, tuple(order[start:end])) for start, end, bucket in runs]

    def _runs(self, order: Sequence[int], sizes: Sequence[Size], start: int) -> Iterator[tuple[int, float, int]]:
        """Yield the (end, cost, bucket) of every run that may begin at ``start``."""
        largest, reach, total = sizes[order[start]], start + 1, len(order)
        for count, cost, bucket in self._options(largest):
            end = min(start + count, total)
            if len(largest) > 1:
                # Neighbours may be larger in another variable, and then need another bucket.
                while reach < end:
                    largest = tuple(map(max, largest, sizes[order[reach]]))
                    reach += 1
                bucket = self.find(end - start, largest)
                cost = self._table.costs[bucket] if bucket >= 0 else math.inf
            yield end, cost, bucket
            if end == total:
                break

    def _options(self, size: Size) -> list[tuple[int, float, int]]:
        """Return (count, cost, bucket) for every batch size in which an item of ``size`` can run, counts ascending."""
        options = self._choices.get(size)
        if options is None:
            found = ((count, self.find(count, size)) for count in self._counts)
            options = [(count, self._table.costs[bucket], bucket) for count, bucket in found if bucket >= 0]
            if len(self._choices) >= _MOST_REMEMBERED:
                self._choices.clear()
            self._choices[size] = options
        return options
