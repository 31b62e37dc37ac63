"""Targets that differ in what comes after the plan search for it once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scaling_tasks.config.load import parse_target
from scaling_tasks.errors import PlanError
from scaling_tasks.planning import api
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import ModelSignature, name_dimensions
from scaling_tasks.stages import shared_plans
from scaling_tasks.stages.buckets import make_plan
from scaling_tasks.stages.target import Target

SIGNATURE = ModelSignature(name_dimensions({"ids": [1, "length"]}), ())


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Notes what is searched for; each search takes a moment."""
    made: list[Any] = []
    search = api.plan_statistics

    def noted(*arguments: Any, **options: Any) -> Any:
        made.append(options)
        time.sleep(0.05)
        return search(*arguments, **options)

    monkeypatch.setattr(api, "plan_statistics", noted)
    shared_plans._plans.clear()
    yield made
    shared_plans._plans.clear()


def target(backend: str, most: int = 4, **compiling: Any) -> Target:
    spec = {"model": "m.onnx", "auto_scaling": {"max_scaling_num": most, "interval": 1, "folds": 0}}
    return Target(parse_target({**spec, "compile": {"backend": backend, **compiling}}))


def statistics(*lengths: int) -> DatasetStatistics:
    histogram = ShapeHistogram.from_samples([[length] for length in lengths], variables=("length",))
    return DatasetStatistics(histogram, histogram, None, {"rows": len(lengths)})


def test_cells_of_a_matrix_share_one_search(searches: list[Any]) -> None:
    cells = [target("openvino"), target("onnxruntime"), target("openvino", options={"precision": "FP16"})] * 3
    found = statistics(*range(1, 60))
    with ThreadPoolExecutor(4) as pool:
        plans = list(pool.map(lambda cell: make_plan(cell, SIGNATURE, found).to_json(), cells))
    assert len(searches) == 1
    assert len(set(plans)) == 1


def test_what_a_plan_depends_on_is_told_apart(searches: list[Any]) -> None:
    make_plan(target("openvino"), SIGNATURE, statistics(1, 2, 3))
    make_plan(target("openvino", most=2), SIGNATURE, statistics(1, 2, 3))
    make_plan(target("openvino"), SIGNATURE, statistics(1, 2, 4))
    make_plan(target("openvino"), ModelSignature(name_dimensions({"x": [2, "length"]}), ()), statistics(1, 2, 3))
    # Another platform's limits.
    make_plan(target("atc"), SIGNATURE, statistics(1, 2, 3))
    assert len(searches) == 5


def test_a_search_that_fails_is_not_kept(searches: list[Any]) -> None:
    spec = {"model": "m.onnx", "compile": {"backend": "openvino"}, "auto_scaling": {"strategy": "explicit"}}
    for _ in range(2):
        with pytest.raises(PlanError):
            make_plan(Target(parse_target(spec)), SIGNATURE, statistics(1, 2, 3))
    assert len(searches) == 2
