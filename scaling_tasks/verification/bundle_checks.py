"""What can be said of a whole bundle: its padding error, its task score, its latencies; one document each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.files import write_if_changed
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.bundle import load_bundle, read_manifest
from scaling_tasks.verification.latency import LatencyTable, measure_bundle
from scaling_tasks.verification.metric import Arrays, MetricResult, load_metric, score_task
from scaling_tasks.verification.padding import PaddingResult, measure_padding

__all__ = ["LATENCY", "METRIC", "PADDING", "TaskMetric", "check_padding", "check_task", "measure_latencies"]

PADDING, METRIC, LATENCY = "padding.json", "metric.json", "latency.json"


@dataclass(frozen=True)
class TaskMetric:
    """How a target is scored.

    Attributes:
        name: ``module:function``.
        dataset: The labelled data.
        drop: Largest accepted loss against the original at exact shapes.
    """

    name: str
    dataset: Path
    drop: float = 0.003


def check_padding(
    bundle: Path, model: Path, tolerance: Tolerance, out: Path, *, gate: bool = False
) -> tuple[PaddingResult, VerificationFailed | None]:
    """Measure what padding does to a bundle's answers and write ``padding.json``.

    Args:
        bundle: Directory of the bundle.
        model: The original ONNX model.
        tolerance: What counts as a change.
        out: Directory of the document.
        gate: Whether a change is a failure.

    Returns:
        What was found, and the error to raise.
    """
    result = measure_padding(bundle, read_manifest(bundle), OriginalModel(model), tolerance)
    write_if_changed(out / PADDING, result.to_json().encode())
    return result, result.failure() if gate else None


def check_task(
    bundle: Path, model: Path, metric: TaskMetric, out: Path, *, search: Path | None = None
) -> tuple[MetricResult, VerificationFailed | None]:
    """Score labelled data through the bundle and by the original at exact shapes, and write ``metric.json``.

    Args:
        bundle: Directory of the bundle.
        model: The original ONNX model.
        metric: How to score.
        out: Directory of the document.
        search: Directory from which the metric's module may be imported too.

    Returns:
        Both scores, and the error to raise.

    Raises:
        ConfigError: There is no such function.
        VerificationFailed: The function failed.
    """
    function, original = load_metric(metric.name, search=search), OriginalModel(model)

    def exact(requests: Sequence[Arrays]) -> list[Arrays]:
        return [original.run(request) for request in requests]

    with load_bundle(bundle) as served:
        result = score_task(metric.name, function, metric.dataset, served.run_many, exact, metric.drop)
    write_if_changed(out / METRIC, result.to_json().encode())
    return result, result.failure()


def measure_latencies(bundle: Path, out: Path) -> LatencyTable:
    """Measure the buckets that ``latency.json`` does not have yet, and write it.

    Args:
        bundle: Directory of the bundle.
        out: Directory of the document, which the planner reads as ``cost: measured``.
    """
    path = out / LATENCY
    table = measure_bundle(bundle, read_manifest(bundle), LatencyTable.load(path) if path.exists() else None)
    write_if_changed(path, table.to_json().encode())
    return table
