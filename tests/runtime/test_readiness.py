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
    for thread in model._preparation._threads:
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


@pytest.mark.parametrize("way", ["at once", "in the background"])
def test_where_few_may_stay_those_that_save_most_serve_everything(opened: Any, answer: Any, way: str) -> None:
    model, log = opened(BUCKETS, hits=HITS, loading={"resident": 2, "in_flight": 2})
    if way == "at once":
        model.warm_up()
    else:
        model.warm_up_in_background()
        finished(model)
    # Without 128 nothing would serve 100; 64 saves 64 columns for 15 of 18 lines, 32 would save 96 for 6.
    assert log.loaded == ["m_N1_W128.bin", "m_N1_W64.bin"]
    assert model.select({"W": 10}) == {"N": 1, "W": 64}
    widths = [10, 20, 40, 100] * 3
    ways = (
        [model.run(request_of(width)) for width in widths],
        model.run_many([request_of(width) for width in widths]),
        [future.result(30) for future in [model.submit(request_of(width)) for width in widths]],
    )
    for answers in ways:
        for width, got in zip(widths, answers, strict=True):
            wanted = answer(request_of(width)["x"])
            assert all(np.array_equal(got[name], wanted[name]) for name in wanted)
    assert model.loads == 2
    assert model.stats().bucket_runs == {(1, 64): 27, (1, 128): 9}
    assert [sizes["W"] for sizes in model.readiness.waiting] == [32, 16]
    assert not model.readiness.running
    model.close()


def test_where_padding_changes_answers_no_bucket_is_left_out(tmp_path: Path) -> None:
    manifest, log = write_bundle(tmp_path, BUCKETS, hits=HITS), EngineLog()
    approximate = replace(manifest.behaviour, verdicts=(Verdict("y", "W", "approximate"),))
    with BucketedModel(tmp_path, replace(manifest, behaviour=approximate), log.load, resident=2) as model:
        model.warm_up()
        assert log.loaded == ["m_N1_W64.bin", "m_N1_W32.bin"]
        model.run(request_of(10))
        assert model.stats().bucket_runs == {(1, 16): 1}


def test_a_limit_that_leaves_sizes_out_leaves_no_bucket_out(tmp_path: Path, answer: Any) -> None:
    buckets = [(1, 128), (2, 64), (4, 32)]  # None contains another.
    log = EngineLog()
    with BucketedModel(tmp_path, write_bundle(tmp_path, buckets), log.load, resident=2) as model:
        model.warm_up()
        assert len(log.loaded) == 2
        for rows, width in [(1, 100), (2, 60), (4, 30)] * 2:
            x = np.ones((rows, 3, width), np.float32)
            assert np.array_equal(model.run({"x": x})["y"], answer(x)["y"])


@pytest.mark.parametrize("limit", [0, 99, 100, 160])
def test_a_limit_in_bytes_is_kept(opened: Any, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    held = {"m_N1_W16.bin": 20, "m_N1_W32.bin": 30, "m_N1_W64.bin": 40, "m_N1_W128.bin": 60}
    model, log = opened(BUCKETS, hits=HITS, loading={"resident_memory": limit, "loaders": 4})
    monkeypatch.setattr("scaling_tasks.runtime.pool.process_memory", lambda: sum(held[name] for name in log.loaded))
    model.warm_up()
    # One more is only begun where one like the largest would fit.
    assert len(log.loaded) == {0: 4, 99: 1, 100: 1, 160: 3}[limit]
    for width in (100, 10, 100, 20):
        model.run(request_of(width))
    assert model.loads == len(log.loaded)


def test_a_limit_in_bytes_holds_for_what_requests_load(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, log = opened(BUCKETS, hits=HITS, loading={"resident_memory": 100})
    # What an engine left free the next one takes: the process grows no further.
    monkeypatch.setattr(
        "scaling_tasks.runtime.pool.process_memory", lambda: 40 * min(2, len(log.loaded)) + len(log.loaded)
    )
    for width in (10, 20, 60, 100) * 3:
        model.run(request_of(width))
        assert model._engines.resident <= 2


def test_what_is_used_much_is_not_dropped_for_what_is_used_once(opened: Any) -> None:
    model, log = opened(BUCKETS, loading={"resident": 2})
    for width in (*[60] * 6, 10, 20, 100, 10, 60):
        model.run(request_of(width))
    assert log.loaded == [f"m_N1_W{width}.bin" for width in (64, 16, 32, 128, 16)]
    # But it goes once it has not been used for long.
    for width in (10, 20, 100) * 4:
        model.run(request_of(width))
    assert model._engines.is_ready(model._table.find((1, 60))) is False


def test_several_are_loaded_at_the_same_time(opened: Any) -> None:
    for way in ("at once", "in the background"):
        model, log = opened(BUCKETS, hits=HITS, loading={"loaders": 3})
        gate = gated(model)
        caller = threading.Thread(target=model.warm_up if way == "at once" else model.warm_up_in_background)
        caller.start()
        for _ in range(3):
            assert gate.arrived.acquire(timeout=30)
        assert sorted(gate.begun) == ["m_N1_W128", "m_N1_W32", "m_N1_W64"]
        gate.let(4)
        caller.join(30)
        assert model.wait_until_ready().complete
        assert len(log.loaded) == 4
        model.close()


def test_an_interrupt_waits_for_no_more_than_is_under_way(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, log = opened(BUCKETS, hits=HITS)
    gate = gated(model)

    def interrupted(worker: Any) -> None:
        threading.Timer(0.5, gate.let, [4]).start()
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.warm_up()
    assert len(log.loaded) <= 1
    model.close()


def test_a_damaged_artefact_ends_the_warm_up_of_all_loaders(opened: Any, tmp_path: Path) -> None:
    model, log = opened(BUCKETS, hits=HITS, loading={"loaders": 2})
    (tmp_path / "m_N1_W64.bin").write_text("1x99")
    with pytest.raises(BundleError, match="it is not the file that was built"):
        model.warm_up()
    assert len(log.loaded) <= 3
    assert not model.readiness.complete
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
