"""How buckets serve requests of many items that may be cut into batches, and what those requests are on the lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import CostModel, cost_of
from scaling_tasks.shapes.dataset_statistics import ItemRequests
from scaling_tasks.shapes.partition import RunTable, Served, weighted_total
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["RequestScore", "Side", "runs_of", "score_requests", "serve"]

# Batch sizes where none are given.
BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class RequestScore:
    """How well buckets serve requests that may be cut into batches.

    Attributes:
        cost: Σ cost over all batches of all requests, each served at least cost.
        padding_ratio: ``cost`` over ``ideal``; at least 1.
        coverage: Share of the items, by weight, that some bucket contains.
        hits: Weight of the batches that each bucket runs, float64 [k].
        ideal: What the covered items would cost with every batch choice at every exact size.
    """

    cost: float
    padding_ratio: float
    coverage: float
    hits: NDArray[np.float64]
    ideal: float


@dataclass(frozen=True, eq=False)
class Side:
    """The columns of a bucket: where the batch is, and how costs are computed."""

    variables: tuple[str, ...]
    model: CostModel

    @property
    def column(self) -> int:
        """Which column is the batch."""
        return self.variables.index(str(batch_variable(self.variables)))

    @property
    def sizes(self) -> tuple[str, ...]:
        """The other variables."""
        return tuple(name for index, name in enumerate(self.variables) if index != self.column)

    def costs(self, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what running each bucket once costs."""
        return cost_of(self.model, buckets)

    def split(self, buckets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the batch of each bucket and its sizes."""
        return buckets[:, self.column], np.delete(buckets, self.column, axis=1)

    def join(self, counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return buckets of batches [k] and sizes [k, d]."""
        return np.insert(sizes, self.column, counts, axis=1)

    def table(self, runs: RunTable, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each run costs in each bucket, [runs, k]."""
        return runs.run_costs(*self.split(buckets), self.costs(buckets))

    def ideal(self, runs: RunTable, choices: Sequence[int]) -> Served:
        """Return the requests served with every batch choice at every exact size."""
        ordered = np.asarray(sorted(choices), dtype=np.int64)
        batches = ordered[np.minimum(np.searchsorted(ordered, runs.counts), len(ordered) - 1)]
        return runs.serve(self.costs(self.join(batches, runs.sizes)))


def runs_of(requests: ItemRequests, choices: Sequence[int], kept: NDArray[np.bool_] | None = None) -> list[RunTable]:
    """Return all runs of the requests, in each of the orders that the runtime tries; items not kept are left out.

    The order by what an item costs alone is replaced by that of its volume.
    """
    items, offsets = requests.items, requests.offsets
    if kept is not None and not kept.all():
        before = np.concatenate([[0], np.cumsum(kept)])
        items, offsets = items[kept], before[offsets].astype(np.int64)
    by_column = [column.astype(np.float64) for column in items.T] if items.shape[1] > 1 else []
    keys: list[NDArray[np.float64] | None] = [None, *by_column]
    return [RunTable(items, offsets, choices, requests.weights, key) for key in keys]


def serve(tables: Sequence[RunTable], side: Side, buckets: NDArray[np.int64]) -> float:
    """Return the least cost of all requests, each in the best of the orders; infinite where an item fits nowhere."""
    served = [runs.serve(side.table(runs, buckets).min(axis=1)).requests for runs in tables]
    return weighted_total(np.min(served, axis=0), tables[0].weights)


def score_requests(
    requests: ItemRequests,
    variables: tuple[str, ...],
    buckets: NDArray[np.int64],
    model: CostModel,
    choices: Sequence[int],
) -> RequestScore:
    """Return how buckets [k, 1 + d] serve requests at least cost; items that fit nowhere are left out."""
    side = Side(variables, model)
    sizes = side.split(buckets)[1]
    fits: NDArray[np.bool_] = np.zeros(len(requests.items), dtype=bool)
    for row in sizes:
        fits |= (requests.items <= row).all(axis=1)
    if not fits.any():
        return RequestScore(0.0, 1.0, 0.0, np.zeros(len(buckets)), 0.0)
    every = sorted({*choices, *side.split(buckets)[0].tolist()})
    tables = runs_of(requests, every, fits)
    served, hits = [], np.zeros((len(tables), len(buckets)))
    for row, runs in enumerate(tables):
        table = side.table(runs, buckets)
        found = runs.serve(table.min(axis=1))
        np.add.at(hits[row], table.argmin(axis=1), found.uses)
        served.append(found)
    best = int(np.argmin([found.total for found in served]))
    ideal = side.ideal(tables[0], choices).total
    cost = served[best].total
    mass = np.ones(len(fits)) if requests.weights is None else np.repeat(requests.weights, requests.counts)
    coverage = 1.0 if fits.all() else float(mass[fits].sum() / mass.sum())
    return RequestScore(cost, max(1.0, cost / ideal) if ideal > 0 else 1.0, coverage, hits[best], ideal)
