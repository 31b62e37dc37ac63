"""The strategy ``optimal`` against brute force, and the properties that a plan must have whatever the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.solver.line import cut_line
from scaling_tasks.planning.strategies.rules_of_thumb import RULES
from scaling_tasks.shapes.histogram import ShapeHistogram
from tests.planning.brute import RandomCost, best_total


def _random_histogram(seed: int, variables: int, most: int, side: int = 11) -> tuple[ShapeHistogram, int]:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, most + 1))
    samples = random.integers(1, side, (count, variables))
    weights = random.integers(1, 9, count) * random.choice([1.0, 0.5, 100.0])
    names = tuple("NHW"[-variables:]) if variables <= 3 else ()
    return ShapeHistogram.from_samples(samples, weights, names), int(random.integers(1, 5))


def _total(plan, histogram: ShapeHistogram, cost) -> float:
    return plan.padding_ratio * float(np.asarray(cost(histogram.samples)) @ histogram.weights)


def _elements(shapes):
    return np.asarray(shapes, dtype=float).prod(axis=1)


@pytest.mark.parametrize("random_cost", [False, True], ids=["elements", "random cost"])
@pytest.mark.parametrize(("variables", "most", "instances"), [(1, 8, 300), (2, 5, 200), (3, 3, 60)])
def test_equals_brute_force(variables: int, most: int, instances: int, random_cost: bool):
    for seed in range(instances):
        histogram, buckets = _random_histogram(seed, variables, most)
        cost = RandomCost(seed, variables) if random_cost else _elements
        plan = plan_buckets(histogram, max_buckets=min(buckets, 3), cost=cost)
        best = best_total(histogram.samples, histogram.weights, cost, min(buckets, 3))
        assert _total(plan, histogram, cost) == pytest.approx(best, rel=1e-9), seed
        assert plan.lower_bound is not None
        assert plan.lower_bound <= plan.padding_ratio
        assert plan.lower_bound >= plan.padding_ratio * (1 - 2e-6), seed
        assert plan.coverage == 1.0
        assert len(plan.buckets) <= min(buckets, 3)


def test_a_cost_that_falls_is_served_by_the_cheapest_bucket_that_contains_the_sample():
    for seed in range(200):
        histogram, buckets = _random_histogram(seed, 1 + seed % 2, 5)
        table = np.random.default_rng(seed).random((12,) * (1 + seed % 2)) + 0.01

        def cost(shapes, table=table):
            return table[tuple(np.asarray(shapes).T)]

        # The cheapest may have a size that no sample has: all sizes there are count, not the samples' own alone.
        sizes = [np.arange(1, 12)] * (1 + seed % 2)
        most = min(buckets, 3 - seed % 2)
        plan = plan_buckets(histogram, max_buckets=most, cost=cost)
        served = (histogram.samples[:, None, :] <= plan.buckets[None, :, :]).all(axis=2)
        total = float(np.where(served, plan.bucket_costs, np.inf).min(axis=1) @ histogram.weights)
        ranges = dict.fromkeys(histogram.variables, (1, 11))
        within = plan_buckets(histogram, max_buckets=most, cost=cost, ranges=ranges)
        least = best_total(histogram.samples, histogram.weights, cost, most, sizes)
        assert within.padding_ratio >= within.lower_bound >= 1
        served = (histogram.samples[:, None, :] <= within.buckets[None, :, :]).all(axis=2)
        best = float(np.where(served, within.bucket_costs, np.inf).min(axis=1) @ histogram.weights)
        assert best == pytest.approx(least)
        assert least * (1 - 1e-9) <= total <= best_total(histogram.samples, histogram.weights, cost, most) * (1 + 1e-9)
        assert plan.padding_ratio >= plan.lower_bound >= 1


@st.composite
def histograms(draw):
    width = draw(st.integers(1, 3))
    sizes = st.tuples(*[st.integers(1, 400)] * width)
    samples = draw(st.lists(sizes, min_size=1, max_size=40))
    weights = draw(st.lists(st.integers(1, 50), min_size=len(samples), max_size=len(samples)))
    return ShapeHistogram.from_samples(samples, weights, tuple("NHW"[-width:]))


@settings(max_examples=40, deadline=None)
@given(histograms(), st.integers(1, 7), st.sampled_from([1, 8, 32, 1000]))
def test_more_buckets_never_pad_more_and_the_bound_holds(histogram, buckets, interval):
    fewer = plan_buckets(histogram, max_buckets=buckets, interval=interval)
    more = plan_buckets(histogram, max_buckets=buckets + 1, interval=interval)
    for plan in (fewer, more):
        assert 1 <= plan.lower_bound <= plan.padding_ratio
        assert plan.coverage == 1
        assert (plan.buckets % interval == 0).all()
        assert plan.hits.sum() == pytest.approx(histogram.total)
    if more.lower_bound >= more.padding_ratio * (1 - 2e-6):
        assert more.padding_ratio <= fewer.padding_ratio * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(histograms(), st.integers(1, 12), st.sampled_from([1, 16]))
def test_never_worse_than_any_rule_at_equal_count(histogram, buckets, interval):
    best = plan_buckets(histogram, max_buckets=buckets, interval=interval)
    for rule in RULES:
        other = plan_buckets(histogram, rule, buckets, interval)
        assert len(other.buckets) <= buckets
        assert other.coverage == 1
        assert best.padding_ratio <= other.padding_ratio * (1 + 1e-9), rule


@settings(max_examples=40, deadline=None)
@given(histograms(), st.integers(1, 6), st.randoms(use_true_random=False))
def test_neither_the_order_of_samples_nor_splitting_weights_matters(histogram, buckets, random):
    rows = [(*sample, weight) for sample, weight in zip(histogram.samples.tolist(), histogram.weights, strict=True)]
    split = [row for *sample, weight in rows for row in ((*sample, weight * 0.25), (*sample, weight * 0.75))]
    random.shuffle(split)
    table = np.asarray(split)
    other = ShapeHistogram.from_samples(table[:, :-1].astype(int), table[:, -1], histogram.variables)
    assert plan_buckets(other, max_buckets=buckets).to_json() == plan_buckets(histogram, max_buckets=buckets).to_json()


def test_the_whole_curve_of_one_variable_comes_from_one_run_and_is_convex():
    random = np.random.default_rng(5)
    values = np.unique(random.lognormal(6, 0.7, 3000).astype(int) + 1)
    curve = cut_line(random.random(len(values)) + 0.01, values.astype(float), 60).curve
    assert len(curve) == 60
    assert (np.diff(curve) <= 0).all()
    assert (np.diff(curve, 2) >= -1e-6 * curve[0]).all()


def test_large_instances_of_one_variable_are_solved():
    values = np.arange(1, 8193)
    histogram = ShapeHistogram.from_samples(values, np.ones(8192), ("L",))
    plan = plan_buckets(histogram, max_buckets=100)
    # Equal weights on equal steps: the best buckets are nearly equal in number of samples times growth.
    assert len(plan.buckets) == 100
    assert plan.padding_ratio == plan.lower_bound
    assert plan.padding_ratio < 1.02


@pytest.mark.parametrize("interval", [8, 32])
def test_receipts_are_planned_within_one_per_cent_of_the_bound(data_dir: Path, interval: int):
    rows = np.loadtxt(data_dir / "sroie" / "sizes.csv", delimiter=",", skiprows=1, usecols=(1, 2))
    ratio = np.minimum(1, 960 / rows.max(axis=1))
    samples = np.maximum((rows * ratio[:, None]).astype(int), 1)
    histogram = ShapeHistogram.from_samples(samples, variables=("H", "W"))
    for buckets in (4, 8, 16, 32):
        plan = plan_buckets(histogram, max_buckets=buckets, interval=interval)
        assert plan.padding_ratio <= 1.01 * plan.lower_bound
        assert plan.coverage == 1


def test_three_variables_with_batch_choices():
    random = np.random.default_rng(3)
    samples = np.column_stack([random.integers(1, 17, 300), random.integers(200, 900, (300, 2))])
    histogram = ShapeHistogram.from_samples(samples, variables=("N", "H", "W"))
    plan = plan_buckets(
        histogram, max_buckets=16, interval={"H": 32, "W": 32}, choices={"N": [4, 8, 16]}, cost="elements"
    )
    assert set(plan.buckets[:, 0]) <= {1, 4, 8, 16}
    assert (plan.buckets[:, 1:] % 32 == 0).all()
    assert plan.coverage == 1
    assert 1 < plan.lower_bound <= plan.padding_ratio <= 1.01 * plan.lower_bound


def test_equal_plans_have_equal_bytes():
    histogram, _ = _random_histogram(7, 2, 400, 300)
    texts = {plan_buckets(histogram, max_buckets=6, interval=8, curve=True, folds=4).to_json() for _ in range(2)}
    assert len(texts) == 1
