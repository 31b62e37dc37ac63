"""Rules of thumb against the values that their own systems give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.strategies.mindocr import cut_evenly
from scaling_tasks.planning.strategies.rules_of_thumb import RULES
from scaling_tasks.planning.strategies.segments import equal_parts, nncase_segments
from scaling_tasks.shapes.histogram import ShapeHistogram


def _rule(name: str, sizes, count: int, **options) -> list[int]:
    values = np.unique(sizes)
    weights = np.asarray([np.count_nonzero(np.asarray(sizes) == value) for value in values], dtype=float)
    return list(dict.fromkeys(RULES[name](values, weights, count, options)))


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (1, 100, 2, [1, 100]),
        (1, 100, 4, [1, 25, 49, 100]),
        (1, 100, 8, [1, 13, 25, 37, 49, 61, 73, 100]),
        (1, 128, 4, [1, 32, 63, 128]),
        (1, 128, 8, [1, 16, 31, 46, 61, 76, 91, 128]),
        (1, 3, 8, [1, 3]),
    ],
)
def test_nncase_segments(low, high, count, expected):
    assert nncase_segments(low, high, count) == expected


def test_equal_parts_are_equal():
    assert equal_parts(1, 100, 4) == [25, 50, 75, 100]
    assert equal_parts(1, 100, 3, 32) == [64, 96, 128]


def test_powers_of_two_as_neuronx_generates_them():
    assert _rule("powers_of_two", [128, 1000], 9, min_size=128) == [128, 256, 512, 1000]
    assert _rule("powers_of_two", [128, 1000], 2, min_size=128) == [512, 1000]


def test_geometric_as_vllm_generates_it():
    expected = [128, 256, 384, 512, 640, 896, 1152, 1536, 2048]
    assert _rule("geometric", [128, 2048], 10, min_size=128, step=128) == expected


def test_padding_limited_bounds_the_padding_of_every_size():
    for percent in (10, 25, 50):
        values = _rule("padding_limited", [64, 4096], 1000, step=64, min_size=64, pad_percent=percent)
        for small, large in itertools.pairwise(values):
            # One step more than a size is kept for may still exceed the share.
            assert large - small - 1 <= max(percent / 100 * large, 64)
    assert _rule("padding_limited", [64, 512], 1000, step=64, min_size=64, pad_percent=0) == list(range(64, 513, 64))


def test_quantiles_are_lower_percentiles():
    sizes = np.random.default_rng(0).integers(1, 500, 1001)
    expected = np.unique(np.percentile(sizes, np.linspace(0, 100, 9)[1:], method="lower")).tolist()
    assert _rule("quantiles", sizes, 8) == expected


def test_equal_mass_cuts_where_the_running_sum_passes_equal_shares():
    sizes = np.random.default_rng(1).integers(1, 500, 2000)
    values = _rule("equal_mass", sizes, 4)
    masses = [sizes[sizes <= value].sum() / sizes.sum() for value in values]
    assert masses == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.01)


def test_every_rule_makes_a_grid_of_several_variables_and_covers_everything():
    samples = np.random.default_rng(2).integers(10, 700, (200, 2))
    histogram = ShapeHistogram.from_samples(samples, variables=("H", "W"))
    for rule in RULES:
        plan = plan_buckets(histogram, rule, 9, 16)
        assert 1 < len(plan.buckets) <= 9
        assert plan.coverage == 1
        assert plan.lower_bound is None
        lists = [set(column.tolist()) for column in plan.buckets.T]
        assert len(plan.buckets) == len(lists[0]) * len(lists[1])


def test_cutting_a_list_keeps_its_end_and_its_spread():
    assert cut_evenly(range(1, 30), 100) == list(range(1, 30))
    assert cut_evenly(range(1, 30), 8) == [1, 5, 9, 13, 17, 21, 25, 29]
    assert cut_evenly(range(1, 30), 1) == [29]
