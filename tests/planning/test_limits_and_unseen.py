"""Limits on what all buckets take, and plans for samples that were not seen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.shapes.histogram import ShapeHistogram


def _bytes(shapes):
    return 100.0 + 4.0 * np.asarray(shapes, dtype=float).prod(axis=1)


@pytest.mark.parametrize("variables", [1, 2])
def test_a_plan_keeps_to_its_limits_and_no_other_breaks_its_bound(variables: int):
    for seed in range(12):
        random = np.random.default_rng(seed)
        samples = random.integers(1, (9, 6)[variables - 1], (5, variables))
        histogram = ShapeHistogram.from_samples(samples, random.integers(1, 9, 5))
        free = plan_buckets(histogram, max_buckets=3)
        most = 0.9 * float(_bytes(free.buckets).sum())
        least = float(_bytes(histogram.samples.max(axis=0)[None]).sum())
        limits = {"bytes": (_bytes, max(most, least)), "seconds": (2.0, 7.0)}
        plan = plan_buckets(histogram, max_buckets=3, limits=limits)
        assert _bytes(plan.buckets).sum() <= limits["bytes"][1] * (1 + 1e-9)
        axes = [np.unique(column) for column in histogram.samples.T]
        grid = np.asarray(list(itertools.product(*axes)))
        inside = (histogram.samples[:, None] <= grid[None]).all(axis=2)
        served = np.where(inside, grid.prod(axis=1)[None].astype(float), np.inf)
        needed = float(histogram.samples.prod(axis=1) @ histogram.weights)
        best = np.inf
        for size in (1, 2, 3):
            for chosen in map(list, itertools.combinations(range(len(grid)), size)):
                if _bytes(grid[chosen]).sum() <= limits["bytes"][1]:
                    best = min(best, float(served[:, chosen].min(axis=1) @ histogram.weights) / needed)
        assert plan.lower_bound is not None
        assert plan.lower_bound <= best * (1 + 1e-9) <= plan.padding_ratio * (1 + 2e-9), seed


def test_a_plan_says_which_limit_binds_and_what_more_of_it_would_save():
    histogram = ShapeHistogram.from_samples(np.random.default_rng(0).integers(10, 900, 400), variables=("L",))
    limits = {"bytes": (lambda shapes: 1e6 + 1e3 * shapes[:, 0], 6e6), "seconds": (1.0, 1e9)}
    plan = plan_buckets(histogram, max_buckets=16, limits=limits)
    rows = {row["name"]: row for row in plan.details["limits"]}
    assert rows["bytes"]["binds"]
    assert not rows["seconds"]["binds"]
    assert rows["bytes"]["used"] <= 6e6
    more = plan_buckets(histogram, max_buckets=16, limits={"bytes": (limits["bytes"][0], 8e6)})
    needed = float(histogram.samples[:, 0] @ histogram.weights)
    assert rows["bytes"]["one_more_saves"] > 0
    assert more.padding_ratio < plan.padding_ratio
    assert (plan.lower_bound - more.padding_ratio) * needed <= rows["bytes"]["one_more_saves"] * 2e6 * (1 + 1e-6)


def test_limits_that_nothing_keeps_to_or_that_are_none_are_refused():
    histogram = ShapeHistogram.from_samples([[10], [90]], variables=("L",))
    with pytest.raises(PlanError, match="within the limits"):
        plan_buckets(histogram, limits={"bytes": (100.0, 50.0)})
    with pytest.raises(PlanError, match=r"limits\.bytes"):
        plan_buckets(histogram, limits={"bytes": 5})
    with pytest.raises(PlanError, match="does not mind it"):
        plan_buckets(histogram, "quantiles", limits={"bytes": (1.0, 5.0)})


def test_a_robust_plan_pays_little_on_what_was_seen_and_less_on_what_was_not():
    random = np.random.default_rng(8)
    whole = random.lognormal(5.5, 0.6, (24_000, 1)).astype(int) + 1
    seen, unseen = whole[:250], ShapeHistogram.from_samples(whole[250:], variables=("L",))
    histogram = ShapeHistogram.from_samples(seen, variables=("L",))
    top = {"L": int(whole.max())}
    plain = plan_buckets(histogram, max_buckets=24, headroom=top)
    robust = plan_buckets(histogram, max_buckets=24, headroom=top, robust=True)
    found = robust.details["robust"]
    assert found["spread"] > 0
    assert found["seen_without"] <= found["seen"] <= 1.05 * found["seen_without"]
    assert robust.evaluate(unseen).padding_ratio < plain.evaluate(unseen).padding_ratio
    assert robust.lower_bound <= robust.padding_ratio
    assert robust.coverage == 1


def test_a_cost_is_not_asked_beyond_what_is_reachable():
    """A table of costs ends where no bucket may be."""
    table = np.arange(36.0).reshape(6, 6)
    histogram = ShapeHistogram.from_samples(np.array([[3, 3], [2, 3]]))
    options = {"interval": 3, "min_buckets": 2, "reachable": {"v0*v1": 10}, "latency_limit": 50.0}
    with pytest.raises(PlanError, match="takes no fewer than 2"):
        plan_buckets(histogram, max_buckets=2, cost=lambda shapes: table[tuple(shapes.T)], **options)
