"""Requests of many items: batch and sizes chosen together, so that the least-cost partition of each request is cheap.

The buckets and the partitions depend on each other. From a rich set (every batch size with several sizes) the
buckets that are missed least are dropped until k are left; then buckets move to neighbouring sizes and batch sizes
while that saves, whole buckets are exchanged from several starts (``joint_exchange``), and in between the batches that
the partitions make are taken as samples and planned as free rectangles. Every step is judged by the exact partition of
the requests (``shapes.partition``). Of very many requests the search looks at a part, and at the largest items of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import Price, cost_of, prices_of
from scaling_tasks.planning.request.request import Choice, PlanRequest, largest_shape
from scaling_tasks.planning.request.serving import BATCHES, Side, runs_of, serve
from scaling_tasks.planning.solver.effort import EFFORTS, Effort
from scaling_tasks.planning.solver.problem import Problem
from scaling_tasks.planning.solver.solve import solve
from scaling_tasks.planning.strategies.joint_bound import bound_requests
from scaling_tasks.planning.strategies.joint_exchange import exchange_buckets
from scaling_tasks.shapes.dataset_statistics import ItemRequests
from scaling_tasks.shapes.partition import RunTable

__all__ = ["choose_for_requests"]

# Requests that the search looks at, and items.
_REQUESTS, _ITEMS = 2_000, 40_000
_SWEEPS = 4
# Buckets up to which whole ones are exchanged; with more of them there is one nearby for everything.
_EXCHANGED = 16


def choose_for_requests(request: PlanRequest, most: int) -> Choice:
    """Return the buckets of least total cost that were found, every item served, and a bound where there is one.

    Raises:
        PlanError: No item fits, or an option has no meaning for requests that are cut into batches.
    """
    assert request.requests is not None
    if request.options.product:
        what = "requests that are cut into batches are planned with free buckets, but the platform takes only products"
        raise PlanError(what, where="batching", fix="Write `batching: observed`, or list the buckets.")
    side = Side(request.variables, request.planned)
    choices = request.lattice.allowed[side.column].choices or BATCHES
    asked = _asked(request, side)
    part = _thinned(asked)
    search = _Search(runs_of(part, choices), side, choices, most, request.options.bucket_price, request.effort)
    buckets = search.run(part.items)
    bound = None
    if asked.items.shape[1] == 1 and not callable(request.options.bucket_price):
        bound = bound_requests(runs_of(asked, choices)[0], side, choices, buckets, most, request.effort)
    return Choice(buckets, bound if request.certain else None, thinned=False)


def _asked(request: PlanRequest, side: Side) -> ItemRequests:
    """Return the requests with sizes rounded up, without items that fit nowhere or need not be covered.

    The headroom is one more request of one item, of no weight.
    """
    requests = request.requests
    assert requests is not None
    columns = [requests.items[:, requests.variables.index(name)] for name in side.sizes]
    raw = np.stack(columns, axis=1) if columns else requests.items[:, :0]
    allowed = [sizes for index, sizes in enumerate(request.lattice.allowed) if index != side.column]
    rounded = [sizes.round(column) for sizes, column in zip(allowed, raw.T, strict=True)]
    items = np.stack(rounded, axis=1) if rounded else raw
    kept: NDArray[np.bool_] = np.all(items > 0, axis=1)
    least = np.full(len(raw), min(request.lattice.allowed[side.column].choices or BATCHES))
    kept[kept] &= request.caps.allowed(side.join(least[kept], items[kept]), request.model)
    kept &= ~_dropped(raw, requests, side, request.options.drop_quantile)
    if not kept.any():
        raise PlanError("no item fits the allowed sizes", where="ranges", fix="Widen the range.")
    before = np.concatenate([[0], np.cumsum(kept)])
    offsets, weights = before[requests.offsets].astype(np.int64), requests.weights
    items = items[kept]
    if request.options.headroom is not None and columns:
        every = side.join(np.ones(1, dtype=np.int64), raw[kept].max(axis=0)[None, :])[0]
        top = largest_shape(every, request.variables, request.lattice, request.options)
        assert top is not None
        items = np.vstack([items, np.delete(np.asarray(top), side.column)])
        offsets = np.append(offsets, offsets[-1] + 1)
        weights = np.append(np.ones(len(offsets) - 2) if weights is None else weights, 0.0)
    return ItemRequests(side.sizes, items, offsets, weights)


def _dropped(raw: NDArray[np.int64], requests: ItemRequests, side: Side, share: float) -> NDArray[np.bool_]:
    """Return which items need not be covered: the costliest ones by themselves, at most ``share`` of the weight."""
    gone = np.zeros(len(raw), dtype=bool)
    if share > 0 and len(raw):
        alone = cost_of(side.model, side.join(np.ones(len(raw), dtype=np.int64), raw))
        mass = np.ones(len(raw)) if requests.weights is None else np.repeat(requests.weights, requests.counts)
        order = np.argsort(-alone, kind="stable")
        gone[order[mass[order].cumsum() <= share * mass.sum() * (1 + 1e-12)]] = True
    return gone


def _thinned(requests: ItemRequests) -> ItemRequests:
    """Return some requests, and the items that no other contains as requests of their own.

    So whatever serves these serves every item there is.
    """
    filled = np.flatnonzero(requests.counts > 0)
    many = requests.counts[filled].cumsum()
    if len(filled) <= _REQUESTS and many[-1] <= 4 * _ITEMS:
        return requests
    fraction = min(1.0, _REQUESTS / len(filled), _ITEMS / many[-1])
    picked = filled[np.unique(np.linspace(0, len(filled) - 1, max(50, int(fraction * len(filled)))).astype(np.int64))]
    parts = [requests.items[requests.offsets[index] : requests.offsets[index + 1]] for index in picked]
    mass = np.ones(len(requests.counts)) if requests.weights is None else requests.weights
    largest = _largest(requests.items)
    weights = np.concatenate([mass[picked], np.zeros(len(largest))])
    lengths = [len(part) for part in parts] + [1] * len(largest)
    return ItemRequests(
        requests.variables, np.concatenate([*parts, largest]), np.concatenate([[0], np.cumsum(lengths)]), weights
    )


def _largest(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the items that no other one contains."""
    rows = np.unique(items, axis=0)[::-1]
    found: list[NDArray[np.int64]] = []
    for row in rows:
        if not any((row <= other).all() for other in found):
            found.append(row)
    return np.asarray(found, dtype=np.int64).reshape(-1, items.shape[1])


