"""The report of a target, which is made from what every other stage found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.stages.report import work
from scaling_tasks.verification.comparison import Difference
from scaling_tasks.verification.metric import MetricResult
from scaling_tasks.verification.padding_result import PaddingProbe, PaddingResult, PolicyScore
from scaling_tasks.verification.verification_result import BucketCheck, VerificationResult
from tests.fuzz.mutations import json_document
from tests.fuzz.reader import Reader, anything
from tests.fuzz.readers.documents import WORDS, resealed

_TOLERANCE = Tolerance(1e-4, 1e-3)
_PARAMETERS = {
    "name": "net",
    "model": "models/net.onnx",
    "data": "datasets/pages",
    "compile": {"backend": "openvino"},
    "verdicts": [],
    "artefacts": [["H32_W128", "net_H32_W128", 1, 1000], ["unrun", "net_unrun", 1, 10]],
}


def _difference(output: str, absolute: float) -> Difference:
    return Difference(output, absolute, absolute / 2, 0.75, absolute - 1e-4)


def documents() -> dict[str, str]:
    """Return every document that the report may be made from, by its name."""
    histogram = ShapeHistogram.from_samples([[32, 100], [48, 320], [64, 64]], variables=("H", "W"))
    plan = plan_buckets(histogram, max_buckets=2, interval=8, curve=True, folds=2)
    bucket, sizes = {"H": 32, "W": 128}, {"H": 30, "W": 100}
    checks = (
        BucketCheck(bucket, bucket, (_difference("y", 1e-6),)),
        BucketCheck(bucket, sizes, (_difference("y", 0),)),
    )
    probe = PaddingProbe(bucket, sizes, "random", (_difference("y", 0.5), _difference("z", 0.0)))
    policies = (PolicyScore("edge", 0.875, 0.25, 0.5), PolicyScore("zero", None, 0.5, 1.0))
    return {
        "buckets.json": plan.to_json(),
        "statistics.json": DatasetStatistics(histogram, histogram, None, {"images": 3}).to_json(),
        "verification/H32_W128.json": VerificationResult("net_H32_W128", "openvino", _TOLERANCE, checks).to_json(),
        "verification/unrun.json": VerificationResult("net_unrun", unverified="no device is here").to_json(),
        "padding.json": PaddingResult("net", _TOLERANCE, (probe,), policies).to_json(),
        "metric.json": MetricResult("scoring:score", 0.875, 0.9, 0.05).to_json(),
        "latency.json": LatencyTable(("H", "W"), "openvino", 2, {(32, 128): 0.001, (48, 320): 0.0075}).to_json(),
    }


def make(directory: Path) -> list[Path]:
    """Write them all."""
    paths = []
    for name, text in documents().items():
        paths.append(directory / name)
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def read(directory: Path, parameters: Mapping[str, Any] = _PARAMETERS) -> str:
    """Write the report, and return it."""
    work(directory, directory, parameters)
    return (directory / "report.html").read_text(encoding="utf-8")


_REPORT = Reader("report", make, read, allowed=anything, mutators=(json_document,) * 3, words=WORDS)
READERS = (_REPORT, replace(_REPORT, name="report, forged", read=resealed(read, "*.json")))
