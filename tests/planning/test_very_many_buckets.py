"""Hundreds of buckets of two variables: strips along one axis, each cut exactly along the other."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.solver.problem import Problem
from scaling_tasks.planning.solver.strips import striped
from scaling_tasks.planning.strategies.rules_of_thumb import RULES
from scaling_tasks.shapes.histogram import ShapeHistogram
from tests.planning.brute import best_total


def _area(shapes):
    return np.asarray(shapes, dtype=float).prod(axis=1)


@pytest.mark.parametrize("forced", [False, True])
def test_strips_serve_every_point_with_no_more_than_asked(forced: bool):
    for seed in range(20):
        random = np.random.default_rng(seed)
        points = np.unique(random.integers(1, 9, (5, 2)), axis=0)
        weights = random.integers(1, 9, len(points)).astype(float)
        top = np.asarray([[9, 10]]) if forced else None
        most = int(random.integers(1 + forced, 4))
        chosen = striped(Problem(points, weights, _area, most, forced=top))
        assert len(chosen) <= most
        assert (points[:, None, :] <= chosen[None]).all(axis=2).any(axis=1).all()
        assert not forced or [9, 10] in chosen.tolist()
        served = np.where((points[:, None, :] <= chosen[None]).all(axis=2), _area(chosen), np.inf).min(axis=1)
        assert served @ weights >= best_total(points, weights, _area, most) * (1 - 1e-12)


def test_hundreds_of_buckets_are_better_than_every_rule_and_near_the_bound():
    random = np.random.default_rng(4)
    histogram = ShapeHistogram.from_samples(random.lognormal(5, 0.5, (1_500, 2)).astype(int) + 1, variables=("H", "W"))
    plan = plan_buckets(histogram, max_buckets=220, interval=4, effort="quick")
    assert len(plan.buckets) <= 220
    assert plan.coverage == 1
    for rule in RULES:
        assert plan.padding_ratio < plan_buckets(histogram, rule, 220, 4).padding_ratio
    assert 1 < plan.lower_bound <= plan.padding_ratio
