"""Plans by trying everything, for small instances."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Cost = Callable[[NDArray[np.int64]], NDArray[np.float64]]


def best_total(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    cost: Cost,
    most: int,
    sizes: Sequence[NDArray[np.int64]] | None = None,
) -> float:
    """Return the least Σ w·cost(bucket) over all sets of at most ``most`` buckets that contain every sample.

    Buckets are the joins of samples, or all combinations of ``sizes``, one list per variable.
    """
    columns = [np.unique(column) for column in samples.T] if sizes is None else sizes
    grid = np.asarray(list(itertools.product(*columns)), dtype=np.int64)
    costs = np.asarray(cost(grid), dtype=np.float64)
    served = np.where((samples[:, None, :] <= grid[None, :, :]).all(axis=2), costs[None, :], np.inf)
    best = np.inf
    for size in range(1, min(most, len(grid)) + 1):
        for chosen in itertools.combinations(range(len(grid)), size):
            best = min(best, float(served[:, chosen].min(axis=1) @ weights))
    return best


class RandomCost:
    """A random nondecreasing cost on sizes below ``side``: cumulative sums of random steps along every axis."""

    def __init__(self, seed: int, variables: int, side: int = 12) -> None:
        table = np.random.default_rng(seed).random((side,) * variables) ** 3
        for axis in range(variables):
            table = table.cumsum(axis=axis)
        self.table = table

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.table[tuple(np.asarray(shapes).T)]
