"""Requests of many items: batch and sizes chosen together, so that the least-cost partition of each request is cheap.

The buckets and the partitions depend on each other. From a rich set (every batch size with several sizes) the
buckets that are missed least are dropped until k are left; then buckets move to neighbouring sizes and batch sizes
while that saves, and in between the batches that the partitions make are taken as samples and planned as free
rectangles, which never makes their total dearer. Every step is judged by the exact partition of every request
(``partition``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import CostModel, cost_of
from scaling_tasks.planning.lattice import Lattice, make_lattice
from scaling_tasks.planning.optimal import choose_buckets
from scaling_tasks.planning.options import PlanOptions
from scaling_tasks.planning.partition import RunTable
from scaling_tasks.planning.plan import BucketPlan
from scaling_tasks.planning.selection import sort_buckets
from scaling_tasks.shapes.signature import BATCH
from scaling_tasks.shapes.statistics import Requests

__all__ = ["RequestScore", "plan_requests", "score_requests"]

_MOST_REQUESTS = 2_000
_SWEEPS = 4


@dataclass(frozen=True)
class RequestScore:
    """How well buckets serve requests that may be cut into batches.

    Attributes:
        cost: Σ cost over all batches of all requests, each served at least cost.
        padding_ratio: ``cost`` over what it would be with every batch choice at every exact size; at least 1.
        coverage: Share of the items that some bucket contains.
        hits: Number of batches that each bucket runs, float64 [k].
    """

    cost: float
    padding_ratio: float
    coverage: float
    hits: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Side:
    """The columns of a bucket: where the batch is, and how costs are computed."""

    variables: tuple[str, ...]
    model: CostModel

    @property
    def column(self) -> int:
        return self.variables.index(BATCH)

    def costs(self, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
        return cost_of(self.model, buckets)

    def split(self, buckets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return buckets[:, self.column], np.delete(buckets, self.column, axis=1)

    def join(self, counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.insert(sizes, self.column, counts, axis=1)

    def table(self, runs: RunTable, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
        return runs.run_costs(*self.split(buckets), self.costs(buckets))


def score_requests(
    requests: Requests,
    variables: tuple[str, ...],
    buckets: NDArray[np.int64],
    model: CostModel,
    choices: Sequence[int],
) -> RequestScore:
    """Return how buckets [k, 1 + d] serve requests at least cost; items that fit nowhere are left out."""
    side = _Side(variables, model)
    sizes = side.split(buckets)[1]
    inside = np.all(requests.items[:, None, :] <= sizes[None, :, :], axis=2)
    fits: NDArray[np.bool_] = np.any(inside, axis=1)
    kept = _without(requests, fits)
    runs = RunTable(kept.items, kept.offsets, sorted({*choices, *side.split(buckets)[0].tolist()}))
    if not len(kept.items):
        return RequestScore(0.0, 1.0, 0.0, np.zeros(len(buckets)))
    table = side.table(runs, buckets)
    served = runs.serve(table.min(axis=1))
    ideal = runs.serve(side.costs(side.join(_batch_of(runs.counts, choices), runs.sizes)))
    hits = np.zeros(len(buckets))
    np.add.at(hits, table.argmin(axis=1), served.uses)
    ratio = max(1.0, served.total / ideal.total) if ideal.total > 0 else 1.0
    return RequestScore(served.total, ratio, float(fits.mean()), hits)


def plan_requests(
    requests: Requests,
    variables: tuple[str, ...],
    max_buckets: int | str,
    model: CostModel,
    options: PlanOptions,
    digest: str = "",
) -> BucketPlan:
    """Return the plan for requests that may be cut into batches.

    The padding ratio is relative to serving every request at least cost with every batch choice at every exact size.

    Args:
        requests: The requests.
        variables: Names of the bucket columns, the batch among them.
        max_buckets: Largest number of buckets.
        model: Cost of running a bucket once.
        options: ``interval``, ``choices`` and ``ranges`` say what buckets may be.
        digest: Digest of the statistics.

    Raises:
        PlanError: There is no item, none fits, or the options cannot be combined with requests.
    """
    if max_buckets == "auto":
        raise PlanError("'auto' is not supported for partitioned requests", where="max_buckets", fix="Give a number.")
    lattice = make_lattice(variables, options.interval, options.choices, options.ranges)
    choices = lattice.allowed[variables.index(BATCH)].choices or (1, 2, 4, 8, 16, 32, 64)
    side = _Side(variables, model)
    rounded = _rounded(requests, lattice, side)
    search = _Search(RunTable(*_thinned(rounded), choices), side, choices, int(max_buckets))
    buckets, costs = _sorted(search.run(rounded.items), side)
    score = score_requests(requests, variables, buckets, model, choices)
    used = score.hits > 0
    return BucketPlan(
        variables=variables,
        buckets=buckets[used],
        bucket_costs=costs[used],
        padding_ratio=score.padding_ratio,
        lower_bound=None,
        coverage=score.coverage,
        hits=score.hits[used],
        strategy="optimal",
        parameters={"max_buckets": max_buckets, "batching": "partition", **options.parameters()},
        cost=model.describe(),
        statistics_digest=digest,
        warnings=() if score.coverage == 1 else (f"{1 - score.coverage:.2%} of the items fit no bucket.",),
        details={"request_cost": score.cost},
        cost_model=model,
    )


def _sorted(rows: NDArray[np.int64], side: _Side) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return sort_buckets(rows, side.costs(rows))


def _without(requests: Requests, kept: NDArray[np.bool_]) -> Requests:
    before = np.concatenate([[0], np.cumsum(kept)])
    return Requests(requests.variables, requests.items[kept], before[requests.offsets].astype(np.int64))


def _rounded(requests: Requests, lattice: Lattice, side: _Side) -> Requests:
    allowed = [sizes for index, sizes in enumerate(lattice.allowed) if index != side.column]
    names = [name for name in side.variables if name != BATCH]
    columns = [requests.items[:, requests.variables.index(name)] for name in names]
    rounded = [sizes.round(column) for sizes, column in zip(allowed, columns, strict=True)]
    items = np.stack(rounded, axis=1) if rounded else requests.items[:, :0]
    servable: NDArray[np.bool_] = np.all(items > 0, axis=1)
    kept = _without(Requests(tuple(names), items, requests.offsets), servable)
    if not len(kept.items):
        raise PlanError("no item fits the allowed sizes", where="ranges", fix="Widen the range.")
    return kept


def _thinned(requests: Requests) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return items and offsets of at most so many requests that a search over all of them stays quick."""
    filled = np.flatnonzero(requests.counts > 0)
    if len(filled) <= _MOST_REQUESTS:
        return requests.items, requests.offsets
    picked = filled[np.linspace(0, len(filled) - 1, _MOST_REQUESTS).astype(np.int64)]
    parts = [requests.items[requests.offsets[index] : requests.offsets[index + 1]] for index in picked]
    return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])])