@dataclass(frozen=True, eq=False)
class _Search:
    tables: list[RunTable]
    side: Side
    choices: Sequence[int]
    most: int
    price: Price
    effort: Effort

    @property
    def runs(self) -> RunTable:
        return self.tables[0]

    def run(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the best buckets found, int64 [k, 1 + d]."""
        buckets = self._settled(self._drop(self._rich(items)))
        if items.shape[1] == 1 and self.effort.rounds and len(buckets) <= _EXCHANGED:
            choices = np.asarray(sorted(self.choices), dtype=np.int64)
            others = exchange_buckets(self.runs, self.side, choices, self.price, buckets)
            best = min(others, key=self._total)
            if self._total(best) < self._total(buckets) * (1 - 1e-9):
                buckets = self._settled(best)
        return self._needed(buckets)

    def _settled(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move and plan anew in turn until neither saves."""
        for _ in range(_SWEEPS):
            before = self._total(buckets)
            buckets = self._replan(self._move(buckets))
            if self._total(buckets) >= before * (1 - 1e-9):
                break
        return buckets

    def _total(self, buckets: NDArray[np.int64]) -> float:
        return serve(self.tables, self.side, buckets) + float(prices_of(self.price, buckets).sum())

    def _rich(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return every batch choice with sizes that are good for the items alone."""
        distinct, weights = np.unique(items, axis=0, return_counts=True)
        if not items.shape[1]:
            return np.asarray(self.choices, dtype=np.int64)[:, None]
        count = int(np.clip(self.most, 6, 24))
        alone = Problem(
            distinct,
            weights.astype(np.float64),
            lambda shapes: self.side.costs(self.side.join(np.ones(len(shapes), dtype=np.int64), shapes)),
            count,
        )
        sizes = solve(alone, EFFORTS["quick"]).chosen
        sizes = np.unique(np.vstack([sizes, _largest(distinct).max(axis=0)]), axis=0)
        pairs = [self.side.join(np.full(len(sizes), choice), sizes) for choice in self.choices]
        return np.concatenate(pairs)

    def _drop(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Drop buckets one by one, the one that is missed least each time."""
        while len(buckets) > self.most:
            loss = self._loss(buckets)
            idle = np.flatnonzero(loss <= 0)
            if len(idle):
                drop = idle[: len(buckets) - self.most]
            else:
                # The loss without cutting anew is only an upper bound: the likeliest few are tried.
                likely = np.argsort(loss, kind="stable")[:6]
                drop = likely[np.argmin([self._total(np.delete(buckets, index, axis=0)) for index in likely])]
            buckets = np.delete(buckets, drop, axis=0)
        return buckets

    def _loss(self, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each bucket's runs would cost more in the next best one; 0 where it runs nothing."""
        table = self.side.table(self.runs, buckets)
        served = self.runs.serve(table.min(axis=1))
        order = np.argsort(table, axis=1, kind="stable")
        first = order[:, 0]
        second = np.take_along_axis(table, order[:, 1:2], axis=1)[:, 0]
        # Items of no weight still have to be served.
        least = table[np.arange(len(table)), first]
        used = (served.uses > 0) | ((self.runs.counts == 1) & np.isinf(second) & np.isfinite(least))
        loss = np.zeros(len(buckets))
        missed = np.where(np.isinf(second[used]), np.inf, second[used] - least[used])
        np.add.at(loss, first[used], np.maximum(served.uses[used], 1e-300) * missed)
        return loss

    def _needed(self, buckets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the buckets without those whose price is more than what they save."""
        total = self._total(buckets)
        while len(buckets) > 1:
            trials = [self._total(np.delete(buckets, index, axis=0)) for index in range(len(buckets))]
            if min(trials) > total * (1 + 1e-12):
                break
            total = min(trials)
            buckets = np.delete(buckets, int(np.argmin(trials)), axis=0)
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
        ordered = np.asarray(sorted(self.choices), dtype=np.int64)
        counts = ordered[np.minimum(np.searchsorted(ordered, self.runs.counts[used]), len(ordered) - 1)]
        rows = self.side.join(counts, self.runs.sizes[used])
        samples, inverse = np.unique(rows, axis=0, return_inverse=True)
        weights = np.bincount(inverse.ravel(), served.uses[used], len(samples)).astype(np.float64)
        price = None if not callable(self.price) and not self.price else (lambda shapes: prices_of(self.price, shapes))
        problem = Problem(samples, weights, self.side.costs, self.most, price)
        # Only a suggestion: what is found is judged by the partition, and nothing of its proof is used.
        found = solve(problem, EFFORTS["quick"], [buckets]).chosen
        return found if self._total(found) < self._total(buckets) else buckets
