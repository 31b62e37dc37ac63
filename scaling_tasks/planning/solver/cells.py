"""Very many points of several variables: weights laid out on the grid, where one pass prices every exchange.

Where points fill a grid, a table of points times candidates is far larger than what it says. Samples whose first and
second choice among the chosen buckets agree all behave alike; their weights, summed up to every point of the grid, give
what any candidate would save on them. So all exchanges cost groups times grid points, whatever the number of points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates

__all__ = ["Cells", "exchange_on_cells", "lay_out"]

# Entries (groups times grid points) of one table of sums; a larger one is not made.
_TABLE = 40_000_000


@dataclass(frozen=True, eq=False)
class Cells:
    """A grid of candidates with the weight of the points at each of its points.

    Attributes:
        costs: What each candidate costs to serve a point, nondecreasing, [m_1 … m_d].
        weights: Weight of the points at each point, [m_1 … m_d].
        prices: What it costs to have each candidate, [m_1 … m_d].
        keep: Candidates that must be chosen, flat indices.
    """

    costs: NDArray[np.float64]
    weights: NDArray[np.float64]
    prices: NDArray[np.float64]
    keep: tuple[int, ...] = ()

    def restrict(self, kept: Sequence[NDArray[np.int64]]) -> Cells:
        """Return the grid of some coordinates only, the last ones among them; points round up to those that stay.

        What a choice among the candidates that stay costs does not change by it.
        """
        weights = self.weights
        for axis, stay in enumerate(kept):
            weights = np.add.reduceat(weights, np.concatenate([[0], stay[:-1] + 1]), axis=axis)
        points = np.ix_(*kept)
        shape = weights.shape
        keep = tuple(
            int(np.ravel_multi_index([np.searchsorted(s, w) for s, w in zip(kept, where, strict=True)], shape))
            for where in zip(*np.unravel_index(np.asarray(self.keep, dtype=np.int64), self.costs.shape), strict=True)
        )
        return Cells(self.costs[points], weights, self.prices[points], keep)

    def choices(self, chosen: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each point which of the chosen serves it, and which would without that one; -1 for none."""
        first = np.full(self.costs.shape, -1, dtype=np.int64)
        second = first.copy()
        flat = np.asarray(chosen, dtype=np.int64)
        corners = np.stack(np.unravel_index(flat, self.costs.shape), axis=1)
        # From the dearest to the cheapest, each takes over all points that it contains.
        for index in np.lexsort((flat, self.costs.ravel()[flat]))[::-1].tolist():
            box = tuple(slice(0, end + 1) for end in corners[index].tolist())
            second[box] = first[box]
            first[box] = index
        return first.ravel(), second.ravel()

    def total(self, chosen: Sequence[int]) -> float:
        """Return Σ w·cost plus prices, infinite where a point is not served."""
        first, _ = self.choices(chosen)
        mass = np.bincount(first + 1, self.weights.ravel(), len(chosen) + 1)
        if mass[0] > 0:
            return float("inf")
        flat = np.asarray(chosen, dtype=np.int64)
        return float((self.costs.ravel()[flat] * mass[1:]).sum() + self.prices.ravel()[flat].sum())

    def sums(self, groups: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """Return each group's weight in each candidate, [count, points], for the group of each point (-1: none)."""
        table = np.zeros((count, self.costs.size))
        points = np.flatnonzero((self.weights.ravel() > 0) & (groups >= 0))
        table[groups[points], points] = self.weights.ravel()[points]
        table = table.reshape(count, *self.costs.shape)
        for axis in range(1, table.ndim):
            np.cumsum(table, axis=axis, out=table)
        return table.reshape(count, -1)


def lay_out(candidates: Candidates) -> Cells:
    """Return the candidates with the points' weights at their places."""
    weights: NDArray[np.float64] = np.zeros(candidates.costs.shape)
    np.add.at(weights, tuple(candidates.position.T), candidates.weights)
    return Cells(candidates.costs, weights, candidates.prices, candidates.forced)


def exchange_on_cells(cells: Cells, chosen: Sequence[int], most: int, rounds: int) -> list[int]:
    """Return ``chosen`` after adding what saves most, exchanging what saves by it, and dropping what is not needed.

    Args:
        cells: The candidates and points.
        chosen: Candidates to start from, flat indices; together they serve every point.
        most: Largest number of buckets.
        rounds: Most rounds of exchanges; in each, every bucket may be exchanged once.
    """
    found = _fill(cells, list(dict.fromkeys([*cells.keep, *chosen])), most)
    for _ in range(rounds):
        changed, found = _exchange(cells, found)
        if not changed:
            break
    return _fill(cells, found, most)


def _fill(cells: Cells, chosen: list[int], most: int) -> list[int]:
    """Add the candidate that saves most until ``most`` are chosen or none saves anything."""
    costs, total = cells.costs.ravel(), cells.total(chosen)
    while len(chosen) < most and len(chosen) * costs.size <= _TABLE:
        first, _ = cells.choices(chosen)
        own = costs[np.asarray(chosen)]
        sums = cells.sums(first, len(chosen))
        saved = np.einsum("gp,gp->p", np.maximum(own[:, None] - costs, 0), sums) - cells.prices.ravel()
        best = int(saved.argmax())
        if saved[best] <= 1e-12 * total:
            break
        chosen, total = [*chosen, best], total - float(saved[best])
    return chosen


def _exchange(cells: Cells, chosen: list[int]) -> tuple[bool, list[int]]:
    """Price all exchanges at once, then make the best one of each bucket, the one that saves most first.

    Later ones were priced before the earlier ones were made; each is made only if it still saves something.
    """
    first, second = cells.choices(chosen)
    used = np.flatnonzero(cells.weights.ravel() > 0)
    keys, group = np.unique(first[used] * (len(chosen) + 1) + second[used] + 1, return_inverse=True)
    if len(keys) * cells.costs.size > _TABLE:
        return False, chosen
    groups = np.full(cells.costs.size, -1, dtype=np.int64)
    groups[used] = group.ravel()
    change, owners = _changes(cells, chosen, keys, cells.sums(groups, len(keys)))
    best = change.argmin(axis=1)
    gains = change[np.arange(len(owners)), best]
    total = start = cells.total(chosen)
    for row in np.argsort(gains, kind="stable").tolist():
        if gains[row] >= -1e-9 * start:
            break
        trial = list(chosen)
        trial[owners[row]] = int(best[row])
        if len(set(trial)) == len(trial) and (reached := cells.total(trial)) < total * (1 - 1e-12):
            chosen, total = trial, reached
    slim = _slim(cells, chosen, total)
    return total < start or len(slim) < len(chosen), slim


def _changes(
    cells: Cells, chosen: list[int], keys: NDArray[np.int64], sums: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return by how much the total changes when a chosen one gives way to a candidate, [owners, points], and owners."""
    costs, prices = cells.costs.ravel(), cells.prices.ravel()
    own = costs[np.asarray(chosen)]
    owner, fallback = keys // (len(chosen) + 1), keys % (len(chosen) + 1) - 1
    lone = fallback < 0
    # A point that nothing else serves falls back to the dearest candidate; where that is not chosen, see below.
    spare = np.where(lone, costs[-1], own[fallback])
    with_own = np.maximum(own[owner][:, None] - costs, 0)
    with_own *= sums
    without = np.maximum(spare[:, None] - costs, 0)
    without *= sums
    saved = with_own.sum(axis=0)
    without -= with_own
    heads = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    lost = np.add.reduceat((spare - own[owner]) * sums[:, -1], heads)
    owners = owner[heads]
    change = (lost - prices[np.asarray(chosen)][owners])[:, None] + prices - saved
    change -= np.add.reduceat(without, heads, axis=0)
    for row, group in zip(np.searchsorted(owners, owner[lone]), np.flatnonzero(lone), strict=True):
        change[row, sums[group] < sums[group, -1] * (1 - 1e-9)] = np.inf
    change[np.isin(np.asarray(chosen)[owners], cells.keep)] = np.inf
    return change, owners


def _slim(cells: Cells, chosen: list[int], total: float) -> list[int]:
    """Drop buckets that serve nothing or cost more to have than they save."""
    first, _ = cells.choices(chosen)
    mass = np.bincount(first + 1, cells.weights.ravel(), len(chosen) + 1)[1:]
    priced = cells.prices.any()
    for index in range(len(chosen) - 1, -1, -1):
        if chosen[index] in cells.keep or (mass[index] > 0 and not priced):
            continue
        rest = [other for other in chosen if other != chosen[index]]
        if rest and (reached := cells.total(rest)) <= total:
            return _slim(cells, rest, reached)
    return chosen
