"""Every strategy and variant takes a request whole or refuses it in one sentence; statistics do not depend on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.config.specs import AutoScalingSpec, DatasetSpec
from scaling_tasks.errors import PlanError
from scaling_tasks.planning.api import plan_buckets, plan_statistics
from scaling_tasks.planning.costs import CallableCost
from scaling_tasks.planning.planner import plan_requests
from scaling_tasks.planning.request.options import make_options
from scaling_tasks.planning.strategies.registry import STRATEGIES
from scaling_tasks.samples.compute_statistics import compute_statistics
from scaling_tasks.samples.scan import scan
from scaling_tasks.shapes.dataset_statistics import ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import name_dimensions
from tests.planning.brute import best_total

CHOICES = (1, 4, 8, 16)


def _many_requests(count: int, items: int = 2) -> ItemRequests:
    random = np.random.default_rng(0)
    sizes = random.integers(20, 200, (count * items, 1))
    sizes[3 * items], sizes[(count // 2 + 1) * items] = 1900, 1500
    return ItemRequests(("W",), sizes, np.arange(0, count * items + 1, items))


def _launch(shapes):
    return 3000.0 + shapes[:, 0] * shapes[:, 1]


def _options(**options):
    return make_options(6, {"interval": {"W": 8}, "choices": {"N": CHOICES}, **options})


def test_the_largest_items_of_very_many_requests_are_served():
    requests = _many_requests(4001)
    plan = plan_requests(requests, ("N", "W"), 4, CallableCost(_launch), _options(effort="quick"))
    assert plan.coverage == 1
    assert plan.buckets[:, 1].max() == 1904


def test_one_long_request_among_many_takes_memory_for_its_items_only():
    lengths = np.append(np.full(3_000, 3), 600)
    items = np.random.default_rng(1).integers(20, 200, (int(lengths.sum()), 1))
    requests = ItemRequests(("W",), items, np.concatenate([[0], lengths.cumsum()]))
    from scaling_tasks.shapes.partition import RunTable

    runs = RunTable(items, requests.offsets, CHOICES)
    assert sum(array.nbytes for array in vars(runs).values() if isinstance(array, np.ndarray)) < 200 * len(items)


def test_a_list_is_taken_as_it_is_also_where_requests_are_cut():
    requests = _many_requests(30)
    options = make_options(6, {"choices": {"N": CHOICES}, "buckets": [[1, 2000], [4, 200], [16, 200]]})
    plan = plan_requests(requests, ("N", "W"), 6, CallableCost(_launch), options, strategy="explicit")
    assert sorted(plan.buckets.tolist()) == [[1, 2000], [4, 200], [16, 200]]
    assert plan.strategy == "explicit"
    assert plan.hits.sum() > 0


def test_requests_mind_headroom_weights_prices_dropping_and_the_fewest_buckets():
    requests = _many_requests(40)
    model = CallableCost(_launch)

    def plan(source=requests, **options):
        return plan_requests(source, ("N", "W"), 6, model, _options(**options))

    free = plan()
    assert plan(headroom={"W": 2400}).buckets[:, 1].max() == 2400
    assert plan(headroom=1.5).buckets[:, 1].max() == -(-int(1900 * 1.5) // 8) * 8
    assert plan(drop_quantile=0.05).buckets[:, 1].max() < 1500
    assert plan(drop_quantile=0.05).coverage < 1
    assert len(plan(bucket_price=1e9).buckets) == 1 < len(free.buckets)
    assert len(plan(bucket_price=1e9, min_buckets=3).buckets) == 3
    weights = np.ones(40)
    weights[3] = 1e6
    heavy = plan(ItemRequests(requests.variables, requests.items, requests.offsets, weights))
    assert [16, 1904] not in heavy.buckets.tolist()
    assert any((bucket == [1, 1904]).all() or (bucket == [4, 1904]).all() for bucket in heavy.buckets)
    assert heavy.padding_ratio < free.padding_ratio


@pytest.mark.parametrize("name", ["N", "bs", "batch", "batch_size"])
def test_a_batch_is_a_batch_whatever_it_is_called(tmp_path: Path, name: str):
    path = tmp_path / "rows.csv"
    path.write_text(f"{name},seq\n" + "".join(f"{1 + row % 8},{100 + row}\n" for row in range(60)))
    signature = name_dimensions({"ids": [name, "seq"]})
    dataset = DatasetSpec(path=str(path))
    for batching in ("observed", "partition"):
        spec = AutoScalingSpec(max_scaling_num=8, interval=32, folds=0, batching=batching)
        statistics = compute_statistics(scan(dataset, tmp_path / "cache"), signature, spec, dataset)
        assert statistics.requests is not None
        plan = plan_statistics(statistics, signature, spec)
        assert set(plan.buckets[:, 0].tolist()) <= {1, 4, 8}
        assert plan.padding_ratio < 2


def _tiled(shapes):
    sizes = np.asarray(shapes, dtype=float)
    return np.where(np.asarray(shapes) % 16 == 0, sizes, 1.5 * sizes).prod(axis=1)


@pytest.mark.parametrize("variables", [1, 2])
def test_a_cost_that_falls_along_a_variable_never_breaks_the_bound(variables: int):
    for seed in range(30):
        random = np.random.default_rng(seed)
        samples = random.integers(3, 40, (int(random.integers(1, 6)), variables))
        histogram = ShapeHistogram.from_samples(samples)
        plan = plan_buckets(histogram, max_buckets=2, cost=_tiled)
        sizes = [np.unique([*range(16, int(column.max()) + 16, 16), *column]) for column in samples.T]
        least = best_total(histogram.samples, histogram.weights, _tiled, 2, sizes)
        needed = float(_tiled(histogram.samples) @ histogram.weights)
        assert plan.lower_bound is not None
        assert plan.lower_bound <= max(1.0, least / needed) * (1 + 1e-9), seed
        served = float(plan.hits @ plan.bucket_costs)
        assert served <= least * (1 + 1e-9), seed


def test_samples_that_need_not_be_covered_never_break_the_bound():
    histogram = ShapeHistogram.from_samples([[10], [11], [12], [13], [5000]], [5, 5, 5, 5, 1], ("L",))
    plan = plan_buckets(histogram, max_buckets=2, drop_quantile=0.1)
    both = plan_buckets(histogram, "explicit", 2, buckets=[[13], [5000]])
    assert plan.lower_bound is not None
    assert plan.lower_bound <= both.padding_ratio < plan.padding_ratio


def test_a_product_minds_the_price_of_a_bucket():
    histogram = ShapeHistogram.from_samples(np.random.default_rng(0).integers(10, 300, (60, 2)), variables=("H", "W"))
    free = plan_buckets(histogram, max_buckets=12, product=True)
    needed = float(histogram.samples.prod(axis=1) @ histogram.weights)
    dear = plan_buckets(histogram, max_buckets=12, product=True, bucket_price=0.2 * needed)
    assert len(dear.buckets) < len(free.buckets)
    assert plan_buckets(histogram, max_buckets=12, product=True, bucket_price=1e12).buckets.shape == (1, 2)


def test_more_effort_is_never_worse():
    random = np.random.default_rng(3)
    samples = np.column_stack([random.integers(1, 9, 300), random.integers(10, 300, (300, 2))])
    histogram = ShapeHistogram.from_samples(samples)
    usual = plan_buckets(histogram, max_buckets=5, interval=16)
    thorough = plan_buckets(histogram, max_buckets=5, interval=16, effort="thorough")
    assert thorough.padding_ratio <= usual.padding_ratio
    assert thorough.lower_bound >= usual.lower_bound * (1 - 1e-12)


def test_the_fewest_buckets_stay_in_the_range():
    histogram = ShapeHistogram.from_samples([[62], [63]], variables=("W",))
    plan = plan_buckets(histogram, max_buckets=4, interval=32, ranges={"W": (33, 64)}, min_buckets=1)
    assert plan.buckets.ravel().tolist() == [64]
    with pytest.raises(PlanError, match="1 buckets here"):
        plan_buckets(histogram, max_buckets=4, interval=32, ranges={"W": (33, 64)}, min_buckets=2)
    with pytest.raises(PlanError, match="cannot be at least"):
        plan_buckets(histogram, max_buckets=2, min_buckets=3)
    several = plan_buckets(histogram, max_buckets=4, interval=32, ranges={"W": (1, 128)}, min_buckets=4)
    assert several.buckets.ravel().tolist() == [32, 64, 96, 128]
    assert several.lower_bound is not None


def test_headroom_is_on_what_was_seen_not_on_what_it_rounds_to():
    histogram = ShapeHistogram.from_samples([[65]], variables=("W",))
    assert plan_buckets(histogram, interval=64, headroom=1.05).buckets.max() == 128


@pytest.mark.parametrize(
    ("strategy", "option"),
    [
        ("mean_std", {"headroom": 1.2}),
        ("max_min", {"drop_quantile": 0.1}),
        ("quantiles", {"bucket_price": 5.0}),
        ("segments", {"headroom": {"W": 900}}),
        ("explicit", {"bucket_price": 5.0, "buckets": [[64]]}),
    ],
)
def test_what_a_strategy_does_not_mind_it_refuses_by_name(strategy, option):
    histogram = ShapeHistogram.from_samples([[60], [64]], variables=("W",))
    with pytest.raises(PlanError, match=f"{next(iter(option))}: the strategy '{strategy}' does not mind it"):
        plan_buckets(histogram, strategy, **option)


def test_a_list_that_is_no_product_is_refused_where_only_products_are_taken():
    histogram = ShapeHistogram.from_samples([[60, 60]], variables=("H", "W"))
    rows = [[64, 64], [64, 128], [128, 64]]
    with pytest.raises(PlanError, match="not every combination"):
        plan_buckets(histogram, "explicit", 8, buckets=rows, product=True)
    assert len(plan_buckets(histogram, "explicit", 8, buckets=[*rows, [128, 128]], product=True).buckets) == 4


def test_statistics_are_the_same_for_every_strategy_and_so_is_a_score(tmp_path: Path):
    path = tmp_path / "boxes.txt"
    boxes = [{"points": [[0, 0], [w, 0], [w, h], [0, h]]} for h, w in [(20, 200), (25, 300), (90, 400), (31, 31)]]
    path.write_text(f"a.jpg\t{json.dumps(boxes)}\n")
    signature = name_dimensions({"x": [1, 3, -1, -1]})
    dataset = DatasetSpec(path=str(path))
    found = scan(dataset, tmp_path / "cache")
    texts, scores = set(), set()
    for name in ("optimal", "mean_std", "max_min"):
        spec = AutoScalingSpec(strategy=name, interval=64, folds=0)
        statistics = compute_statistics(found, signature, spec, dataset)
        texts.add(statistics.to_json())
        plan = plan_statistics(statistics, signature, AutoScalingSpec(strategy="mean_std", interval=64, folds=0))
        scores.add(plan.padding_ratio)
    assert len(texts) == len(scores) == 1
    assert statistics.zeros == {"H": 3.0, "W": 1.0}


def test_mindocr_takes_its_mean_over_the_sides_that_it_rounds_to_nothing(tmp_path: Path):
    path = tmp_path / "boxes.txt"
    sides = [(20, 200)] * 9 + [(300, 200)]
    boxes = [{"points": [[0, 0], [w, 0], [w, h], [0, h]]} for h, w in sides]
    path.write_text(f"a.jpg\t{json.dumps(boxes)}\n")
    signature = name_dimensions({"x": [1, 3, -1, -1]})
    dataset = DatasetSpec(path=str(path))
    spec = AutoScalingSpec(strategy="mean_std", n_std=1, interval=64, folds=0)
    plan = plan_statistics(
        compute_statistics(scan(dataset, tmp_path / "cache"), signature, spec, dataset), signature, spec
    )
    heights = np.array([0] * 9 + [320.0])
    # 300 rounds half to even: 4.6875 intervals are 5.
    high = -(-(heights.mean() + heights.std()) // 64) * 64
    assert plan.buckets[:, 0].max() == high


def test_every_strategy_is_in_the_registry_and_in_the_configuration():
    from typing import get_args

    from scaling_tasks.config.specs import Strategy

    assert set(get_args(Strategy)) == set(STRATEGIES)


def test_a_thousand_buckets_of_one_variable():
    sizes = np.random.default_rng(0).lognormal(7, 0.8, 200_000).astype(int) + 1
    histogram = ShapeHistogram.from_samples(sizes, variables=("L",))
    plan = plan_buckets(histogram, max_buckets=1000)
    assert len(plan.buckets) == 1000
    assert plan.lower_bound == pytest.approx(plan.padding_ratio)
    from scaling_tasks.planning.solver.line import cut_line, cut_line_by_price

    values, weights = histogram.samples[:700, 0].astype(float), histogram.weights[:700]
    for most in (1, 2, 40, 333, 699, 700):
        ends = cut_line_by_price(weights, values, most, np.zeros(700))
        heavy = np.concatenate([[0], weights.cumsum()])
        starts = np.concatenate([[-1], ends[:-1]])
        total = float((values[ends] * (heavy[ends + 1] - heavy[starts + 1])).sum())
        assert len(ends) <= most
        assert total == pytest.approx(cut_line(weights, values, most).curve[-1], rel=1e-12), most
