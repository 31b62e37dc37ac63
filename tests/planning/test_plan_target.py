"""A target's plan: MindOCR's golden values, defaults, shape_bucket, the batch variable, platform limits."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scaling_tasks.config.specs import AutoScalingSpec, ShapeBucketSpec
from scaling_tasks.errors import ConfigError, PlanError
from scaling_tasks.planning.api import plan_statistics
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import name_dimensions
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


def test_sizes_and_batch_together_multiply_mindocr_lists_and_take_sizes_from_items():
    items = np.array([[100], [200], [300], [100], [120]])
    requests = ItemRequests(("W",), items, np.array([0, 3, 5]))
    statistics = _statistics(
        requests.batches(), ("N", "W"), items=ShapeHistogram.from_samples(items, variables=("W",)), requests=requests
    )
    spec = AutoScalingSpec(strategy="max_min", expand_ratio=0, batch_choices=(1, 2, 3, 4), folds=0)
    plan = plan_statistics(statistics, _signature(-1, 3, 48, -1), spec)
    assert _lists(plan) == {"N": [2, 3], "W": [128, 160, 192, 224, 256, 288, 320]}
    assert len(plan.buckets) == 14


def test_a_single_value_brings_a_neighbour_but_never_zero_and_never_more_than_the_limit():
    statistics = _statistics(np.full(9, 20), ("W",))
    spec = AutoScalingSpec(strategy="mean_std", folds=0)
    assert _lists(plan_statistics(statistics, _signature(1, 3, 48, -1), spec)) == {"W": [32]}
    wide = _statistics(np.full(9, 200), ("W",))
    assert _lists(plan_statistics(wide, _signature(1, 3, 48, -1), spec)) == {"W": [192, 224]}
    one = AutoScalingSpec(strategy="mean_std", folds=0, max_scaling_num=1)
    assert _lists(plan_statistics(wide, _signature(1, 3, 48, -1), one)) == {"W": [224]}


def test_two_sides_never_exceed_the_limit():
    random = np.random.default_rng(2)
    for seed in range(0, 60, 4):
        samples = np.column_stack([random.integers(30, 40 + 40 * seed, 50), random.integers(900, 1000, 50)])
        spec = AutoScalingSpec(strategy="mean_std", folds=0, max_scaling_num=1 + seed)
        plan = plan_statistics(_statistics(samples, ("H", "W")), _signature(1, 3, -1, -1), spec)
        assert 1 <= len(plan.buckets) <= 1 + seed
        assert (plan.buckets > 0).all()


def test_without_data_the_default_lists_are_cut_evenly_to_the_limit_with_a_warning():
    spec = AutoScalingSpec()
    plan = plan_statistics(None, _signature(1, 3, -1, -1), spec, most_buckets=100)
    assert 80 <= len(plan.buckets) <= 100
    assert plan.buckets.max(axis=0).tolist() == [640, 960]
    assert "no data set" in plan.warnings[0]
    assert "580" in plan.warnings[1]
    widths = _lists(plan)["W"]
    assert max(np.diff(widths)) <= 3 * min(np.diff(widths))
    batch = plan_statistics(None, _signature(-1, 3, 48, 192), spec)
    assert _lists(batch) == {"N": [1, 4, 8, 16, 32]}
    assert len(batch.warnings) == 1
    with pytest.raises(PlanError, match="seq"):
        plan_statistics(None, name_dimensions({"ids": [1, "seq"]}), spec)


def test_a_model_without_dynamic_dimensions_has_one_bucket_of_nothing():
    plan = plan_statistics(None, _signature(1, 3, 48, 192), AutoScalingSpec())
    assert plan.variables == ()
    assert plan.buckets.shape == (1, 0)
    assert BucketPlan.from_json(plan.to_json()).buckets.shape == (1, 0)


def test_shape_bucket_gives_nncase_segments_without_a_data_set():
    spec = ShapeBucketSpec(
        shape_bucket_range_info={"a": (1, 100), "b": (1, 20)},
        shape_bucket_fix_var_map={"n": 3},
        shape_bucket_segments_count=4,
    )
    signature = name_dimensions({"x": ["n", "a"], "y": ["b"]})
    plan = plan_statistics(None, signature, AutoScalingSpec(), spec)
    assert plan.variables == ("n", "a", "b")
    assert plan.buckets.tolist() == [[3, 1, 1], [3, 25, 5], [3, 49, 9], [3, 100, 20]]
    product = plan_statistics(
        None,
        signature,
        AutoScalingSpec(),
        ShapeBucketSpec(
            shape_bucket_range_info={"a": (1, 100), "b": (1, 20)}, shape_bucket_fix_var_map={"n": 3}, combine="product"
        ),
    )
    assert sorted(product.buckets.tolist()) == [[3, 1, 1], [3, 1, 20], [3, 100, 1], [3, 100, 20]]


@pytest.mark.parametrize(
    ("ranges", "fixed", "message"),
    [
        ({"a": (1, 9), "z": (1, 9)}, {}, "'z' is no dynamic dimension"),
        ({"a": (1, 9)}, {"a": 3}, "'a' has a range and a fixed value"),
        ({"a": (9, 1)}, {}, r"\[9, 1\] is no range"),
        ({}, {}, "'a' has neither a range nor a fixed value"),
    ],
)
def test_shape_bucket_that_does_not_fit_the_model_is_refused_by_name(ranges, fixed, message):
    spec = ShapeBucketSpec(shape_bucket_range_info=ranges, shape_bucket_fix_var_map=fixed)
    with pytest.raises(ConfigError, match=message):
        plan_statistics(None, name_dimensions({"x": ["a"]}), AutoScalingSpec(), spec)


def test_batches_are_choices_and_larger_ones_count_as_several():
    statistics = _statistics([[3, 100], [5, 90], [20, 200]], ("N", "W"))
    spec = AutoScalingSpec(batch_choices=(4, 8), max_scaling_num=8, folds=0)
    plan = plan_statistics(statistics, _signature(-1, 3, 48, -1), spec)
    assert set(plan.buckets[:, 0]) <= {1, 4, 8}
    assert (plan.buckets[:, 1] % 32 == 0).all()
    assert plan.coverage == 1
    assert "more than 8" in plan.warnings[0]


def test_sizes_beyond_the_configured_range_are_left_over_and_said_so():
    statistics = _statistics([100, 200, 9000], ("W",))
    plan = plan_statistics(statistics, _signature(1, 3, 48, -1), AutoScalingSpec(folds=0))
    assert plan.coverage == pytest.approx(2 / 3)
    assert "oversize" in plan.warnings[0]
    assert plan.buckets.max() <= 8192


def test_limits_caps_and_robust_plans_are_configured():
    signature = _signature("N", "L")
    random = np.random.default_rng(3)
    samples = np.column_stack([random.choice([1, 2, 4, 8], 60), random.integers(10, 400, 60)])
    statistics = _statistics(samples, signature.variables)
    plain: dict[str, object] = {"interval": 32, "max_scaling_num": 6, "batch_choices": (1, 2, 4, 8), "folds": 0}

    def plan(**keys: object) -> BucketPlan:
        return plan_statistics(statistics, signature, msgspec.convert({**plain, **keys}, AutoScalingSpec))

    free = plan()
    few = plan(limits={"bytes": {"each": 10, "per_element": 0.5, "most": 2500}})
    assert (10 + 0.5 * few.buckets.prod(axis=1)).sum() <= 2500 < (10 + 0.5 * free.buckets.prod(axis=1)).sum()
    assert few.details["limits"][0]["binds"]
    assert few.details["limits"][0]["one_more_saves"] > 0
    assert any("limit bytes binds" in note for note in few.warnings)
    assert few.parameters["limits"] == {"bytes": [{"each": 10, "per_element": 0.5}, 2500]}
    single = plan(buckets_per={"N": 2})
    assert max(np.unique(single.buckets[:, 0], return_counts=True)[1]) <= 2
    capped = plan(reachable={"N*L": 1600})
    assert capped.buckets.prod(axis=1).max() <= 1600
    assert 0 < capped.coverage < 1
    (row,) = capped.details["caps"]
    assert (row["name"], row["most"]) == ("reachable.N*L", 1600)
    assert row["ratio_without"] <= capped.padding_ratio
    assert plan(latency_limit=1600).buckets.tolist() == capped.buckets.tolist()
    summed = plan(reachable={"64*N + L": 480})
    assert (summed.buckets @ [64, 1]).max() <= 480
    assert 0 < summed.coverage < 1
    assert summed.details["caps"][0]["used"] == (summed.buckets @ [64, 1]).max()
    assert plan(robust=True).details["robust"]["seen"] >= free.padding_ratio
    assert plan(effort="quick").lower_bound < free.lower_bound
    assert plan(effort="thorough").padding_ratio <= free.padding_ratio
    for plan_of in (few, single, capped, summed):
        assert plan_of.lower_bound is not None
        assert free.lower_bound is not None
        assert plan_of.lower_bound <= plan_of.padding_ratio
    for text, strange in (("N*K", "K"), ("N+K", "K"), ("N-L", "N-L"), ("N+", ""), (f"{'9' * 5000}*N", "9")):
        with pytest.raises(PlanError, match=rf"'{strange}.* is no variable"):
            plan(reachable={text: 5})


def test_platform_limits_bind_the_plan():
    random = np.random.default_rng(0)
    statistics = _statistics(random.integers(10, 900, (200, 2)), ("H", "W"))
    signature = _signature(1, 3, -1, -1)
    few = plan_statistics(statistics, signature, AutoScalingSpec(folds=0), most_buckets=6, product_only=True)
    lists = _lists(few)
    assert len(few.buckets) == len(lists["H"]) * len(lists["W"]) <= 6
    assert few.lower_bound <= few.padding_ratio
    lone = plan_statistics(_statistics([64], ("W",)), _signature(1, 3, 48, -1), AutoScalingSpec(), fewest_buckets=2)
    assert lone.buckets.ravel().tolist() == [32, 64]


def test_explicit_buckets_need_no_data_and_name_what_is_wrong():
    signature = _signature(1, 3, -1, -1)
    spec = AutoScalingSpec(strategy="explicit", buckets=({"H": 32, "W": 320}, {"W": 640, "H": 64}))
    assert plan_statistics(None, signature, spec).buckets.tolist() == [[32, 320], [64, 640]]
    with pytest.raises(PlanError, match="no bucket is listed"):
        plan_statistics(None, signature, AutoScalingSpec(strategy="explicit"))
    with pytest.raises(PlanError, match="bucket 0 names"):
        plan_statistics(None, signature, AutoScalingSpec(strategy="explicit", buckets=({"H": 32},)))


def test_the_plan_document_holds_curves_and_the_estimate_on_unseen_samples():
    random = np.random.default_rng(4)
    statistics = _statistics(random.lognormal(5, 0.5, 400).astype(int) + 1, ("W",))
    plan = plan_statistics(statistics, _signature(1, 3, 48, -1), AutoScalingSpec(max_scaling_num=6, interval=8))
    document = json.loads(plan.to_json())
    counts, ratios = zip(*document["curve"], strict=True)
    assert counts[-1] == len(plan.buckets)
    assert ratios[-1] == plan.padding_ratio
    assert list(ratios) == sorted(ratios, reverse=True)
    assert all(points[-1][1] >= plan.padding_ratio - 1e-12 for points in document["rules"].values())
    assert document["unseen"]["folds"] == 5
    assert 1 <= document["unseen"]["padding_ratio"] < 1.5 * plan.padding_ratio
    assert 0.97 < document["unseen"]["coverage"] <= 1
