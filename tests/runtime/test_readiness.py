"""Getting engines ready: in which order, within which budget, and who serves until then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.behaviour import Verdict
from tests.runtime.conftest import EngineLog, write_bundle

BUCKETS = [(1, 16), (1, 32), (1, 64), (1, 128)]
HITS = {(1, 16): 1.0, (1, 32): 5.0, (1, 64): 9.0, (1, 128): 3.0}


def request_of(width: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(width).random((1, 3, width), dtype=np.float32) + 1}


class Gate:
    """A loader that waits for leave, one artefact at a time."""

    def __init__(self, load: Callable[..., Any]) -> None:
        self._load, self._leave = load, threading.Semaphore(0)
        self.begun: list[str] = []
        self.arrived = threading.Semaphore(0)

    def __call__(self, path: Path, options: Mapping[str, Any]) -> Any:
        self.begun.append(path.stem)
        self.arrived.release()
        assert self._leave.acquire(timeout=30)
        return self._load(path, options)

    def let(self, count: int = 1) -> None:
        self._leave.release(count)


def gated(model: BucketedModel) -> Gate:
    gate = Gate(model._engines._loader)
    model._engines._loader = gate
    return gate


def finished(model: BucketedModel) -> None:
    thread = model._preparation._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()


def test_the_buckets_with_the_most_traffic_come_first(opened: Any) -> None:
    model, log = opened(BUCKETS, hits=HITS)
    assert [ready.sizes["W"] for ready in model.warm_up().ready] == [64, 32, 128, 16]
    assert log.loaded == ["m_N1_W64.bin", "m_N1_W32.bin", "m_N1_W128.bin", "m_N1_W16.bin"]
    assert model.readiness.complete
    assert not model.readiness.running


def test_a_budget_of_seconds_begins_nothing_after_its_end(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = opened(BUCKETS, hits=HITS)
    ticks = iter([0.0, 0.1, 0.9, 1.2])
    # Of this module alone: threads that other tests left look at the clock, too.
    clock = SimpleNamespace(monotonic=lambda: next(ticks), perf_counter=time.perf_counter)
    monkeypatch.setattr("scaling_tasks.runtime.readiness.time", clock)
    readiness = model.warm_up(seconds=1.0)
    assert [ready.sizes["W"] for ready in readiness.ready] == [64, 32]
    assert [sizes["W"] for sizes in readiness.waiting] == [128, 16]
    assert not readiness.complete


def test_a_budget_of_bytes_is_not_exceeded_by_more_of_the_same(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = opened(BUCKETS, hits=HITS)
    measured = iter([0, 40, 40, 80, 80, 120])
    monkeypatch.setattr("scaling_tasks.runtime.readiness.process_memory", lambda: next(measured))
    assert [ready.memory for ready in model.warm_up(memory=100).ready] == [40, 40]


def test_a_larger_bucket_serves_until_the_right_one_is_ready(opened: Any, answer: Any) -> None:
    model, log = opened(BUCKETS, hits=HITS)
    gate = gated(model)
    model.warm_up_in_background()
    gate.let()  # 64 gets ready, and the next one, 32, waits
    for _ in range(2):
        assert gate.arrived.acquire(timeout=30)
    for width in (10, 20, 60):
        got, wanted = model.run(request_of(width)), answer(request_of(width)["x"])
        assert all(np.array_equal(got[name], wanted[name]) for name in wanted)
    assert log.runs == [(1, 3, 64)] * 4  # the first is the warm-up
    assert model.stats().bucket_runs == {(1, 64): 3}
    assert model.readiness.running
    gate.let(3)
    finished(model)
    # 32 was under way; 16 had been asked for, 128 had not.
    assert gate.begun == ["m_N1_W64", "m_N1_W32", "m_N1_W16", "m_N1_W128"]
    log.runs.clear()
    model.run(request_of(10))
    assert log.runs == [(1, 3, 16)]
    model.close()


def test_no_other_bucket_serves_where_padding_changes_answers(tmp_path: Path) -> None:
    manifest, log = write_bundle(tmp_path, BUCKETS, hits=HITS), EngineLog()
    approximate = replace(manifest.behaviour, verdicts=(Verdict("y", "W", "approximate"),))
    model = BucketedModel(tmp_path, replace(manifest, behaviour=approximate), log.load)
    model.warm_up([{"W": 64}])
    gate = gated(model)
    model.warm_up_in_background()
    gate.let(4)
    model.run(request_of(10))
    assert model.stats().bucket_runs == {(1, 16): 1}
    finished(model)
    model.close()


def test_what_nothing_ready_contains_is_loaded_by_its_request(opened: Any) -> None:
    model, log = opened(BUCKETS, hits=HITS)
    gate = gated(model)
    gate.let()
    model.warm_up_in_background()
    for _ in range(2):
        assert gate.arrived.acquire(timeout=30)
    served = threading.Thread(target=model.run, args=(request_of(100),))
    served.start()
    assert gate.arrived.acquire(timeout=30)
    assert gate.begun == ["m_N1_W64", "m_N1_W32", "m_N1_W128"]
    gate.let(3)
    served.join(30)
    assert (1, 3, 128) in log.runs
    finished(model)
    model.close()


def test_no_more_is_made_ready_than_may_stay_loaded(opened: Any) -> None:
    model, log = opened(BUCKETS, hits=HITS, loading={"resident": 2})
    model.warm_up_in_background()
    finished(model)
    assert log.loaded == ["m_N1_W64.bin", "m_N1_W32.bin"]
    assert model.run(request_of(128)).keys() == {"y", "top"}
    model.close()


def test_a_damaged_artefact_is_told_and_left_to_its_requests(opened: Any, tmp_path: Path) -> None:
    model, _ = opened(BUCKETS, hits=HITS)
    (tmp_path / "m_N1_W128.bin").write_text("1x99")
    model.warm_up_in_background()
    finished(model)
    readiness = model.readiness
    assert [ready.sizes["W"] for ready in readiness.ready] == [64, 32, 16]
    assert "it is not the file that was built" in readiness.failed[0]
    assert not readiness.complete
    with pytest.raises(BundleError, match="it is not the file that was built"):
        model.run(request_of(100))
    model.close()


def test_closing_ends_the_preparation(opened: Any) -> None:
    model, _ = opened(BUCKETS, hits=HITS)
    gate = gated(model)
    model.warm_up_in_background()
    assert gate.arrived.acquire(timeout=30)
    closing = threading.Thread(target=model.close)
    closing.start()
    gate.let(4)
    closing.join(30)
    assert not closing.is_alive()
    assert len(gate.begun) < len(BUCKETS)
