"""A target's plan: MindOCR's golden values, defaults, shape_bucket, the batch variable, platform limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.planning.api import plan_statistics
from scaling_tasks.planning.plan import BucketPlan
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import name_dimensions
from scaling_tasks.shapes.statistics import DatasetStatistics
from tests.planning.mindocr_samples import mindocr_statistics

IMAGE = {"batch_size": "N", "height": "H", "width": "W"}


def _signature(*dims: int | str):
    return name_dimensions({"x": list(dims)})


def _statistics(samples, variables, **others) -> DatasetStatistics:
    return DatasetStatistics(ShapeHistogram.from_samples(samples, variables=variables), **others)


def _lists(plan: BucketPlan) -> dict[str, list[int]]:
    return {name: sorted(set(plan.buckets[:, column].tolist())) for column, name in enumerate(plan.variables)}


def test_all_golden_cases_give_exactly_the_expected_values(data_dir: Path):
    cases = json.loads((data_dir / "goldens" / "mindocr_candidates.json").read_text())
    assert len(cases) == 40
    for case in cases:
        signature = _signature(*(int(part) for part in case["input_shape"].split(",")))
        spec = AutoScalingSpec(**{**case["auto_scaling"], "folds": 0})
        statistics = mindocr_statistics(data_dir / "sroie" / case["source"], signature, case["auto_scaling"])
        plan = plan_statistics(statistics, signature, spec)
        expected = {IMAGE[key]: values for key, values in case["expected"].items()}
        assert _lists(plan) == expected, case
        assert len(plan.buckets) == np.prod([len(values) for values in expected.values()])
