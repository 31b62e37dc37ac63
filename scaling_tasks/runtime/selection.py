"""Which bucket serves a shape: the cheapest that contains it, from a table made once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from scaling_tasks.errors import BundleError

__all__ = ["BucketTable", "contains"]

# 4 bytes each; above it the buckets are searched in order of cost.
_MOST_CELLS = 1 << 20


class BucketTable:
    """Answers in one binary search per variable.

    The distinct sizes of each variable cut the space of shapes into cells; within a cell all shapes have the same
    cheapest containing bucket, so it is looked up instead of searched.

    Args:
        buckets: One row per bucket, one column per variable.
        costs: What one inference at each bucket costs.

    Raises:
        BundleError: There is no bucket.
    """

    def __init__(self, buckets: Sequence[Sequence[int]], costs: Sequence[float]) -> None:
        if not buckets:
            raise BundleError("there is no bucket", fix="Build the bundle again.")
        self.buckets = [tuple(bucket) for bucket in buckets]
        self.costs = list(costs)
        # Equal costs: the smaller bucket, which pads less.
        self._order = sorted(range(len(buckets)), key=lambda i: (costs[i], int(np.prod(buckets[i])), self.buckets[i]))
        self._edges = [sorted(set(column)) for column in zip(*self.buckets, strict=True)]
        self._strides = _strides([len(edges) for edges in self._edges])
        cells = int(np.prod([len(edges) for edges in self._edges], dtype=np.float64))
        self._cells = self._fill(self._order) if cells <= _MOST_CELLS else None

    @property
    def served(self) -> Sequence[int]:
        """The indices of the buckets that are found, the cheapest first: all, or those that ``keep`` left."""
        return self._order

    def keep(self, buckets: Collection[int]) -> bool:
        """Find no others from now on, if these contain all that is contained now; return whether they do."""
        order = [index for index in self._order if index in buckets]
        if not all(any(contains(self.buckets[i], self.buckets[each]) for i in order) for each in self._order):
            return False
        cells = None if self._cells is None else self._fill(order)
        self._order, self._cells = order, cells
        return True

    @property
    def largest(self) -> tuple[int, ...]:
        """The largest size of each variable over all buckets."""
        return tuple(edges[-1] for edges in self._edges)

    def find(self, shape: Sequence[int]) -> int:
        """Return the index of the cheapest bucket that contains ``shape`` (one value per variable), -1 for none."""
        if self._cells is None:
            return next(self.containing(shape), -1)
        cell = 0
        for edges, stride, size in zip(self._edges, self._strides, shape, strict=True):
            position = bisect_left(edges, size)
            if position == len(edges):
                return -1
            cell += position * stride
        return self._cells[cell]

    def containing(self, shape: Sequence[int]) -> Iterator[int]:
        """Yield the indices of all buckets that contain ``shape``, the cheapest first."""
        for index in self._order:
            if contains(self.buckets[index], shape):
                yield index

    def _fill(self, order: Sequence[int]) -> list[int]:
        none = len(order)
        ranks = np.full([len(edges) for edges in self._edges], none, dtype=np.int32)
        for rank, index in reversed(list(enumerate(order))):
            ranks[tuple(map(bisect_left, self._edges, self.buckets[index]))] = rank
        for axis in range(ranks.ndim):
            # A bucket also contains everything below it.
            ranks = np.flip(np.minimum.accumulate(np.flip(ranks, axis), axis=axis), axis)
        return [int(value) for value in np.array([*order, -1])[ranks.ravel()]]


def contains(bucket: Sequence[int], shape: Sequence[int]) -> bool:
    """Return whether a bucket contains a shape."""
    return all(have >= want for have, want in zip(bucket, shape, strict=True))


def _strides(lengths: Sequence[int]) -> list[int]:
    strides = [1] * len(lengths)
    for axis in range(len(lengths) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * lengths[axis + 1]
    return strides
