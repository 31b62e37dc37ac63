"""Buckets that are the product of one list per variable, for platforms that take nothing else.

With all lists but one held, that one is a one-variable problem again: a sample's cost is a nondecreasing function of
the value it is rounded up to, and sums of such functions over runs satisfy the quadrangle inequality. Lists are
improved in turn, for every way to split the number of buckets among the variables. A lower bound for free buckets
bounds these as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import CostFunction, CostModel, cost_of, prices_of

__all__ = ["choose_product", "cut_groups", "product_of", "splits"]

_ROUNDS = 6


def product_of(lists: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return every combination, int64 [k, d]."""
    return np.asarray(list(itertools.product(*(values.tolist() for values in lists))), dtype=np.int64).reshape(
        -1, len(lists)
    )


def choose_product(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most: int,
    *,
    price: float | CostFunction = 0.0,
    top: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """Return the best product of lists found, at most ``most`` buckets, int64 [k, d].

    Args:
        samples: Distinct samples, int64 [n, d].
        weights: Positive weights, float64 [n].
        model: A nondecreasing cost model.
        most: Largest number of buckets.
        price: Price of each bucket.
        top: A bucket that must be among them; it contains every sample.
    """
    ceiling = samples.max(axis=0) if top is None else np.asarray(top, dtype=np.int64)
    axes = [np.unique([*column.tolist(), int(end)]) for column, end in zip(samples.T, ceiling, strict=True)]
    best, found = np.inf, [axis[-1:] for axis in axes]
    for counts in splits(most, [len(axis) for axis in axes]):
        lists = [axis[_equal(len(axis), count)] for axis, count in zip(axes, counts, strict=True)]
        total = np.inf
        for _ in range(_ROUNDS):
            for column, count in enumerate(counts):
                lists[column], reached = _improve(samples, weights, model, axes, lists, column, count)
            if reached >= total * (1 - 1e-12):
                break
            total = reached
        total += float(prices_of(price, product_of(lists)).sum())
        if total < best:
            best, found = total, lists
    return product_of(found)


def _equal(length: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` positions at equal distances, the last one among them."""
    return np.unique((np.arange(1, count + 1) * length // count) - 1)


def splits(most: int, lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the maximal ways to give each variable a number of values with a product of at most ``most``."""
    if len(lengths) == 1:
        yield (max(1, min(most, lengths[0])),)
        return
    tried = set()
    for first in range(1, min(most, lengths[0]) + 1):
        rest = most // first
        # Of all first counts that leave the same room, the largest is the best.
        if first < lengths[0] and most // (first + 1) == rest:
            continue
        for others in splits(rest, lengths[1:]):
            if (first, *others) not in tried:
                tried.add((first, *others))
                yield (first, *others)


def _improve(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    axes: Sequence[NDArray[np.int64]],
    lists: Sequence[NDArray[np.int64]],
    column: int,
    count: int,
) -> tuple[NDArray[np.int64], float]:
    """Return the best list for one variable with the others held, and the total it reaches."""
    served = np.stack(
        [values[np.searchsorted(values, sizes)] for values, sizes in zip(lists, samples.T, strict=True)], axis=1
    )
    # Samples that share the other coordinates' buckets and their own value cost the same whatever is chosen here.
    served[:, column] = samples[:, column]
    rows, inverse = np.unique(served, axis=0, return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights, len(rows))
    axis = axes[column]
    others, group = np.unique(np.delete(rows, column, axis=1), axis=0, return_inverse=True)
    table = np.zeros((len(axis), len(others)))
    np.add.at(table, (np.searchsorted(axis, rows[:, column]), group.ravel()), mass)
    grid = np.repeat(others, len(axis), axis=0)
    shapes = np.insert(grid, column, np.tile(axis, len(others)), axis=1)
    costs = cost_of(model, shapes).reshape(len(others), len(axis)).T
    ends, total = cut_groups(table, costs, count)
    return axis[ends], total


def cut_groups(weights: NDArray[np.float64], costs: NDArray[np.float64], most: int) -> tuple[NDArray[np.int64], float]:
    """Return the best run ends over positions in order, and the least total, when samples differ in cost function.

    Args:
        weights: Weight of group g at each position, float64 [n, g].
        costs: Cost of group g when served at each position, nondecreasing in it, float64 [n, g].
        most: Largest number of runs.
    """
    count = len(weights)
    heavy = np.vstack([np.zeros(weights.shape[1]), np.cumsum(weights, axis=0)])
    whole = (costs * heavy[1:]).sum(axis=1)
    # runs[i, j]: positions i … j served at j.
    runs = whole[None, :] - heavy[:-1] @ costs.T
    runs[np.tril_indices(count, -1)] = np.inf
    best, choices = whole.copy(), [np.zeros(count, dtype=np.int64)]
    for _ in range(1, min(most, count)):
        totals = runs + np.concatenate([[0.0], best[:-1]])[:, None]
        choices.append(totals.argmin(axis=0))
        best = totals[choices[-1], np.arange(count)]
    end, layer, found = count - 1, len(choices) - 1, []
    while end >= 0:
        found.append(end)
        end = int(choices[layer][end]) - 1 if layer >= 0 else -1
        layer -= 1
    return np.asarray(found[::-1], dtype=np.int64), float(best[-1])
