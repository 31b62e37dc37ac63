"""Requests of many items: the least-cost partition, and buckets planned for it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.planning.api import plan_buckets, plan_statistics
from scaling_tasks.planning.costs import CallableCost
from scaling_tasks.planning.planner import plan_requests
from scaling_tasks.planning.request.options import make_options
from scaling_tasks.planning.request.serving import score_requests
from scaling_tasks.runtime.batching import Batcher
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.partition import RunTable
from scaling_tasks.shapes.signature import name_dimensions

CHOICES = (1, 4, 8, 16)


def _partitions(items: list[int]):
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            left = [item for item in rest if item not in others]
            for more in _partitions(left):
                yield [(first, *others), *more]


def _least(items, batches, shapes, costs) -> float:
    def cost(group) -> float:
        fits = (batches >= len(group)) & (shapes >= items[list(group)].max(axis=0)).all(axis=1)
        return costs[fits].min() if fits.any() else np.inf

    return min(sum(cost(group) for group in groups) for groups in _partitions(list(range(len(items)))))


def test_the_partition_of_items_of_one_size_variable_is_the_least_of_all():
    for seed in range(150):
        random = np.random.default_rng(seed)
        items = random.integers(1, 8, (int(random.integers(1, 7)), 1))
        count = int(random.integers(1, 6))
        batches, shapes = random.integers(1, 6, count), random.integers(1, 9, (count, 1))
        costs = random.random(count) * 10 + batches * shapes[:, 0]
        runs = RunTable(items, np.array([0, len(items)]), batches.tolist())
        served = runs.serve(runs.run_costs(batches, shapes, costs).min(axis=1))
        assert served.total == pytest.approx(_least(items, batches, shapes, costs))


def test_several_size_variables_are_served_completely():
    random = np.random.default_rng(9)
    items = random.integers(1, 50, (20, 2))
    batches, shapes = np.array([1, 4, 8]), np.array([[50, 50], [50, 50], [25, 50]])
    runs = RunTable(items, np.array([0, len(items)]), batches.tolist())
    served = runs.serve(runs.run_costs(batches, shapes, np.array([3.0, 8.0, 7.0])).min(axis=1))
    assert runs.counts @ served.uses == len(items)
    assert served.total <= 5 * 8.0
    runs = RunTable(np.array([[60, 1]]), np.array([0, 1]), batches.tolist())
    assert runs.serve(runs.run_costs(batches, shapes, np.ones(3)).min(axis=1)).total == np.inf


@pytest.fixture
def requests() -> ItemRequests:
    random = np.random.default_rng(0)
    counts = random.integers(0, 30, 40)
    items = random.lognormal(4.8, 0.7, (counts.sum(), 1)).astype(np.int64) + 8
    return ItemRequests(("W",), items, np.concatenate([[0], np.cumsum(counts)]))


def _launch(shapes):
    return 3000.0 + shapes[:, 0] * shapes[:, 1]


def test_joint_buckets_beat_the_best_product_of_lists_planned_apart(requests: ItemRequests):
    model = CallableCost(_launch)
    for most in (4, 9):
        options = make_options(most, {"interval": {"W": 8}, "choices": {"N": CHOICES}})
        plan = plan_requests(requests, ("N", "W"), most, model, options)
        assert len(plan.buckets) <= most
        assert plan.coverage == 1
        assert set(plan.buckets[:, 0]) <= set(CHOICES)
        assert (plan.buckets[:, 1] % 8 == 0).all()
        widths = ShapeHistogram.from_samples(requests.items, variables=("W",))
        for size in range(1, len(CHOICES) + 1):
            for batches in itertools.combinations(CHOICES, size):
                if most // size:
                    lists = plan_buckets(widths, max_buckets=most // size, interval=8).buckets[:, 0]
                    product = np.asarray(list(itertools.product(batches, lists)))
                    apart = score_requests(requests, ("N", "W"), product, model, CHOICES)
                    assert plan.padding_ratio <= apart.padding_ratio


def test_the_score_of_requests_is_what_the_runtime_makes_of_them(requests: ItemRequests):
    model = CallableCost(_launch)
    buckets = np.array([[1, 2000], [4, 150], [8, 300], [16, 100]])
    score = score_requests(requests, ("N", "W"), buckets, model, CHOICES)
    costs = _launch(buckets)
    batcher = Batcher(BucketTable(buckets.tolist(), costs.tolist()), 0)
    total = sum(
        costs[batch.bucket]
        for start, end in itertools.pairwise(requests.offsets)
        for batch in batcher.partition([tuple(item) for item in requests.items[start:end].tolist()])
    )
    assert score.cost == pytest.approx(total)
    assert score.hits @ _launch(buckets) == pytest.approx(total)
    assert score.padding_ratio >= 1


def test_a_target_with_partition_batching_serves_all_its_requests(requests: ItemRequests):
    histogram = ShapeHistogram.from_samples(requests.batches(), variables=("N", "W"))
    statistics = DatasetStatistics(histogram, None, requests)
    spec = AutoScalingSpec(batching="partition", max_scaling_num=6, interval=16, batch_choices=CHOICES)
    plan = plan_statistics(statistics, name_dimensions({"x": [-1, 3, 48, -1]}), spec)
    assert plan.coverage == 1
    assert plan.parameters["batching"] == "partition"
    # Counting elements alone, nothing is gained by running items together.
    assert set(plan.buckets[:, 0]) == {1}
    assert plan.to_json() == plan_statistics(statistics, name_dimensions({"x": [-1, 3, 48, -1]}), spec).to_json()


def test_only_the_number_of_items_may_vary():
    counts = np.array([3, 9, 20])
    requests = ItemRequests((), np.zeros((32, 0), dtype=np.int64), np.concatenate([[0], np.cumsum(counts)]))
    options = make_options(2, {"choices": {"N": CHOICES}})
    plan = plan_requests(requests, ("N",), 2, CallableCost(lambda shapes: 5.0 + shapes[:, 0]), options)
    # 3 -> 4, 9 -> 8 + 4 (or 4 + 4 + 4), 20 -> 16 + 4: one small and one large batch size.
    assert 4 in plan.buckets[:, 0]
    assert len(plan.buckets) == 2


def test_no_buckets_beat_the_bound_of_requests_that_are_cut_into_batches():
    choices = (1, 2, 4)
    tight = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        counts = random.integers(0, 5, 4)
        counts[0] = 1
        items = random.integers(1, 6, (counts.sum(), 1))
        weights = random.integers(1, 4, 4).astype(float)
        requests = ItemRequests(("W",), items, np.concatenate([[0], counts.cumsum()]), weights)
        launch = float(random.choice([0.0, 2.0, 6.0]))

        def cost(shapes, launch=launch):
            return launch + np.asarray(shapes, dtype=float).prod(axis=1)

        most = int(random.integers(1, 4))
        options = make_options(most, {"choices": {"N": choices}})
        plan = plan_requests(requests, ("N", "W"), most, CallableCost(cost), options)
        grid = np.asarray(list(itertools.product(choices, np.unique(items))))
        runs = RunTable(items, requests.offsets, choices, weights)
        table = runs.run_costs(grid[:, 0], grid[:, 1:], cost(grid))
        least = min(
            runs.serve(table[:, list(chosen)].min(axis=1)).total
            for size in range(1, most + 1)
            for chosen in itertools.combinations(range(len(grid)), size)
        )
        ideal = plan.details["request_cost"] / plan.padding_ratio
        assert plan.lower_bound is not None
        assert plan.lower_bound * ideal <= least * (1 + 1e-9) <= plan.details["request_cost"] * (1 + 2e-9), seed
        tight += plan.lower_bound >= 0.98 * plan.padding_ratio
    assert tight >= 20


def test_whole_buckets_are_exchanged_where_no_small_step_saves():
    """A launch that is dear next to the area: the best sets are a batch size and half the sizes away."""
    random = np.random.default_rng(3)
    counts = random.integers(1, 20, 12)
    items = random.integers(1, 13, (counts.sum(), 1))
    requests = ItemRequests(("W",), items, np.concatenate([[0], counts.cumsum()]))
    model = CallableCost(lambda shapes: 60.0 + shapes[:, 0] * shapes[:, 1])
    plan = plan_requests(requests, ("N", "W"), 2, model, make_options(2, {"choices": {"N": CHOICES}}))
    grid = np.asarray(list(itertools.product(CHOICES, np.unique(items))))
    runs = RunTable(items, requests.offsets, CHOICES)
    table = runs.run_costs(grid[:, 0], grid[:, 1:], model(grid))
    least = min(
        runs.serve(table[:, list(chosen)].min(axis=1)).total for chosen in itertools.combinations(range(len(grid)), 2)
    )
    assert plan.details["request_cost"] == pytest.approx(least)
    assert plan.lower_bound is not None
    assert plan.padding_ratio <= 1.02 * plan.lower_bound


def test_requests_of_no_weight_are_served_by_every_exchange():
    items = np.array([[4], [4], [90], [5]])
    requests = ItemRequests(("W",), items, np.array([0, 2, 3, 4]), np.array([1.0, 0.0, 2.0]))
    for most in (1, 2, 3):
        plan = plan_requests(requests, ("N", "W"), most, CallableCost(_launch), make_options(most, {}))
        assert plan.buckets[:, 1].max() >= 90
        assert plan.coverage == 1
