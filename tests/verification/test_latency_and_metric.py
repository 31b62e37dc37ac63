"""The latency table and the task metric."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling_tasks.errors import ConfigError, PlanError, VerificationFailed
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.planning.measured import MeasuredCost
from scaling_tasks.verification import latency
from scaling_tasks.verification.latency import measure_bundle, median_seconds
from scaling_tasks.verification.metric import MetricResult, load_metric, score_task

POINTWISE = "g (float[1,3,H,W] x) => (float[1,3,H,W] y) { y = Sigmoid(x) }"


def test_only_missing_shapes_are_measured(saved: Any, bundled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, manifest = bundled(saved(POINTWISE), [(16, 16), (32, 32)])
    first = measure_bundle(directory, manifest)
    assert set(first.seconds) == {(16, 16), (32, 32)}
    assert all(seconds > 0 for seconds in first.seconds.values())
    measured: list[tuple[int, ...]] = []
    monkeypatch.setattr(latency, "_measure", lambda engine, manifest, bucket, clock: measured.append(bucket) or 1.0)
    known = LatencyTable(first.variables, first.backend, first.threads, {(16, 16): 7.0, (99, 99): 8.0})
    assert measure_bundle(directory, manifest, known).seconds == {(16, 16): 7.0, (32, 32): 1.0, (99, 99): 8.0}
    assert measured == [(32, 32)]
    other = LatencyTable(first.variables, "elsewhere", first.threads, {(16, 16): 7.0})
    assert measure_bundle(directory, manifest, other).seconds == {(16, 16): 1.0, (32, 32): 1.0}


def test_the_table_survives_its_file(tmp_path: Path) -> None:
    table = LatencyTable(("N", "W"), "openvino", 2, {(4, 32): 0.25, (1, 32): 0.125})
    (tmp_path / "latency.json").write_text(table.to_json())
    assert LatencyTable.load(tmp_path / "latency.json") == table
    cost = MeasuredCost.read(tmp_path / "latency.json", ("W", "N"))
    assert cost(np.array([[32, 4], [32, 1]])).tolist() == [0.25, 0.125]
    (tmp_path / "bad.json").write_text('{"format": "scaling-tasks/latencies/1"}')
    with pytest.raises(PlanError, match="does not hold what it should"):
        LatencyTable.load(tmp_path / "bad.json")


def test_the_median_ignores_warm_up_and_stops_when_long_enough() -> None:
    calls: list[int] = []
    # The clock is read before and after every timed run; runs last 1, 2, 3, … tenths of a second.
    ticks = itertools.count()
    times = itertools.accumulate(0 if tick % 2 == 0 else (tick // 2 + 1) / 10 for tick in ticks)
    assert median_seconds(lambda: calls.append(1), lambda: next(times)) == pytest.approx(0.3)
    assert len(calls) == 2 + 5


def doubled(requests: Sequence[Any]) -> list[Any]:
    return [{"y": 2 * request["x"]} for request in requests]


def share_right(run: Any, dataset: Path) -> float:
    labels = json.loads(dataset.read_text())
    results = run([{"x": np.array([value])} for value, _ in labels])
    return float(np.mean([result["y"][0] == label for result, (_, label) in zip(results, labels, strict=True)]))


def test_a_metric_gates_on_what_buckets_lose(tmp_path: Path) -> None:
    dataset = tmp_path / "labels.json"
    dataset.write_text("[[1, 2], [2, 4], [3, 6], [4, 8]]")

    def clumsy(requests: Sequence[Any]) -> list[Any]:
        return [{"y": 2 * request["x"] + (request["x"] == 4)} for request in requests]

    result = score_task("m:f", share_right, dataset, clumsy, doubled, drop=0.1)
    assert (result.buckets, result.exact, result.passed) == (0.75, 1.0, False)
    assert "0.7500 through the buckets and 1.0000 at exact shapes" in str(result.failure())
    assert score_task("m:f", share_right, dataset, clumsy, doubled, drop=0.25).failure() is None
    assert json.loads(result.to_json())["passed"] is False


def test_a_better_score_passes() -> None:
    assert MetricResult("m:f", 0.84, 0.82, 0.0).passed


def test_a_failing_metric_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match=r"m:f: the metric failed \(FileNotFoundError"):
        score_task("m:f", share_right, tmp_path / "absent.json", doubled, doubled, drop=0)
    with pytest.raises(VerificationFailed, match="the metric gave nan"):
        score_task("m:f", lambda run, dataset: float("nan"), tmp_path, doubled, doubled, drop=0)


def test_a_metric_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "my_metric_of_test.py").write_text("def score(run, dataset):\n    return 0.5\n")
    assert load_metric("my_metric_of_test:score", search=tmp_path)(doubled, tmp_path) == 0.5
    for name in ("my_metric_of_test:absent", "no_such_module:score", "just_a_name"):
        with pytest.raises(ConfigError, match=r"verify\.metric"):
            load_metric(name, search=tmp_path)


@pytest.mark.parametrize("seconds", ["Infinity", "nan", -1.0])
def test_a_table_with_a_time_that_is_none_is_refused(tmp_path: Path, seconds: object) -> None:
    path = tmp_path / "latency.json"
    document = json.loads(LatencyTable(("W",), "openvino", 2, {(32,): 0.001}).to_json())
    path.write_text(json.dumps({**document, "seconds": [seconds]}))
    with pytest.raises(PlanError, match=r"latency\.json: .*`float`"):
        LatencyTable.load(path)
