"""From requests to runs and back: which buckets, which rows, which crops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.runtime.batching import Batch, Batcher
from scaling_tasks.runtime.cropping import Cropper, Crops, cut, cut_rows
from scaling_tasks.runtime.oversize import OversizeServer
from scaling_tasks.runtime.parallel_batches import run_in_flight
from scaling_tasks.runtime.pool import EnginePool
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.runtime.traffic import TrafficRecorder
from scaling_tasks.shapes.behaviour import Behaviour
from scaling_tasks.shapes.signature import Signature

__all__ = ["CheckedRequest", "Rows", "Server"]

# Beyond this many distinct shapes the memory of routes starts again.
_MOST_ROUTES = 1 << 14


@dataclass(frozen=True)
class CheckedRequest:
    """A checked request.

    Attributes:
        arrays: All inputs.
        shape: One value per variable.
    """

    arrays: Arrays
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Route:
    """How requests of one shape are served.

    Attributes:
        buckets: The bucket of each piece along the batch; empty where no bucket contains the shape.
        rows: First row and end of each piece.
    """

    buckets: tuple[int, ...]
    rows: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Rows:
    """Rows of a request, an item of a batch.

    Attributes:
        request: Index of the request.
        first: Row.
        count: Rows.
    """

    request: int
    first: int
    count: int


class Server:
    """Serves checked requests; see ``BucketedModel`` for the meaning of the parts.

    Attributes:
        stand_in: Says which bucket runs in place of one while engines are made ready; None otherwise.
    """

    def __init__(
        self,
        engines: EnginePool,
        table: BucketTable,
        batcher: Batcher | None,
        batch_column: int | None,
        cropper: Cropper,
        traffic: TrafficRecorder,
        oversize: OversizeServer,
        behaviour: Behaviour,
        signature: Signature,
    ) -> None:
        self.stand_in: Callable[[int], int] | None = None
        self._engines, self._table, self._batcher, self._column = engines, table, batcher, batch_column
        self._cropper, self._traffic, self._oversize = cropper, traffic, oversize
        self._routes: dict[tuple[int, ...], _Route] = {}
        self._crops: dict[tuple[tuple[int, ...], int], Crops] = {}
        self._row_axes = {
            tensor.name: 0 if behaviour.rows is None else tensor.dims.index(behaviour.rows)
            for tensor in signature.inputs
        }
        names = [name for name in signature.variables if name != behaviour.rows]
        self._uniform = [names.index(name) for name in behaviour.uniform if name in names]

    def keep(self, buckets: Collection[int]) -> None:
        """Serve by these buckets alone from now on, if they contain all that is served now."""
        if self._table.keep(buckets):
            self._batcher = None if self._column is None else Batcher(self._table, self._column)
            self._routes = {}

    def run(self, request: CheckedRequest) -> Arrays:
        """Count and serve one request."""
        self.count(request)
        return self.serve(request)

    def count(self, request: CheckedRequest) -> None:
        """Count a request, before it is served."""
        if self._route(request.shape).buckets:
            self._traffic.request(request.shape)
        else:
            self._traffic.oversize(self._oversize.policy)
            self._traffic.request(request.shape, served=self._oversize.policy == "split")

    def serve(self, request: CheckedRequest) -> Arrays:
        """Serve one request by itself."""
        return self._serve(request) if self._route(request.shape).buckets else self._run_oversize(request)

    def in_batches(self, request: CheckedRequest) -> bool:
        """Return whether the request's rows may run with those of others."""
        return self._batcher is not None and bool(self._route(request.shape).buckets)

    def rows(self, request: CheckedRequest) -> range:
        """Return the request's rows."""
        return range(1 if self._column is None else request.shape[self._column])

    def engine(self, request: CheckedRequest) -> int:
        """Return the artefact that serves the request's first piece, -1 for the dynamic model."""
        buckets = self._route(request.shape).buckets
        return self.artefact(buckets[0]) if buckets else -1

    def artefact(self, bucket: int) -> int:
        """Return the index of the artefact that holds the bucket."""
        return self._engines.artefact(bucket)

    def cost(self, bucket: int) -> float:
        """Return what a run of the bucket costs."""
        return self._table.costs[bucket]

    def least_cost(self, shape: tuple[int, ...]) -> float:
        """Return what a row of a request of ``shape`` costs at least, in whatever batch."""
        assert self._batcher is not None
        return self._batcher.least_cost(self._size(shape))

    def _serve(self, request: CheckedRequest) -> Arrays:
        route = self._route(request.shape)
        if not route.buckets:
            raise self._oversize.error(request.shape)
        if len(route.buckets) == 1:
            bucket = self._ready(route.buckets[0])
            self._traffic.run(bucket)
            parts = {name: (array,) for name, array in request.arrays.items()}
            rows = 1 if self._column is None else request.shape[self._column]
            outputs = self._engines.run(bucket, parts, [(request.shape, rows)])
            return cut(outputs, self._cropped(request.shape, bucket))
        self._traffic.oversize("batch")
        results = []
        for planned, (first, end) in zip(route.buckets, route.rows, strict=True):
            bucket = self._ready(planned)
            self._traffic.run(bucket)
            pieces = {name: (self._taken(name, array, first, end),) for name, array in request.arrays.items()}
            outputs = self._engines.run(bucket, pieces, [(request.shape, end - first)])
            crops = self._cropped(request.shape, bucket)
            results.append(cut_rows(outputs, crops, self._cropper.rows, 0, end - first))
        return self.joined(results)

    def _taken(self, name: str, array: NDArray[Any], first: int, end: int) -> NDArray[Any]:
        """Return rows of an input."""
        return array[(slice(None),) * self._row_axes[name] + (slice(first, end),)]

    def _cropped(self, shape: tuple[int, ...], bucket: int) -> Crops:
        """Return what to keep of a bucket's outputs for a shape, and remember it."""
        found = self._crops.get((shape, bucket))
        if found is None:
            if len(self._crops) >= _MOST_ROUTES:
                self._crops.clear()
            found = self._crops[shape, bucket] = self._cropper.crops(shape, self._table.buckets[bucket])
        return found

    def run_many(self, requests: Sequence[CheckedRequest], executor: Executor | None, workers: int = 1) -> list[Arrays]:
        """Serve many requests at least cost, ``workers`` batches at a time, all but one of them on ``executor``."""
        if self._batcher is None:
            return self._run_all(self.run, requests, [self._buckets(each) for each in requests], executor, workers)
        inside = [i for i, request in enumerate(requests) if self._route(request.shape).buckets]
        results: dict[int, Arrays] = {}
        for i in range(len(requests)):
            if not self._route(requests[i].shape).buckets:
                results[i] = self.run(requests[i])
        rows = [Rows(i, row, 1) for i in inside for row in range(requests[i].shape[self._batch])]
        batches = self.partition([requests[item.request].shape for item in rows])
        for i in inside:
            self._traffic.request(requests[i].shape)

        def serve(batch: Batch) -> list[tuple[Rows, Arrays]]:
            return self.run_rows(batch.bucket, [rows[item] for item in sorted(batch.items)], requests)

        gathered: dict[int, list[tuple[int, Arrays]]] = defaultdict(list)
        buckets = [(batch.bucket,) for batch in batches]
        for served in self._run_all(serve, batches, buckets, executor, workers):
            for item, outputs in served:
                gathered[item.request].append((item.first, outputs))
        for i, parts in gathered.items():
            results[i] = self.joined([outputs for _, outputs in sorted(parts, key=lambda part: part[0])])
        return [results[i] for i in range(len(requests))]

    def partition(self, shapes: Sequence[tuple[int, ...]]) -> list[Batch]:
        """Return batches of single rows, given by the shapes of their requests.

        Rows that have to agree in some variables run with their like only.
        """
        assert self._batcher is not None
        sizes = [self._size(shape) for shape in shapes]
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for item, size in enumerate(sizes):
            groups[tuple(size[column] for column in self._uniform)].append(item)
        return [
            Batch(batch.bucket, tuple(items[at] for at in batch.items))
            for items in groups.values()
            for batch in self._batcher.partition([sizes[item] for item in items])
        ]

    def warm_up(self, bucket: int) -> list[int]:
        """Load the bucket's engine and run it on zeros; return the processes of engines that have their own."""
        processes = self._engines.load(bucket)
        shape = self._table.buckets[bucket]
        rows = 1 if self._column is None else shape[self._column]
        zeros = {name: (array,) for name, array in self._engines.zeros(bucket).items()}
        self._engines.run(bucket, zeros, [(shape, rows)])
        return processes

    def _ready(self, bucket: int) -> int:
        """Return what runs in place of a bucket: itself, but while engines are made ready."""
        stand_in = self.stand_in
        return bucket if stand_in is None else stand_in(bucket)

    @property
    def _batch(self) -> int:
        return -1 if self._column is None else self._column

    def _size(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape without its batch."""
        return (*shape[: self._batch], *shape[self._batch + 1 :])

    def _route(self, shape: tuple[int, ...]) -> _Route:
        return self._routes.get(shape) or self._plan(shape)

    def _plan(self, shape: tuple[int, ...]) -> _Route:
        """Choose the buckets for a shape, and remember them."""
        batches = self._pieces(shape)
        ends = np.cumsum([len(batch.items) for batch in batches]).tolist()
        rows = tuple((end - len(batch.items), end) for batch, end in zip(batches, ends, strict=True))
        route = _Route(tuple(batch.bucket for batch in batches), rows)
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        self._routes[shape] = route
        return route

    def _pieces(self, shape: tuple[int, ...]) -> list[Batch]:
        if self._batcher is None:
            found = self._table.find(shape)
            return [] if found < 0 else [Batch(found, (0,))]
        size = self._size(shape)
        if self._batcher.find(1, size) < 0:
            return []
        return self._batcher.partition([size] * shape[self._batch])

    def run_rows(
        self, bucket: int, rows: Sequence[Rows], requests: Sequence[CheckedRequest]
    ) -> list[tuple[Rows, Arrays]]:
        """Run one batch; return the outputs of its rows, those of one request that lie together as one.

        Args:
            bucket: That contains them.
            rows: In the order of requests and of their rows.
            requests: Whose they are.
        """
        bucket, items, names = self._ready(bucket), _merged(rows), requests[0].arrays
        parts = {
            name: [
                self._taken(name, requests[item.request].arrays[name], item.first, item.first + item.count)
                for item in items
            ]
            for name in names
        }
        self._traffic.run(bucket)
        outputs = self._engines.run(bucket, parts, [(requests[item.request].shape, item.count) for item in items])
        served, row = [], 0
        for item in items:
            crops = self._cropped(requests[item.request].shape, bucket)
            served.append((item, cut_rows(outputs, crops, self._cropper.rows, row, item.count)))
            row += item.count
        return served

    def joined(self, results: Sequence[Arrays], axes: dict[str, int] | None = None) -> Arrays:
        """Join results along the rows, or along the given axes."""
        if len(results) == 1:
            return results[0]
        along = axes or self._cropper.rows
        return {name: _concatenate([part[name] for part in results], along[name]) for name in results[0]}

    def _run_oversize(self, request: CheckedRequest) -> Arrays:
        policy = self._oversize.policy
        if policy == "fallback":
            return self._oversize.run(request.arrays)
        if policy == "split":
            pieces, axes = self._oversize.pieces(request.arrays, request.shape)
            return self.joined([self._serve(CheckedRequest(arrays, shape)) for arrays, shape in pieces], axes)
        raise self._oversize.error(request.shape)

    def _buckets(self, request: CheckedRequest) -> tuple[int, ...]:
        return self._route(request.shape).buckets

    def _run_all(
        self,
        serve: Callable[[Any], Any],
        jobs: Sequence[Any],
        buckets: Sequence[tuple[int, ...]],
        executor: Executor | None,
        workers: int,
    ) -> list[Any]:
        if executor is None or workers < 2 or len(jobs) < 2:
            return [serve(job) for job in jobs]
        return run_in_flight(
            serve,
            jobs,
            # What no bucket serves goes to the dynamic model, an engine of its own.
            engines=[self._engines.artefact(each[0]) if each else -1 for each in buckets],
            costs=[sum(self._table.costs[bucket] for bucket in each) for each in buckets],
            copies=self._engines.copies,
            executor=executor,
            workers=workers,
        )


def _merged(items: Sequence[Rows]) -> list[Rows]:
    """Put neighbouring rows of one request together: one copy, one crop."""
    merged: list[Rows] = []
    for item in items:
        last = merged[-1] if merged else None
        if last and last.request == item.request and last.first + last.count == item.first:
            merged[-1] = Rows(last.request, last.first, last.count + item.count)
        else:
            merged.append(item)
    return merged


def _concatenate(parts: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
    return np.concatenate(parts, axis=axis)
