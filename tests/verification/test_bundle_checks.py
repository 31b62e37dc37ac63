"""The documents about a whole bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.verification.bundle_checks import TaskMetric, check_padding, check_task, measure_latencies

POOLED = "g (float[1,3,H,W] x) => (float[1,3,1,1] y) { y = GlobalAveragePool(x) }"
METRIC = """
import numpy as np

def positive(run, dataset):
    sizes = [int(line) for line in dataset.read_text().split()]
    requests = [{"x": np.full((1, 3, size, size), 0.5, np.float32)} for size in sizes]
    return sum(float(answer["y"].min()) > 0.4 for answer in run(requests)) / len(sizes)
"""


def test_padding_task_and_latency_of_one_bundle(saved: Any, bundled: Any, tmp_path: Path) -> None:
    model = saved(POOLED)
    bundle, manifest = bundled(model, [(16, 16), (32, 32)])
    (bundle / "manifest.json").write_text(manifest.to_json())
    result, failure = check_padding(bundle, model, Tolerance(1e-4, 1e-3), tmp_path)
    assert failure is None
    assert list(result.changed) == ["y"]
    assert check_padding(bundle, model, Tolerance(1e-4, 1e-3), tmp_path, gate=True)[1] is not None
    assert json.loads((tmp_path / "padding.json").read_text())["changed"]["y"]

    # At full buckets the mean is exact; at 17 of 32 it is a quarter of it.
    (tmp_path / "metric_of_checks.py").write_text(METRIC)
    (tmp_path / "sizes.txt").write_text("16 32 17 31")
    metric = TaskMetric("metric_of_checks:positive", tmp_path / "sizes.txt")
    scores, lost = check_task(bundle, model, metric, tmp_path, search=tmp_path)
    assert (scores.buckets, scores.exact) == (0.75, 1.0)
    assert lost is not None
    assert json.loads((tmp_path / "metric.json").read_text())["drop"] == 0.003

    table = measure_latencies(bundle, tmp_path)
    before = (tmp_path / "latency.json").stat().st_mtime_ns
    assert measure_latencies(bundle, tmp_path) != {}
    assert (tmp_path / "latency.json").stat().st_mtime_ns == before
    assert set(table.seconds) == {(16, 16), (32, 32)}
