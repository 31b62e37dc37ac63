"""Plan, measure, plan again: the loop ends, and its plan is at least as fast as the one it began with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import scaling_tasks as st
from scaling_tasks.planning.measured import MeasuredCost

# Stepped latencies, the hardest here, take six measurements until a plan asks for nothing new; smooth ones fewer.
ROUNDS = 8


def overhead(width: int) -> float:
    """An accelerator that is paid mostly per call."""
    return 5e-3 + 1e-6 * width


def steps(width: int) -> float:
    """An accelerator that works in tiles of 128."""
    return 1e-3 * -(-width // 128)


def proportional(width: int) -> float:
    return 1e-5 * width


@pytest.mark.parametrize("latency", [overhead, steps, proportional])
def test_the_loop_settles_within_a_few_rounds(latency: Callable[[int], float]) -> None:
    generator = np.random.default_rng(3)
    widths = np.clip(generator.lognormal(5, 0.6, 3000), 20, 1200).astype(int)
    histogram = st.ShapeHistogram.from_samples(widths[:, None], variables=("W",))
    plan = st.plan_buckets(histogram, max_buckets=8, interval=16)
    begun = plan
    seconds: dict[int, float] = {}
    for _ in range(ROUNDS):
        missing = {int(width) for (width,) in plan.buckets} - seconds.keys()
        if not missing:
            break
        seconds |= {width: latency(width) for width in missing}
        table = sorted(seconds)
        cost = MeasuredCost(("W",), np.array(table)[:, None], [seconds[width] for width in table])
        plan = st.plan_buckets(histogram, max_buckets=8, interval=16, cost=cost)
    assert not {int(width) for (width,) in plan.buckets} - seconds.keys()

    def total(chosen: st.BucketPlan) -> float:
        served = chosen.buckets[np.searchsorted(chosen.buckets[:, 0], np.sort(widths)), 0]
        return sum(min(latency(int(w)) for w in chosen.buckets[chosen.buckets[:, 0] >= width, 0]) for width in served)

    assert total(plan) <= total(begun) * (1 + 1e-9)
