"""Planning for more samples than tables can hold: exchanges on cells, refinement, and the bound within a budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.solver.cells import Cells, exchange_on_cells
from scaling_tasks.planning.solver.effort import EFFORTS
from scaling_tasks.planning.strategies.rules_of_thumb import RULES
from scaling_tasks.shapes.histogram import ShapeHistogram
from tests.planning.brute import RandomCost, best_total


def _random_cells(seed: int, sides: tuple[int, ...] = (6, 5)) -> Cells:
    random = np.random.default_rng(seed)
    costs = random.random(sides)
    for axis in range(len(sides)):
        costs = costs.cumsum(axis=axis)
    weights = random.integers(0, 4, sides) * random.integers(0, 2, sides)
    return Cells(costs, weights.astype(float), np.full(sides, 0.01 * (seed % 2)))


def test_no_exchange_improves_what_is_left():
    for seed in range(30):
        cells = _random_cells(seed)
        last = cells.costs.size - 1
        found = exchange_on_cells(cells, [last], 3, 50)
        total = cells.total(found)
        assert len(found) <= 3
        for index in range(len(found)):
            for candidate in range(cells.costs.size):
                trial = [*found[:index], candidate, *found[index + 1 :]]
                assert cells.total(trial) >= total * (1 - 1e-8), (seed, found, trial)


def test_choices_cost_the_same_on_fewer_coordinates():
    cells = _random_cells(4, (7, 6, 5))
    kept = [np.array([1, 4, 6]), np.array([2, 5]), np.array([0, 3, 4])]
    few = cells.restrict(kept)
    assert few.weights.sum() == cells.weights.sum()
    for chosen in ([17], [2, 17], [5, 9, 17]):
        where = np.unravel_index(chosen, few.costs.shape)
        all_of = [stay[index] for stay, index in zip(kept, where, strict=True)]
        assert few.total(chosen) == pytest.approx(cells.total(np.ravel_multi_index(all_of, cells.costs.shape).tolist()))


@pytest.mark.parametrize("random_cost", [False, True], ids=["elements", "random cost"])
@pytest.mark.parametrize(("variables", "most"), [(2, 5), (3, 3)])
def test_the_bound_holds_and_the_plan_is_nearly_the_best(monkeypatch, variables: int, most: int, random_cost: bool):
    monkeypatch.setitem(EFFORTS, "normal", replace(EFFORTS["normal"], many=0, steps=40))
    reached = best = 0.0
    for seed in range(40):
        random = np.random.default_rng(seed)
        samples = random.integers(1, 11, (int(random.integers(1, most + 1)), variables))
        histogram = ShapeHistogram.from_samples(samples, random.integers(1, 9, len(samples)))
        cost = RandomCost(seed, variables) if random_cost else (lambda shapes: shapes.astype(float).prod(axis=1))
        plan = plan_buckets(histogram, max_buckets=1 + seed % 3, cost=cost)
        needed = float(cost(histogram.samples) @ histogram.weights)
        least = best_total(histogram.samples, histogram.weights, cost, 1 + seed % 3) / needed
        assert plan.lower_bound <= least * (1 + 1e-9), seed
        assert plan.padding_ratio >= least * (1 - 1e-9), seed
        reached, best = reached + plan.padding_ratio, best + least
    assert reached <= best * 1.01


@pytest.mark.parametrize("proof", [400_000, 6_400], ids=["whole", "thinned"])
def test_thousands_of_distinct_samples(monkeypatch, proof: int):
    less = replace(EFFORTS["normal"], proof_candidates=proof, ascent=20_000_000)
    monkeypatch.setitem(EFFORTS, "normal", less)
    random = np.random.default_rng(2)
    histogram = ShapeHistogram.from_samples(random.lognormal(5, 0.5, (8_000, 2)).astype(int) + 1, variables=("H", "W"))
    plan = plan_buckets(histogram, max_buckets=8, interval=8)
    assert plan.coverage == 1
    assert 1 < plan.lower_bound <= plan.padding_ratio <= (1.08 if proof > 10_000 else 1.3) * plan.lower_bound
    for rule in RULES:
        assert plan.padding_ratio <= plan_buckets(histogram, rule, 8, 8).padding_ratio
    assert plan.padding_ratio <= plan_buckets(histogram, max_buckets=8, interval=32).padding_ratio


def test_headroom_and_the_price_of_a_bucket_are_minded():
    random = np.random.default_rng(5)
    histogram = ShapeHistogram.from_samples(random.integers(1, 900, (5_000, 2)), variables=("H", "W"))
    plan = plan_buckets(histogram, max_buckets=12, interval=8, effort="quick", headroom={"H": 1024, "W": 1200})
    assert plan.buckets.max(axis=0).tolist() == [1024, 1200]
    assert [1024, 1200] in plan.buckets.tolist()
    total = histogram.samples.prod(axis=1).astype(float) @ histogram.weights
    priced = plan_buckets(histogram, max_buckets=12, interval=8, effort="quick", bucket_price=0.05 * total)
    assert 1 < len(priced.buckets) < 12
