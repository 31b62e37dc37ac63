"""Getting engines ready before requests ask for them, and what serves until then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np

from scaling_tasks.errors import BundleError
from scaling_tasks.process_memory import process_memory
from scaling_tasks.runtime.pool import EnginePool
from scaling_tasks.runtime.runs import Server
from scaling_tasks.runtime.selection import BucketTable, contains

__all__ = ["Preparation", "Readiness", "ReadyBucket"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadyBucket:
    """A bucket whose engine was loaded before a request asked for it.

    Attributes:
        sizes: One per variable.
        seconds: How long loading and a first run took.
        memory: By how many bytes the memory of this process and of the engine's own grew meanwhile, whatever made it
            grow; 0 where the system does not tell.
    """

    sizes: Mapping[str, int]
    seconds: float
    memory: int


@dataclass(frozen=True)
class Readiness:
    """How far getting ready has come.

    Attributes:
        ready: The buckets that are, in the order in which they were made ready.
        waiting: The sizes of those that are not yet.
        failed: Per artefact that cannot be loaded, why.
        running: Whether buckets are being made ready now.
    """

    ready: tuple[ReadyBucket, ...]
    waiting: tuple[Mapping[str, int], ...]
    failed: tuple[str, ...]
    running: bool

    @property
    def complete(self) -> bool:
        """Whether every bucket is ready."""
        return not self.waiting and not self.failed


class Preparation:
    """Makes buckets ready, those that are asked for first, then by their traffic.

    Where not all may stay loaded and a larger bucket gives the same answer, the set that is made ready is one that
    serves everything and saves the most by the planned traffic; from then on no other bucket is used.

    Args:
        server: Runs them.
        engines: Loads them.
        table: The buckets.
        variables: Their columns.
        hits: How often the data set that was planned for uses each bucket.
        interchangeable: Whether a larger bucket gives the same answer, so that it may serve until the right one is
            ready.
        loaders: How many engines are loaded at the same time, where their memory is not measured.
    """

    def __init__(
        self,
        server: Server,
        engines: EnginePool,
        table: BucketTable,
        variables: Sequence[str],
        hits: Sequence[float],
        interchangeable: bool,
        loaders: int = 1,
    ) -> None:
        self._server, self._engines, self._table, self._variables = server, engines, table, tuple(variables)
        self._interchangeable = interchangeable
        self._keeps = interchangeable and engines.limited
        self._loaders = 1 if engines.counts_memory else max(1, loaders)
        by_traffic = sorted(range(len(hits)), key=lambda bucket: (-hits[bucket], table.costs[bucket]))
        self._order = by_saving(table, hits) if self._keeps else by_traffic
        self._lock = threading.Lock()
        self._done: dict[int, ReadyBucket] = {}
        self._failed: dict[int, str] = {}
        self._asked: list[int] = []
        self._begun: set[int] = set()
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._stopping = False

    def readiness(self) -> Readiness:
        """Return how far it has come."""
        with self._lock:
            waiting = [self._sizes(each) for each in self._order if each not in self._done and each not in self._failed]
            running = any(thread.is_alive() for thread in self._threads)
            return Readiness(tuple(self._done.values()), tuple(waiting), tuple(self._failed.values()), running)

    def make_ready(self, buckets: Sequence[int] | None, *, seconds: float | None, memory: int | None) -> None:
        """Make buckets ready, those with the most traffic first, until all are or a budget is used up.

        Args:
            buckets: Which, all by default.
            seconds: After so many no further one is begun.
            memory: None is begun that would, if it takes as much as the largest so far, exceed so many bytes.

        Raises:
            BundleError: An artefact is missing or damaged, or the model is closed.
        """
        if self._stopping:
            raise BundleError("the model is closed", fix="Load the bundle again.")
        left = [bucket for bucket in reversed(self._order) if buckets is None or bucket in buckets]
        ends, grown = None if seconds is None else time.monotonic() + seconds, [0]

        def take() -> int | None:
            with self._lock:
                if not left or self._stopping or (ends is not None and time.monotonic() >= ends):
                    return None
                if memory is not None and sum(grown) + max(grown) > memory:
                    return None
                return None if buckets is None and self._engines.full(len(self._begun)) else self._take(left.pop())

        def work() -> None:
            try:
                while (bucket := take()) is not None:
                    grown.append(self._make(bucket).memory)
            except BaseException:
                left.clear()
                raise

        # What several threads load at the same time cannot be told apart by its memory.
        with ThreadPoolExecutor(1 if memory is not None else self._loaders) as pool:
            try:
                for worker in [pool.submit(copy_context().run, work) for _ in range(self._loaders)]:
                    worker.result()
            finally:
                left.clear()  # Who interrupts it need not wait for more than what is under way.
        self._keep()

    def begin(self) -> None:
        """Make all buckets ready in the background."""
        with self._lock:
            if not self._threads:
                self._working = self._loaders
                self._threads = [
                    threading.Thread(
                        target=copy_context().run, args=(self._work,), name=f"scaling-tasks-ready-{number}"
                    )
                    for number in range(self._loaders)
                ]
                if self._interchangeable:
                    self._server.stand_in = self._instead_of
                for thread in self._threads:
                    thread.start()

    def wait(self) -> None:
        """Wait until no bucket is being made ready in the background."""
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Begin no further bucket, and wait for the one that is under way."""
        self._stopping = True
        self.wait()

    def _work(self) -> None:
        # The interpreter waits for this thread at its end, so that it must see that end.
        while not self._stopping and threading.main_thread().is_alive():
            bucket = self._next()
            if bucket is None:
                break
            try:
                self._make(bucket)
            except BundleError as cause:  # Whoever asks for the bucket gets the error.
                with self._lock:
                    self._failed[bucket] = str(cause)
                _LOG.warning("%s", cause)
        with self._lock:
            self._working -= 1
            last = self._working == 0
        if last:
            self._keep()
            self._server.stand_in = None

    def _next(self) -> int | None:
        """Return the bucket to make ready next; None when all are, or as many as may be loaded at once."""
        with self._lock:
            if self._engines.full(len(self._begun)):
                return None
            # Where few may stay, what was asked for must not take the place of what saves more.
            for bucket in (*(() if self._keeps else self._asked), *self._order):
                if bucket not in self._done and bucket not in self._failed and bucket not in self._begun:
                    return self._take(bucket)
            return None

    def _take(self, bucket: int) -> int:
        self._begun.add(bucket)
        return bucket

    def _keep(self) -> None:
        """Where not all may stay loaded, and those that are serve everything, use no others."""
        if self._keeps and self._engines.full():
            self._server.keep([bucket for bucket in self._done if self._engines.is_ready(bucket)])

    def _make(self, bucket: int) -> ReadyBucket:
        before, start = process_memory(), time.perf_counter()
        try:
            processes = self._server.warm_up(bucket)
        finally:
            with self._lock:
                self._begun.discard(bucket)
        seconds, after = time.perf_counter() - start, process_memory() + sum(map(process_memory, processes))
        made = ReadyBucket(self._sizes(bucket), seconds, max(0, after - before))
        with self._lock:
            self._done[bucket] = made
        return made

    def _instead_of(self, bucket: int) -> int:
        """Return what serves a bucket's requests now: itself or, until it is ready, the next larger one that is."""
        if self._engines.is_ready(bucket):
            return bucket
        with self._lock:
            if bucket not in self._asked:
                self._asked.append(bucket)
        wanted = self._table.buckets[bucket]
        found = (each for each in self._table.containing(wanted) if self._engines.is_ready(each))
        return next(found, bucket)

    def _sizes(self, bucket: int) -> Mapping[str, int]:
        return dict(zip(self._variables, self._table.buckets[bucket], strict=True))


def by_saving(table: BucketTable, hits: Sequence[float]) -> list[int]:
    """Return the buckets in the order in which to load them where not all may be.

    First those that no other contains, which serve everything; then the one that saves the most over what is there so
    far, by the traffic that was planned for, and so on.
    """
    count, weights = len(table.buckets), np.asarray(hits, float) + 1e-9 * max(*hits, 1.0)
    costs = np.array(
        [
            [table.costs[i] if contains(table.buckets[i], each) else np.inf for each in table.buckets]
            for i in range(count)
        ]
    )
    order = [
        i for i in range(count) if not any(contains(table.buckets[j], table.buckets[i]) for j in range(count) if j != i)
    ]
    best = costs[order].min(axis=0)
    while len(order) < count:
        saved = (weights * np.maximum(best - costs, 0)).sum(axis=1)
        saved[order] = -1
        order.append(int(saved.argmax()))
        best = np.minimum(best, costs[order[-1]])
    return order
