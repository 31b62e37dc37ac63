"""Choices that are the product of one list per dimension, for platforms that take nothing else.

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

from scaling_tasks.planning.solver.problem import Function, Problem

__all__ = ["choose_product", "cut_groups", "product_of", "splits"]

_ROUNDS = 6


def product_of(lists: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return every combination, int64 [k, d]."""
    return np.asarray(list(itertools.product(*(values.tolist() for values in lists))), dtype=np.int64).reshape(
        -1, len(lists)
    )


def choose_product(problem: Problem) -> NDArray[np.int64]:
    """Return the best product of lists found, at most ``most`` candidates, int64 [k, d].

    Every way to split the number among the dimensions is begun from; a price lets lists become shorter.
    """
    axes = problem.coordinates()
    samples, weights = problem.points, problem.weights
    ceiling = samples.max(axis=0) if problem.forced is None else problem.forced.max(axis=0)
    best, found = np.inf, [axis[np.searchsorted(axis, end) :][:1] for axis, end in zip(axes, ceiling, strict=True)]
    axes = [axis[: np.searchsorted(axis, end) + 1] for axis, end in zip(axes, ceiling, strict=True)]
    for counts in splits(problem.most, [len(axis) for axis in axes]):
        lists = [axis[_equal(len(axis), count)] for axis, count in zip(axes, counts, strict=True)]
        total = np.inf
        for _ in range(_ROUNDS):
            for column, count in enumerate(counts):
                lists[column] = _improve(samples, weights, problem, axes, lists, column, count)
            reached = product_total(problem, lists)
            if reached >= total * (1 - 1e-12):
                break
            total = reached
        if (reached := product_total(problem, lists)) < best:
            best, found = reached, list(lists)
    return product_of(found)


def product_total(problem: Problem, lists: Sequence[NDArray[np.int64]]) -> float:
    """Return what the product of some lists costs, each point served by the least product that contains it."""
    served = np.stack(
        [values[np.searchsorted(values, sizes)] for values, sizes in zip(lists, problem.points.T, strict=True)], axis=1
    )
    return float((problem.cost(served) * problem.weights).sum()) + float(problem.prices(product_of(lists)).sum())


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
    problem: Problem,
    axes: Sequence[NDArray[np.int64]],
    lists: Sequence[NDArray[np.int64]],
    column: int,
    count: int,
) -> NDArray[np.int64]:
    """Return the best list for one dimension with the others held, of at most ``count`` values."""
    served = np.stack(
        [values[np.searchsorted(values, sizes)] for values, sizes in zip(lists, samples.T, strict=True)], axis=1
    )
    # Points that share the other coordinates and their own value cost the same whatever is chosen here.
    served[:, column] = samples[:, column]
    rows, inverse = np.unique(served, axis=0, return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights, len(rows))
    axis = axes[column]
    others, group = np.unique(np.delete(rows, column, axis=1), axis=0, return_inverse=True)
    table = np.zeros((len(axis), len(others)))
    np.add.at(table, (np.searchsorted(axis, rows[:, column]), group.ravel()), mass)
    costs = _along(problem.cost, axis, others, column).T
    rest = product_of([values for index, values in enumerate(lists) if index != column])
    prices = None if problem.price is None else _along(problem.price, axis, rest, column).sum(axis=0)
    return axis[cut_groups(table, costs, count, prices)[0]]


def _along(function: Function, axis: NDArray[np.int64], others: NDArray[np.int64], column: int) -> NDArray[np.float64]:
    """Return the values of a function at every coordinate of one axis, for each row of the others, [rows, axis]."""
    grid = np.repeat(others, len(axis), axis=0)
    shapes = np.insert(grid, column, np.tile(axis, len(others)), axis=1)
    return function(shapes).reshape(len(others), len(axis))


def cut_groups(
    weights: NDArray[np.float64], costs: NDArray[np.float64], most: int, prices: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.int64], float]:
    """Return the best run ends over positions in order, and the least total, when points differ in cost function.

    Args:
        weights: Weight of group g at each position, float64 [n, g].
        costs: Cost of group g when served at each position, nondecreasing in it, float64 [n, g].
        most: Largest number of runs.
        prices: What ending a run at each position costs, float64 [n]; nothing by default.
    """
    count = len(weights)
    heavy = np.vstack([np.zeros(weights.shape[1]), np.cumsum(weights, axis=0)])
    whole = (costs * heavy[1:]).sum(axis=1)
    # runs[i, j]: positions i … j served at j.
    runs = whole[None, :] - heavy[:-1] @ costs.T
    if prices is not None:
        runs, whole = runs + prices[None, :], whole + prices
    runs[np.tril_indices(count, -1)] = np.inf
    best, choices, reached = whole.copy(), [np.zeros(count, dtype=np.int64)], [float(whole[-1])]
    for _ in range(1, min(most, count)):
        totals = runs + np.concatenate([[0.0], best[:-1]])[:, None]
        choices.append(totals.argmin(axis=0))
        best = totals[choices[-1], np.arange(count)]
        reached.append(float(best[-1]))
    layer = int(np.argmin(reached))
    least, end, found = reached[layer], count - 1, []
    while end >= 0:
        found.append(end)
        end = int(choices[layer][end]) - 1 if layer >= 0 else -1
        layer -= 1
    return np.asarray(found[::-1], dtype=np.int64), least
