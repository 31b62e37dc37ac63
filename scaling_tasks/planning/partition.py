"""Serving requests of many items: which items to run together, at least total cost. Needs numpy only.

With one size variable the partition is exact. The cost of a batch depends on its count and its largest item and
grows with both, so some optimal partition consists of runs of neighbours in descending order of size (exchanging two
items between batches so that the larger ones are together never makes a batch dearer), and each run is as long as
its bucket allows or the request ends (leaving items to the rest never makes the rest cheaper). A dynamic programme
over the items finds it. With several size variables the same programme runs over the items in descending order of
their volume, which is a heuristic.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RunTable", "Served"]


@dataclass(frozen=True, eq=False)
class Served:
    """Requests served at least cost.

    Attributes:
        total: Σ cost over all batches, weighted by request; infinite where an item fits no bucket.
        uses: Weight with which each distinct run is used, float64 [u].
    """

    total: float
    uses: NDArray[np.float64]


class RunTable:
    """All runs that requests may be cut into, listed once.

    A run begins at some item and holds as many items as one of the batch sizes allows.

    Args:
        items: Sizes of all items, int64 [m, d], those of one request next to each other.
        offsets: int64 [r + 1]; request i owns ``items[offsets[i]:offsets[i + 1]]``.
        choices: Batch sizes.
        weights: Weight of each request; 1 each by default.

    Attributes:
        counts: Number of items of each distinct run, int64 [u].
        sizes: Largest size of each distinct run per variable, int64 [u, d].
    """

    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __init__(
        self,
        items: NDArray[np.int64],
        offsets: NDArray[np.int64],
        choices: Sequence[int],
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        lengths = np.diff(offsets)
        self._choices = sorted(set(choices))
        self._weights = (np.ones(len(lengths)) if weights is None else weights)[lengths > 0]
        filled = [(int(a), int(b)) for a, b in itertools.pairwise(offsets) if b > a]
        self._lengths = np.asarray([b - a for a, b in filled], dtype=np.int64)
        longest = int(self._lengths.max()) if filled else 0
        table = np.zeros((longest, len(filled), items.shape[1]), dtype=np.int64)
        for column, (start, end) in enumerate(filled):
            table[: end - start, column] = items[start:end][descending(items[start:end])]
        self._list_runs(table)

    def _list_runs(self, table: NDArray[np.int64]) -> None:
        longest, requests, variables = table.shape
        left = self._lengths[None, :] - np.arange(longest)[:, None]
        rows = []
        for choice in self._choices:
            joined = table.copy()
            for shift in range(1, min(choice, longest)):
                np.maximum(joined[:-shift], table[shift:], out=joined[:-shift])
            rows.append(np.concatenate([np.minimum(left, choice)[..., None], joined], axis=2))
        runs = np.stack(rows) if rows else np.zeros((0, longest, requests, variables + 1), dtype=np.int64)
        real = np.broadcast_to(left > 0, runs.shape[:3])
        distinct, codes = np.unique(runs[real], axis=0, return_inverse=True)
        self._codes = np.zeros(runs.shape[:3], dtype=np.int64)
        self._codes[real] = codes.ravel()
        self._real = left > 0
        self.counts, self.sizes = distinct[:, 0], distinct[:, 1:]

    def run_costs(
        self, batches: NDArray[np.int64], shapes: NDArray[np.int64], costs: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what each distinct run costs in each bucket, infinite where it does not fit, float64 [u, k]."""
        fits = (self.counts[:, None] <= batches[None, :]) & (self.sizes[:, None, :] <= shapes[None, :, :]).all(axis=2)
        return np.where(fits, costs[None, :], np.inf)

    def serve(self, run_costs: NDArray[np.float64]) -> Served:
        """Return the least total cost, given what each distinct run costs, float64 [u]."""
        longest = len(self._real)
        reach = longest + max(self._choices, default=1)
        least = np.zeros((reach + 1, len(self._lengths)))
        pick = np.zeros((longest, len(self._lengths)), dtype=np.int64)
        for position in range(longest - 1, -1, -1):
            options = [
                run_costs[self._codes[index, position]] + least[position + choice]
                for index, choice in enumerate(self._choices)
            ]
            stacked = np.stack(options)
            pick[position] = stacked.argmin(axis=0)
            least[position] = np.where(self._real[position], stacked.min(axis=0), 0.0)
        return Served(float(least[0] @ self._weights), self._uses(pick))

    def _uses(self, pick: NDArray[np.int64]) -> NDArray[np.float64]:
        uses = np.zeros(len(self.counts))
        position = np.zeros(len(self._lengths), dtype=np.int64)
        rows = np.arange(len(self._lengths))
        sizes = np.asarray(self._choices, dtype=np.int64)
        while len(rows):
            chosen = pick[position[rows], rows]
            np.add.at(uses, self._codes[chosen, position[rows], rows], self._weights[rows])
            position[rows] += sizes[chosen]
            rows = rows[position[rows] < self._lengths[rows]]
        return uses


def descending(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of items by volume, largest first, ties by their sizes, int64 [m]."""
    volume = items.astype(np.float64).prod(axis=1)
    return np.lexsort((*items.T[::-1], volume))[::-1]
