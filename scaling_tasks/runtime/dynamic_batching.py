"""Batches over time: requests that wait together run together, by the partition of least cost over all that wait."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import islice

from scaling_tasks.errors import BundleError, RequestError
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.runtime.runs import CheckedRequest, Rows, Server

__all__ = ["Answer", "DynamicBatcher"]

# How often a request is tried: the process of an engine may die again while it starts.
_MOST_TRIES = 3

# Rows that are partitioned at a time, the oldest: some milliseconds for the search.
_MOST_ROWS = 256

_ROUNDING = 1 + 1e-9


class Answer(Future[Arrays]):
    """What a submitted request will get.

    Attributes:
        waited: Seconds from its submission until its first row ran.
    """

    waited: float = 0.0


@dataclass(eq=False)
class _Waiting:
    """A request that has not been answered.

    Attributes:
        request: It.
        answer: Where its result goes.
        since: When it came.
        begun: Whether a part of it ran or runs.
        left: How many of its rows have no result yet.
        parts: The results of the others, by first row.
    """

    request: CheckedRequest
    answer: Answer
    since: float
    left: int
    begun: bool = False
    parts: dict[int, Arrays] = field(default_factory=dict)


_Row = tuple[_Waiting, int]


@dataclass(frozen=True)
class _Job:
    """What runs at once.

    Attributes:
        engine: Which artefact it needs, -1 for the dynamic model.
        bucket: Its bucket, -1 for one request that takes its own way.
        rows: What it serves.
        since: When the first of its requests came.
        ready: Whether it gains nothing by waiting.
        failures: How often it failed before.
    """

    engine: int
    bucket: int
    rows: tuple[_Row, ...]
    since: float
    ready: bool
    failures: int = 0

    @property
    def requests(self) -> list[_Waiting]:
        """The requests that it serves, or parts of them."""
        return list(dict.fromkeys(waiting for waiting, _ in self.rows))


class DynamicBatcher:
    """Keeps requests until they run.

    All waiting rows are partitioned at least cost whenever a worker gets free. A batch runs once the oldest of its
    requests has waited for so long, or at once where no other request could make its rows cheaper: where every row
    costs what the fullest batch of its smallest bucket would cost it. What is left of an optimal partition is optimal
    for the rest, so that batches may run one by one while others come.

    A batch whose engine fails runs again, each of its requests by itself, up to two times: none fails for another's
    sake, nor because an engine's process died.

    Args:
        server: Runs batches.
        executor: Gives the threads, at least ``workers``.
        workers: How many batches run at the same time.
        wait: For how many seconds a request may wait for others.
        copies: How many batches an engine can run at once.
    """

    def __init__(
        self, server: Server, executor: Callable[[], Executor], workers: int, wait: float, copies: int
    ) -> None:
        self._server, self._executor, self._wait, self._copies = server, executor, wait, copies
        self._most_workers = max(1, workers)
        self._changed = threading.Condition()
        self._rows: dict[_Row, None] = {}
        # Those that are not in batches with others: of no bucket, or of a model whose rows are not independent.
        self._alone: list[_Job] = []
        self._planned: list[_Job] | None = []
        self._busy: Counter[int] = Counter()
        self._workers = 0
        self._watched = self._closing = False

    def submit(self, request: CheckedRequest, answer: Answer) -> None:
        """Serve a request some time soon.

        Raises:
            BundleError: It is closed.
        """
        executor = self._executor()
        rows = self._server.rows(request)
        waiting = _Waiting(request, answer, time.monotonic(), len(rows))
        with self._changed:
            if self._closing:
                raise BundleError("the model is closed", fix="Load the bundle again.")
            if self._server.in_batches(request):
                self._rows.update(dict.fromkeys((waiting, row) for row in rows))
                self._planned = None
            else:
                self._alone.append(_Job(self._server.engine(request), -1, ((waiting, 0),), waiting.since, True))
            if self._watched:
                self._changed.notify()
            else:
                self._hire(executor)

    def close(self) -> None:
        """Let nobody wait any longer, and take no more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _hire(self, executor: Executor) -> None:
        """Begin one more worker, if there may be one."""
        if self._workers < self._most_workers:
            self._workers += 1
            executor.submit(self._work)

    def _work(self) -> None:
        """Run jobs as long as there are some, or some that wait and nobody who watches them."""
        try:
            while (job := self._take()) is not None:
                try:
                    self._run(job)
                finally:
                    with self._changed:
                        self._busy[job.engine] -= 1
        except BaseException as cause:  # Nobody may wait for what no worker is left to do.
            self._abandon(cause)
            raise

    def _take(self) -> _Job | None:
        with self._changed:
            while True:
                now = time.monotonic()
                jobs = self._jobs()
                job = next((each for each in jobs if self._due(each, now) and self._free(each)), None)
                if job is not None:
                    self._remove(job)
                    self._busy[job.engine] += 1
                    if len(jobs) > 1 and not self._closing and not self._watched:
                        self._hire(self._executor())
                    return job
                # Whoever holds the engine of one that is due takes it next.
                patient = [each.since + self._wait - now for each in jobs if not self._due(each, now)]
                if not patient or self._watched:
                    self._workers -= 1
                    return None
                self._watched = True
                self._changed.wait(min(patient))
                self._watched = False

    def _abandon(self, cause: BaseException) -> None:
        """Give up the worker, and all requests that wait."""
        with self._changed:
            self._workers -= 1
            left = {
                *(waiting for waiting, _ in self._rows),
                *(waiting for job in self._alone for waiting, _ in job.rows),
            }
            self._rows.clear()
            self._alone.clear()
            self._planned = None
        for waiting in left:
            if not waiting.answer.done():
                waiting.answer.set_exception(cause)

    def _due(self, job: _Job, now: float) -> bool:
        return job.ready or self._closing or job.since + self._wait <= now

    def _free(self, job: _Job) -> bool:
        return self._busy[job.engine] < self._copies

    def _jobs(self) -> list[_Job]:
        """Return what could run, oldest first."""
        if self._planned is None or (not self._planned and self._rows):
            rows = list(islice(self._rows, _MOST_ROWS))
            self._planned = self._partition(rows)
        return sorted((*self._alone, *self._planned), key=lambda job: job.since)

    def _partition(self, rows: Sequence[_Row]) -> list[_Job]:
        shapes = [waiting.request.shape for waiting, _ in rows]
        jobs = []
        for batch in self._server.partition(shapes):
            chosen = tuple(rows[item] for item in batch.items)
            least = sum(self._server.least_cost(shapes[item]) for item in batch.items)
            since = min(waiting.since for waiting, _ in chosen)
            ready = self._server.cost(batch.bucket) <= least * _ROUNDING
            jobs.append(_Job(self._server.artefact(batch.bucket), batch.bucket, chosen, since, ready))
        return jobs

    def _remove(self, job: _Job) -> None:
        if job in self._alone:
            self._alone.remove(job)
            return
        for row in job.rows:
            self._rows.pop(row, None)
        if self._planned is not None:
            self._planned.remove(job)

    def _run(self, job: _Job) -> None:
        now = time.monotonic()
        for waiting in job.requests:
            if not waiting.begun:
                waiting.begun = True
                waiting.answer.waited = now - waiting.since
                if waiting.answer.set_running_or_notify_cancel():
                    self._server.count(waiting.request)
        rows = tuple(row for row in job.rows if not row[0].answer.done())
        if not rows:
            return
        try:
            if job.bucket < 0:
                ((waiting, _),) = rows
                waiting.answer.set_result(self._server.serve(waiting.request))
            else:
                self._serve(job.bucket, rows)
        except Exception as cause:
            self._failed(job, rows, cause)

    def _serve(self, bucket: int, rows: Sequence[_Row]) -> None:
        """Run a batch, and answer the requests of which it was the last part."""
        requests = list(dict.fromkeys(waiting for waiting, _ in rows))
        place = {waiting: at for at, waiting in enumerate(requests)}
        items = [Rows(place[waiting], row, 1) for waiting, row in sorted(rows, key=lambda row: (place[row[0]], row[1]))]
        for item, outputs in self._server.run_rows(bucket, items, [each.request for each in requests]):
            waiting = requests[item.request]
            with self._changed:  # Another worker may have another part of it.
                waiting.parts[item.first] = outputs
                waiting.left -= item.count
                complete = waiting.left == 0
            if complete:
                waiting.answer.set_result(self._server.joined([waiting.parts[row] for row in sorted(waiting.parts)]))

    def _failed(self, job: _Job, rows: Sequence[_Row], cause: Exception) -> None:
        """Try each request again by itself; what fails then has failed."""
        for waiting in dict.fromkeys(waiting for waiting, _ in rows):
            own = tuple(row for row in rows if row[0] is waiting)
            with self._changed:
                if waiting.answer.done():
                    continue
                if job.failures + 1 == _MOST_TRIES or isinstance(cause, RequestError):
                    for row in [row for row in self._rows if row[0] is waiting]:
                        del self._rows[row]
                    self._planned = None
                    waiting.answer.set_exception(cause)
                else:
                    self._alone.append(_Job(job.engine, job.bucket, own, waiting.since, True, job.failures + 1))