def _batch_of(counts: NDArray[np.int64], choices: Sequence[int]) -> NDArray[np.int64]:
    """Return the least batch choice for each count."""
    ordered = np.asarray(sorted(choices), dtype=np.int64)
    return ordered[np.minimum(np.searchsorted(ordered, counts), len(ordered) - 1)]


@dataclass(frozen=True, eq=False)
class _Search:
    runs: RunTable
    side: _Side
    choices: tuple[int, ...]
    most: int

    def run(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the best buckets found, int64 [k, 1 + d]."""
        buckets = self._drop(self._rich(items))
        for _ in range(_SWEEPS):
            before = self._total(buckets)
            buckets = self._replan(self._move(buckets))
            if self._total(buckets) >= before * (1 - 1e-9):
                break
        return buckets

    def _total(self, buckets: NDArray[np.int64]) -> float:
        return self.runs.serve(self.side.table(self.runs, buckets).min(axis=1)).total

    def _rich(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return every batch choice with sizes that are good for the items alone."""
        distinct, weights = np.unique(items, axis=0, return_counts=True)
        if not items.shape[1]:
            return np.asarray(self.choices, dtype=np.int64)[:, None]
        count = int(np.clip(self.most, 6, 24))
        part = _ItemCost(self.side)
        sizes = choose_buckets(distinct, weights.astype(np.float64), part, count).buckets
        pairs = [self.side.join(np.full(len(sizes), choice), sizes) for choice in self.choices]
        return np.concatenate(pairs)

    def _drop(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Drop buckets one by one, the one that is missed least each time."""
        while len(buckets) > self.most:
            table = self.side.table(self.runs, buckets)
            served = self.runs.serve(table.min(axis=1))
            order = np.argsort(table, axis=1, kind="stable")
            first = order[:, 0]
            second = np.take_along_axis(table, order[:, 1:2], axis=1)[:, 0]
            used = served.uses > 0
            loss = np.zeros(len(buckets))
            np.add.at(loss, first[used], served.uses[used] * (second[used] - table[used, first[used]]))
            idle = np.flatnonzero(loss <= 0)
            if len(idle):
                drop = idle[: len(buckets) - self.most]
            else:
                # The loss without cutting anew is only an upper bound: the likeliest few are tried.
                likely = np.argsort(loss, kind="stable")[:6]
                drop = likely[np.argmin([self._total(np.delete(buckets, index, axis=0)) for index in likely])]
            buckets = np.delete(buckets, drop, axis=0)
        return buckets

    def _move(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move single buckets to neighbouring sizes and batch sizes while that saves."""
        best = self._total(buckets)
        values = [np.unique(column) for column in self.side.join(np.ones(len(self.runs.sizes), int), self.runs.sizes).T]
        values[self.side.column] = np.asarray(self.choices, dtype=np.int64)
        for row in range(len(buckets)):
            for column, axis in enumerate(values):
                at = int(np.searchsorted(axis, buckets[row, column]))
                for step in (-4, -2, -1, 1, 2, 4):
                    if 0 <= at + step < len(axis):
                        trial = buckets.copy()
                        trial[row, column] = axis[at + step]
                        total = self._total(trial)
                        if total < best * (1 - 1e-9):
                            best, buckets = total, trial
        return buckets

    def _replan(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Plan the batches of the current partitions as free rectangles; keep the result where it saves."""
        served = self.runs.serve(self.side.table(self.runs, buckets).min(axis=1))
        used = served.uses > 0
        counts = _batch_of(self.runs.counts[used], self.choices)
        rows = self.side.join(counts, self.runs.sizes[used])
        samples, inverse = np.unique(rows, axis=0, return_inverse=True)
        weights: NDArray[np.float64] = np.zeros(len(samples))
        np.add.at(weights, inverse.ravel(), served.uses[used])
        found = choose_buckets(samples, weights, self.side.model, self.most, starts=[buckets]).buckets
        return found if self._total(found) < served.total else buckets


@dataclass(frozen=True)
class _ItemCost:
    """The cost of one item alone, as a cost model over the size variables."""

    side: _Side

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.side.costs(self.side.join(np.ones(len(shapes), dtype=np.int64), shapes))

    def describe(self) -> dict[str, str]:
        return {"kind": "item"}
