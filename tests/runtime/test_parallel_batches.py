"""Several batches in flight: order, engines, errors, copies."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from scaling_tasks.runtime.parallel_batches import run_in_flight


@pytest.mark.parametrize(("workers", "copies"), [(2, 1), (3, 2), (8, 1)])
def test_every_job_runs_once_and_no_engine_more_often_than_it_can(workers: int, copies: int) -> None:
    lock, running, most = threading.Lock(), [0] * 3, [0] * 3
    engines = [job * 7 % 3 for job in range(60)]

    def serve(job: int) -> int:
        engine = engines[job]
        with lock:
            running[engine] += 1
            most[engine] = max(most[engine], running[engine])
        sum(range(2000))
        with lock:
            running[engine] -= 1
        return job * 10

    with ThreadPoolExecutor(workers) as executor:
        results = run_in_flight(
            serve, range(60), engines=engines, costs=[1.0] * 60, copies=copies, executor=executor, workers=workers
        )
    assert results == [job * 10 for job in range(60)]
    assert max(most) <= copies


def test_two_workers_use_two_engines_while_both_have_work() -> None:
    # Each job waits for one of the other engine: it would never end if both workers took the same engine.
    meeting = threading.Barrier(2, timeout=20)
    jobs = [0, 0, 0, 1, 1, 1]
    with ThreadPoolExecutor(2) as executor:
        results = run_in_flight(
            lambda job: (meeting.wait(), job)[1],
            jobs,
            engines=jobs,
            costs=[1.0] * 6,
            copies=1,
            executor=executor,
            workers=2,
        )
    assert results == jobs


def test_the_first_error_stops_the_rest() -> None:
    done: list[int] = []

    def serve(job: int) -> None:
        if job == 9:
            raise ValueError("nine")
        done.append(job)

    # The dearest job goes first.
    costs = [float(job) for job in range(10)]
    with ThreadPoolExecutor(2) as executor:
        more: dict[str, Any] = {"costs": costs, "copies": 1, "executor": executor, "workers": 2}
        with pytest.raises(ValueError, match="nine"):
            run_in_flight(serve, range(10), engines=[0] * 10, **more)
    assert done == []


def test_a_busy_executor_cannot_stop_the_caller() -> None:
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(release.wait, 20)
        jobs = range(5)
        found = run_in_flight(
            lambda job: job, jobs, engines=[0] * 5, costs=[1.0] * 5, copies=1, executor=executor, workers=2
        )
        release.set()
    assert found == [0, 1, 2, 3, 4]


def test_copies_run_the_same_bucket_at_the_same_time(opened: Any, answer: Any) -> None:
    model, log = opened([(1, 32)], loading={"in_flight": 3, "copies": 2})
    requests = [{"x": np.full((1, 3, 1 + i % 32), i + 1, np.float32)} for i in range(30)]
    for got, request in zip(model.run_many(requests), requests, strict=True):
        np.testing.assert_array_equal(got["y"], answer(request["x"])["y"])
    model.warm_up()
    assert model._engines.resident == 2
    assert len(log.loaded) == 2
