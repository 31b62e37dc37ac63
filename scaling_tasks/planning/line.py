"""One variable: the exact optimum for every number of buckets, by a Monge dynamic programme.

With samples in ascending order, some optimal buckets lie at samples and each serves a contiguous run. A run (i, j]
costs f(x_j)·(W_j - W_i), which satisfies the quadrangle inequality for every nondecreasing f and any weights. The
best cut before j is therefore nondecreasing in j, and each further bucket costs O(n log n) by divide and conquer;
all middles of one level are computed at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LineCuts", "cut_line", "suffix_minimum"]


@dataclass(frozen=True, eq=False)
class LineCuts:
    """The optimum for at most 1, 2, …, K buckets.

    Attributes:
        curve: Least total cost, float64 [K], non-increasing.
        choices: Best start of the last run per number of buckets and end, int32 [K, n + 1].
    """

    curve: NDArray[np.float64]
    choices: NDArray[np.int32]

    def ends(self, buckets: int) -> NDArray[np.int64]:
        """Return the indices of the samples that ``buckets`` (or fewer) optimal buckets lie at, ascending."""
        end, layer, found = self.choices.shape[1] - 1, buckets - 1, []
        while end > 0:
            found.append(end - 1)
            end = int(self.choices[layer, end]) if layer >= 0 else 0
            layer -= 1
        return np.asarray(found[::-1], dtype=np.int64)


def suffix_minimum(costs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the least cost at or after each position, and the position that has it (the first of equals)."""
    least = np.minimum.accumulate(costs[::-1])[::-1]
    own = costs == least
    positions = np.where(own, np.arange(len(costs)), len(costs))
    return least, np.minimum.accumulate(positions[::-1])[::-1]


def cut_line(
    weights: NDArray[np.float64], costs: NDArray[np.float64], most: int, prices: NDArray[np.float64] | None = None
) -> LineCuts:
    """Return the least Σ w·cost(bucket) for 1 … ``most`` buckets over samples in ascending order.

    Args:
        weights: Weight of each sample, not negative, float64 [n].
        costs: Cost of a bucket at each sample, nondecreasing, float64 [n].
        most: Largest number of buckets; more than n is the same as n.
        prices: What it costs to have a bucket at each sample, float64 [n]; nothing by default.
    """
    count = len(weights)
    layers = max(1, min(most, count))
    heavy = np.concatenate([[0.0], np.cumsum(weights)])
    price = np.zeros(count) if prices is None else prices
    best = np.concatenate([[0.0], costs * heavy[1:] + price])
    choices = np.zeros((layers, count + 1), dtype=np.int32)
    curve = [best[-1]]
    for layer in range(1, layers):
        best, choices[layer] = _next_layer(best, heavy, costs, price)
        curve.append(best[-1])
    return LineCuts(np.minimum.accumulate(np.asarray(curve)), choices)


def _next_layer(
    best: NDArray[np.float64], heavy: NDArray[np.float64], costs: NDArray[np.float64], price: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Add one bucket: least over i < j of best[i] + costs[j - 1]·(heavy[j] - heavy[i]) + price[j - 1]."""
    count = len(costs)
    values, choice = np.zeros(count + 1), np.zeros(count + 1, dtype=np.int32)
    stride = 1 << count.bit_length()
    while stride:
        ends = np.arange(stride, count + 1, 2 * stride)
        if len(ends):
            low = choice[ends - stride]
            beyond = np.minimum(ends + stride, count + 1)
            high = np.where(beyond <= count, choice[np.minimum(beyond, count)], count)
            high = np.minimum(high, ends - 1)
            values[ends], choice[ends] = _least_in_ranges(low, high, ends, best, heavy, costs)
            values[ends] += price[ends - 1]
        stride //= 2
    return values, choice


def _least_in_ranges(
    low: NDArray[np.int32],
    high: NDArray[np.int64],
    ends: NDArray[np.int64],
    best: NDArray[np.float64],
    heavy: NDArray[np.float64],
    costs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the least value and its first start for each end, looking at starts low … high only."""
    lengths = high - low + 1
    heads = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    starts = np.arange(lengths.sum()) + np.repeat(low - heads, lengths)
    run = np.repeat(costs[ends - 1], lengths) * (np.repeat(heavy[ends], lengths) - heavy[starts])
    totals = best[starts] + run
    least = np.minimum.reduceat(totals, heads)
    hits = np.flatnonzero(totals == np.repeat(least, lengths))
    return least, starts[hits[np.searchsorted(hits, heads)]]
