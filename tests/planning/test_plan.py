"""The plan as a value: scores, documents, options and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scaling_tasks.errors import DatasetError, PlanError
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.shapes.histogram import ShapeHistogram


@pytest.fixture
def lengths() -> ShapeHistogram:
    sizes = np.random.default_rng(0).lognormal(5, 0.8, 2000).astype(int) + 1
    return ShapeHistogram.from_samples(sizes, variables=("L",))


@pytest.fixture
def sides() -> ShapeHistogram:
    samples = np.random.default_rng(1).integers(20, 400, (30, 2))
    return ShapeHistogram.from_samples(samples, variables=("H", "W"))


def test_a_plan_scores_other_samples_by_the_cheapest_containing_bucket():
    plan = plan_buckets(ShapeHistogram.from_samples([10, 100], variables=("L",)), max_buckets=2)
    score = plan.evaluate(ShapeHistogram.from_samples([5, 10, 50, 101], [1, 2, 3, 4], ("L",)))
    assert score.coverage == pytest.approx(0.6)
    assert score.hits.tolist() == [3, 3]
    assert score.padding_ratio == pytest.approx((3 * 10 + 3 * 100) / (5 + 20 + 150))


def test_columns_may_come_in_another_order(sides):
    plan = plan_buckets(sides, max_buckets=4)
    assert plan.evaluate(sides.project(("W", "H"))).padding_ratio == pytest.approx(plan.padding_ratio)
    with pytest.raises(PlanError, match="over"):
        plan.evaluate(ShapeHistogram.from_samples([[1, 2]], variables=("N", "W")))


def test_nothing_covered_is_no_padding():
    plan = plan_buckets(ShapeHistogram.from_samples([10], variables=("L",)))
    score = plan.evaluate(ShapeHistogram.from_samples([11], variables=("L",)))
    assert (score.padding_ratio, score.coverage, score.hits.tolist()) == (1.0, 0.0, [0.0])


def test_the_document_survives_a_round_trip_byte_for_byte(sides):
    plan = plan_buckets(sides, max_buckets=5, interval=8, curve=True, folds=3)
    text = plan.to_json()
    again = BucketPlan.from_json(text)
    assert again.to_json() == text
    assert again.evaluate(sides).padding_ratio == plan.padding_ratio
    document = json.loads(text)
    assert document["format"] == "scaling-tasks/buckets/1"
    assert document["strategy"]["parameters"]["interval"] == 8
    order = [(cost, *bucket) for cost, bucket in zip(document["bucket_costs"], document["buckets"], strict=True)]
    assert order == sorted(order)


def test_a_plan_under_a_callable_cost_says_that_it_needs_the_cost_again(sides):
    def cost(shapes):
        return 100.0 + shapes.prod(axis=1)

    plan = plan_buckets(sides, max_buckets=3, cost=cost)
    again = BucketPlan.from_json(plan.to_json())
    with pytest.raises(PlanError, match="cost="):
        again.evaluate(sides)
    assert again.evaluate(sides, cost).padding_ratio == pytest.approx(plan.padding_ratio)


@pytest.mark.parametrize("text", ["", "{}", '{"format": "scaling-tasks/buckets/1"}', '{"format": "x/buckets/1"}'])
def test_other_documents_are_refused(text):
    with pytest.raises(PlanError):
        BucketPlan.from_json(text)


def test_auto_takes_the_fewest_buckets_that_reach_the_target(lengths):
    plan = plan_buckets(lengths, max_buckets="auto", target_padding=1.1)
    assert plan.padding_ratio <= 1.1
    assert plan_buckets(lengths, max_buckets=len(plan.buckets) - 1).padding_ratio > 1.1
    with pytest.raises(PlanError, match="out of reach"):
        plan_buckets(lengths, max_buckets="auto", interval=512, target_padding=1.05)
    with pytest.raises(PlanError, match="worth"):
        plan_buckets(lengths, max_buckets="auto")


@pytest.mark.parametrize("price", [50.0, 3000.0, 1e9])
def test_a_price_buys_buckets_while_they_save_more_than_they_cost(lengths, sides, price):
    for histogram in (lengths, sides):
        needed = float(histogram.samples.prod(axis=1) @ histogram.weights)
        plan = plan_buckets(histogram, max_buckets="auto", bucket_price=price * (1 if histogram is lengths else 20))
        paid = plan.parameters["bucket_price"] * len(plan.buckets) + plan.padding_ratio * needed
        for other in (len(plan.buckets) - 1, len(plan.buckets) + 1):
            if other >= 1:
                rival = plan_buckets(histogram, max_buckets=other)
                total = plan.parameters["bucket_price"] * len(rival.buckets) + rival.padding_ratio * needed
                assert paid <= total * (1 + 1e-6)
        assert plan.lower_bound <= plan.padding_ratio


def test_a_price_may_depend_on_the_bucket(lengths):
    free = plan_buckets(lengths, max_buckets=12)
    dear = plan_buckets(lengths, max_buckets=12, bucket_price=lambda shapes: np.where(shapes[:, 0] < 200, 1e7, 0.0))
    assert (free.buckets < 200).sum() > (dear.buckets < 200).sum() == 0


def test_headroom_raises_the_largest_bucket(lengths, sides):
    largest = int(lengths.samples.max())
    assert plan_buckets(lengths, headroom=1.5, interval=8).buckets.max() == -(-int(np.ceil(largest * 1.5)) // 8) * 8
    assert plan_buckets(lengths, headroom={"L": 99999}).buckets.max() == 99999
    plan = plan_buckets(sides, max_buckets=4, headroom={"W": 1000})
    assert [int(sides.samples[:, 0].max()), 1000] in plan.buckets.tolist()
    assert len(plan.buckets) <= 4
    assert plan.lower_bound <= plan.padding_ratio
    everything = plan_buckets(sides, max_buckets=4, headroom=1.0)
    assert everything.evaluate(ShapeHistogram.from_samples([sides.samples.max(axis=0)], variables=("H", "W"))).coverage


def test_rare_outliers_may_be_left_over(lengths):
    full = plan_buckets(lengths, max_buckets=4)
    part = plan_buckets(lengths, max_buckets=4, drop_quantile=0.02)
    assert 0.98 <= part.coverage < 1
    assert part.buckets.max() < full.buckets.max()
    assert part.lower_bound <= part.padding_ratio < full.padding_ratio


def test_more_buckets_than_distinct_samples_and_an_interval_above_all_sizes_have_a_meaning():
    histogram = ShapeHistogram.from_samples([3, 5, 5], variables=("L",))
    assert plan_buckets(histogram, max_buckets=50).buckets.ravel().tolist() == [3, 5]
    assert plan_buckets(histogram, interval=64).buckets.ravel().tolist() == [64]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "optimum"}, "optimal"),
        ({"max_bucket": 4}, "max_buckets"),
        ({"intervall": 4}, "interval"),
        ({"max_buckets": 0}, "max_buckets"),
        ({"max_buckets": 2.5}, "max_buckets"),
        ({"interval": 0}, "interval"),
        ({"interval": {"X": 8}}, "'X' is no variable"),
        ({"drop_quantile": 1.0}, "drop_quantile"),
        ({"headroom": 0.5}, "headroom"),
        ({"headroom": {"X": 8}}, "'X' is no variable"),
        ({"bucket_price": float("nan")}, "bucket_price"),
        ({"cost": "flop"}, "'flop' is no cost model"),
        ({"cost": 3}, "3 is no cost model"),
        ({"cost": lambda shapes: -shapes[:, 0]}, "the cost of"),
        ({"cost": lambda shapes: shapes[:, 0] * np.nan}, "nan"),
        ({"cost": lambda shapes: shapes}, "shape"),
        ({"cost": lambda shapes: 1 / 0}, "ZeroDivisionError"),
        ({"strategy": "explicit", "buckets": [[1, 2, 3]]}, "bucket 0"),
        ({"strategy": "explicit", "buckets": [[0, 2]]}, "bucket 0"),
        ({"ranges": {"W": (9, 2)}}, "no range"),
        (
            {"ranges": {"W": (1, 2)}},
            "^width_range: every sample is above the allowed sizes: W is .* at most in a bucket",
        ),
        ({"ends": {"W": 2}}, "^dataset: every sample is above .*The model runs up to W 2"),
        ({"ends": {"W": 2}, "choices": {"W": [4]}}, "^dataset: every sample is above .*The model runs up to W 2"),
        ({"choices": {"W": [2]}}, "^batch_choices: every sample is above"),
        ({"reachable": {"H*W": 2}}, "^reachable: every sample comes to more"),
        ({"strategy": "segments", "range_info": {"X": (1, 2)}}, "'X' is no variable"),
    ],
)
def test_bad_options_are_refused_by_name(sides, options, message):
    with pytest.raises(PlanError, match=message):
        plan_buckets(sides, **options)


@pytest.mark.parametrize(
    ("samples", "weights"),
    [([], None), ([[0, 3]], None), ([[-1, 3]], None), ([[1.5, 2]], None), ([[1, 2]], [np.nan]), ([[1, 2]], [-1])],
)
def test_bad_samples_are_refused(samples, weights):
    with pytest.raises(DatasetError):
        ShapeHistogram.from_samples(samples, weights, ("H", "W"))
