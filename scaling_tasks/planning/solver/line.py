"""One dimension: the exact optimum for every number of buckets, by a Monge dynamic programme.

With points in ascending order, some optimal buckets lie at points and each serves a contiguous run. A run (i, j]
costs f(x_j)·(W_j - W_i), which satisfies the quadrangle inequality for every nondecreasing f and any weights. The
best cut before j is therefore nondecreasing in j, and each further bucket costs O(n log n) by divide and conquer;
all middles of one level are computed at once.

The optimum is convex in the number of buckets (Aggarwal, Schieber, Tokuyama 1994), so for very many buckets one price
per bucket is looked for instead at which the cheapest cut has as many as wanted (`cheapest_cut`, O(n) each); where cuts
of more and of fewer are equally cheap, the head of one and the tail of the other are joined.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.problem import Problem, Solution

__all__ = ["LineCuts", "cut_layers", "cut_line", "cut_line_by_price", "solve_line", "suffix_minimum"]

# Buckets times points up to which the optimum of every number of buckets is computed.
_EVERY = 3_000_000


def solve_line(problem: Problem) -> Solution:
    """Return the optimum of a problem of one dimension; what is forced must be at or beyond every point."""
    values = problem.coordinates()[0]
    mass: NDArray[np.float64] = np.zeros(len(values))
    np.add.at(mass, np.searchsorted(values, problem.points[:, 0]), problem.weights)
    own = problem.cost(values[:, None])
    attained = suffix_minimum(own)[1]
    # Coordinates beyond every point, and beyond what is forced, serve only by being cheaper.
    end = int(np.flatnonzero(mass)[-1]) + 1
    if problem.forced is not None:
        end = int(np.searchsorted(values, problem.forced.max())) + 1
        attained[end - 1] = end - 1
    mass, attained = mass[:end], attained[:end]
    costs = own[attained]
    prices = problem.prices(values[attained][:, None])
    ends = _ends(mass, costs, prices, problem.most)
    chosen = np.unique(attained[ends])
    starts = np.concatenate([[-1], ends[:-1]])
    heavy = np.concatenate([[0.0], mass.cumsum()])
    total = float(((heavy[ends + 1] - heavy[starts + 1]) * costs[ends]).sum() + prices[ends].sum())
    falls = bool((own[:end] > costs).any()) and bool(prices.min() < prices.max())
    return Solution(values[chosen][:, None], total, None if falls else total)


def _ends(
    mass: NDArray[np.float64], costs: NDArray[np.float64], prices: NDArray[np.float64], most: int
) -> NDArray[np.int64]:
    """Return the ends of the runs of a cheapest cut into at most ``most``, prices included."""
    if min(most, len(mass)) * len(mass) > _EVERY:
        return cut_line_by_price(mass, costs, most, prices)
    if prices.min() < prices.max():
        cuts = cut_line(mass, costs, most, prices)
        return cuts.ends(len(cuts.curve))
    cuts = cut_line(mass, costs, most)
    return cuts.ends(1 + int(np.argmin(cuts.curve + prices[0] * np.arange(1, len(cuts.curve) + 1))))


def cut_line_by_price(
    weights: NDArray[np.float64], costs: NDArray[np.float64], most: int, prices: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the ends of the runs of a cheapest cut into at most ``most`` runs, by a price per run."""
    heavy = np.concatenate([[0.0], np.cumsum(weights)])

    def cut(price: float) -> NDArray[np.int64]:
        return _cheapest_cut(heavy.tolist(), costs.tolist(), (prices + price).tolist())

    more = cut(0.0)
    if len(more) <= most:
        return more
    low, high = 0.0, float(heavy[-1] * costs[-1] + prices.max()) + 1.0
    fewer = cut(high)
    for _ in range(100):
        middle = (low + high) / 2
        found = cut(middle)
        if len(found) == most:
            return found
        if len(found) > most:
            low, more = middle, found
        else:
            high, fewer = middle, found
        if high - low <= 1e-15 * high:
            break
    return _joined(fewer, more, most)


def _cheapest_cut(heavy: list[float], costs: list[float], prices: list[float]) -> NDArray[np.int64]:
    """Return the ends of the cheapest cut: lines best[i] - heavy[i]·q, asked at q = costs[j] in ascending order."""
    count = len(costs)
    best, start = [0.0] * (count + 1), [0] * (count + 1)
    hull, head = [0], 0
    for end in range(1, count + 1):
        cost = costs[end - 1]
        while head + 1 < len(hull):
            first, second = hull[head], hull[head + 1]
            if best[second] - heavy[second] * cost > best[first] - heavy[first] * cost:
                break
            head += 1
        first = hull[head]
        best[end] = best[first] + cost * (heavy[end] - heavy[first]) + prices[end - 1]
        start[end] = first
        while len(hull) - head >= 2:
            last, before = hull[-1], hull[-2]
            left = (best[last] - best[before]) * (heavy[end] - heavy[last])
            if left < (best[end] - best[last]) * (heavy[last] - heavy[before]):
                break
            hull.pop()
        hull.append(end)
    ends, end = [], count
    while end > 0:
        ends.append(end - 1)
        end = start[end]
    return np.asarray(ends[::-1], dtype=np.int64)


def _joined(fewer: NDArray[np.int64], more: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return ``most`` runs: the head of the shorter of two equally cheap cuts and the tail of the longer.

    Somewhere a run of the shorter one holds the run of the longer one that completes the number; by the quadrangle
    inequality the joined cut is no dearer.
    """
    surplus = len(more) - most
    few, many = np.concatenate([[-1], fewer]), np.concatenate([[-1], more])
    for head in range(len(fewer)):
        tail = surplus + head + 1
        if few[head] <= many[tail - 1] and many[tail] <= few[head + 1]:
            return np.concatenate([few[1 : head + 1], many[tail:]])
    return fewer


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
    layers = list(itertools.islice(cut_layers(weights, costs, prices), max(1, min(most, len(weights)))))
    curve = np.minimum.accumulate(np.asarray([total for total, _ in layers]))
    return LineCuts(curve, np.stack([choices for _, choices in layers]))


def cut_layers(
    weights: NDArray[np.float64], costs: NDArray[np.float64], prices: NDArray[np.float64] | None = None
) -> Iterator[tuple[float, NDArray[np.int32]]]:
    """Yield for 1, 2, … buckets what `cut_line` does: the least total, and the best start of the last run per end."""
    count = len(weights)
    heavy = np.concatenate([[0.0], np.cumsum(weights)])
    price = np.zeros(count) if prices is None else prices
    best, choices = np.concatenate([[0.0], costs * heavy[1:] + price]), np.zeros(count + 1, dtype=np.int32)
    while True:
        yield float(best[-1]), choices
        best, choices = _next_layer(best, heavy, costs, price)


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
