"""A million raw samples of one and two variables, from raw sizes to a scored plan with its bound.

Usage: python -m benchmarks.planning.scale [--samples 1000000] [--intervals 32 8] [--counts 8 32]

Prints seconds on the clock: processor time would count the second thread of numpy's matrix products, which spins while
it waits. The last column is what of the gap no bound by this relaxation could close.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["main", "print_all"]


def main() -> None:
    """Print one Markdown row per set, interval and number of buckets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--intervals", type=int, nargs="+", default=[32, 8])
    parser.add_argument("--counts", type=int, nargs="+", default=[8, 32])
    options = parser.parse_args()
    print_all(options.samples, options.intervals, options.counts)


def print_all(samples: int, intervals: Sequence[int], counts: Sequence[int]) -> None:
    """Print one row per set, interval and number of buckets."""
    print("\n| samples | distinct | interval | k | histogram | plan | padding | above the bound | relaxation's own |")
    print("|---" * 9 + "|")
    for name, rows in raw_samples(samples).items():
        begin = time.perf_counter()
        histogram = ShapeHistogram.from_samples(rows, variables=("H", "W")[-rows.shape[1] :])
        counted = time.perf_counter() - begin
        for interval in intervals:
            for count in counts:
                print(f"| {name} | {len(histogram.weights)} | {_row(histogram, interval, count, counted)}", flush=True)


def raw_samples(count: int) -> dict[str, NDArray[np.int64]]:
    """Return generated sizes by name: photos around four aspect ratios, and sides that know nothing of each other."""
    random = np.random.default_rng(11)
    side = random.normal(1200, 180, count).clip(400, 2000)
    photos = np.column_stack([side, side * random.choice([0.5, 0.66, 0.75, 1], count) * random.normal(1, 0.04, count)])
    turned = random.random(count) < 0.5
    photos[turned] = photos[turned][:, ::-1]
    return {
        "photos, H x W": photos.astype(np.int64) + 1,
        "independent lognormal pair": random.lognormal(6, 0.5, (count, 2)).astype(np.int64) + 1,
        "uniform pair": random.integers(1, 1281, (count, 2)),
        "lognormal lengths": random.lognormal(6, 0.7, (count, 1)).astype(np.int64) + 1,
    }


def _row(histogram: ShapeHistogram, interval: int, count: int, counted: float) -> str:
    begin = time.perf_counter()
    plan = plan_buckets(histogram, max_buckets=count, interval=interval)
    planned = time.perf_counter() - begin
    gap = plan.padding_ratio / (plan.lower_bound or 1) - 1
    relaxed = plan.details.get("relaxation")
    own = "-" if relaxed is None else f"{plan.padding_ratio / relaxed - 1:.2%}"
    return (
        f"{interval} | {count} | {counted:.2f} s | {planned:.2f} s | {plan.padding_ratio - 1:.1%} | {gap:.2%} | {own} |"
    )


if __name__ == "__main__":
    main()
