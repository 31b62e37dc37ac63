"""Several batches at the same time: which goes next, so that no worker waits for an engine while other work is left."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

__all__ = ["run_in_flight"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_in_flight(
    serve: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    engines: Sequence[int],
    costs: Sequence[float],
    copies: int,
    executor: Executor,
    workers: int,
) -> list[Result]:
    """Return what ``serve`` gives for each job, in the order of the jobs.

    Args:
        serve: Runs one job.
        jobs: What is to be run.
        engines: Which engine each job needs.
        costs: What each job costs.
        copies: How many jobs one engine can run at once.
        executor: Where all workers but the caller run.
        workers: How many jobs run at once, the caller's among them.

    Raises:
        Exception: The first that a job raised; jobs that have not begun then never do.
    """
    queue = _Queue(serve, jobs, engines, costs, copies)
    helpers = [executor.submit(queue.work) for _ in range(min(workers, len(jobs)) - 1)]
    queue.work()
    for helper in helpers:
        # One that has not even begun finds nothing to do; waiting for it could wait for the caller itself.
        if not helper.cancel():
            helper.result()
    if queue.error is not None:
        raise queue.error
    return [queue.results[position] for position in range(len(jobs))]


class _Queue(Generic[Job, Result]):
    """What is left to do, per engine, largest job first."""

    def __init__(
        self,
        serve: Callable[[Job], Result],
        jobs: Sequence[Job],
        engines: Sequence[int],
        costs: Sequence[float],
        copies: int,
    ) -> None:
        self._serve, self._jobs, self._engines, self._costs, self._copies = serve, jobs, engines, costs, copies
        self._changed = threading.Condition()
        self._left: dict[int, list[int]] = {}
        for position in sorted(range(len(jobs)), key=lambda job: costs[job]):
            self._left.setdefault(engines[position], []).append(position)
        self._work = {engine: sum(costs[job] for job in left) for engine, left in self._left.items()}
        self._busy: Counter[int] = Counter()
        self.results: dict[int, Result] = {}
        self.error: BaseException | None = None

    def work(self) -> None:
        """Run jobs until none is left."""
        while (position := self._take()) is not None:
            try:
                result = self._serve(self._jobs[position])
            except BaseException as error:
                with self._changed:
                    self.error = self.error or error
                    self._left.clear()
            else:
                self.results[position] = result
            finally:
                with self._changed:
                    self._busy[self._engines[position]] -= 1
                    self._changed.notify_all()

    def _take(self) -> int | None:
        """Take a job of the free engine that has the most work left: it would be the last to end."""
        with self._changed:
            while self._left:
                free = [engine for engine in self._left if self._busy[engine] < self._copies]
                if free:
                    return self._pop(max(free, key=lambda engine: self._work[engine]))
                self._changed.wait()
        return None

    def _pop(self, engine: int) -> int:
        position = self._left[engine].pop()
        self._work[engine] -= self._costs[position]
        self._busy[engine] += 1
        if not self._left[engine]:
            del self._left[engine]
        return position
