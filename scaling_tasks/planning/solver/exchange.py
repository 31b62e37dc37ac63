"""Choosing buckets out of a pool of candidates: greedy addition and best exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pool", "add_greedily", "drop_useless", "improve_by_exchange", "weighted_sum"]


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates with what it costs to serve each sample by each.

    Attributes:
        costs: [n, p]; ``unserved`` where the candidate does not contain the sample.
        weights: float64 [n].
        prices: What it costs to have each candidate, float64 [p].
        unserved: Per sample, far more than any way to serve it, float64 [n].
    """

    costs: NDArray[np.float64]
    weights: NDArray[np.float64]
    prices: NDArray[np.float64]
    unserved: NDArray[np.float64]

    @classmethod
    def build(
        cls,
        inside: NDArray[np.bool_],
        candidate_costs: NDArray[np.float64],
        weights: NDArray[np.float64],
        prices: NDArray[np.float64],
    ) -> Pool:
        """Return the pool of candidates with ``inside`` [n, p]; one of them must contain every sample."""
        # One unserved sample must outweigh serving all others by the dearest candidate.
        dearest = 4 * (float(candidate_costs.max()) * float(weights.sum()) + float(prices.sum()) + 1)
        unserved = dearest / weights
        return cls(np.where(inside, candidate_costs, unserved[:, None]), weights, prices, unserved)

    def served(self, chosen: list[int]) -> NDArray[np.float64]:
        """Return the least cost of each sample, float64 [n]."""
        served: NDArray[np.float64] = self.costs[:, chosen].min(axis=1) if chosen else self.unserved.copy()
        return served

    def total(self, chosen: list[int]) -> float:
        """Return Σ w·cost plus prices."""
        return float(self.weights @ self.served(chosen)) + float(self.prices[chosen].sum())


def add_greedily(pool: Pool, chosen: list[int], most: int) -> list[int]:
    """Add the candidate that saves most until ``most`` are chosen or none saves anything."""
    chosen = list(chosen)
    current = pool.served(chosen)
    while len(chosen) < most:
        saved = weighted_sum(pool.weights, np.maximum(current[:, None] - pool.costs, 0)) - pool.prices
        best = int(saved.argmax())
        if saved[best] <= 1e-12 * float(pool.weights @ current):
            break
        chosen.append(best)
        current = np.minimum(current, pool.costs[:, best])
    return chosen


def drop_useless(pool: Pool, chosen: list[int], keep: Sequence[int] = ()) -> list[int]:
    """Drop candidates whose removal costs nothing, one by one; those in ``keep`` stay."""
    chosen = list(dict.fromkeys(chosen))
    total = pool.total(chosen)
    for candidate in [other for other in chosen if other not in keep]:
        rest = [other for other in chosen if other != candidate]
        if rest and pool.total(rest) <= total:
            chosen, total = rest, pool.total(rest)
    return chosen


def improve_by_exchange(pool: Pool, chosen: list[int], rounds: int, keep: Sequence[int] = ()) -> list[int]:
    """Exchange one chosen candidate for another, the best pair each time, until none saves anything.

    All pairs are priced at once after Whitaker's fast interchange: a sample served by the removed bucket falls back
    to the better of its second choice and the new candidate. Candidates in ``keep`` stay.
    """
    chosen = list(chosen)
    kept = [row for row, candidate in enumerate(chosen) if candidate in keep]
    for _ in range(rounds):
        change = _pair_changes(pool, chosen)
        change[kept] = np.inf
        removed, added = np.unravel_index(int(change.argmin()), change.shape)
        if change[removed, added] >= -1e-9 * max(pool.total(chosen), 1e-300):
            break
        chosen[int(removed)] = int(added)
    return chosen


def _pair_changes(pool: Pool, chosen: list[int]) -> NDArray[np.float64]:
    """Return by how much the total changes when chosen r gives way to candidate c, [k, p]."""
    served = pool.costs[:, chosen]
    first = served.argmin(axis=1)
    rows = np.arange(len(served))
    least = served[rows, first]
    served[rows, first] = pool.unserved
    second = served.min(axis=1)
    with_new = np.minimum(pool.costs, least[:, None])
    kept = weighted_sum(pool.weights, with_new) - float(np.einsum("i,i", pool.weights, least))
    fallback = np.minimum(pool.costs, second[:, None]) - with_new
    change = np.empty((len(chosen), len(kept)))
    for row in range(len(chosen)):
        mine = first == row
        change[row] = weighted_sum(pool.weights[mine], fallback[mine])
    change += kept[None, :] + pool.prices[None, :] - pool.prices[chosen][:, None]
    return change


def weighted_sum(weights: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``weights @ table``, float64 [p], in one thread.

    A threaded product adds in an order that depends on the machine, which could turn ties and so the plan.
    """
    total: NDArray[np.float64] = np.einsum("i,ij->j", weights, table)
    return total
