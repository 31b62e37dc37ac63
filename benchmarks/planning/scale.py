"""Large instances: a million samples of one and two variables, three variables, a thousand buckets.

Usage: python -m benchmarks.planning.scale [--samples 1000000] [--intervals 32 8] [--counts 8 32]

Prints seconds of the processor, from raw sizes to a histogram and from it to a scored plan. The last column is what of
the gap no bound by this relaxation could close.
"""

from __future__ import annotations

import argparse
import sys
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
        _print_rows(name, rows, [(interval, count) for interval in intervals for count in counts])
    for name, rows in three_variables(samples // 10).items():
        _print_rows(name, rows, [(16, 16)])
    pair = np.random.default_rng(1).lognormal(6, 0.5, (min(samples, 20_000), 2)).astype(np.int64) + 1
    _print_rows("independent lognormal pair", pair, [(1, 1000)])
    _print_rows("lognormal lengths", raw_samples(samples)["lognormal lengths"], [(1, 1000)])


def _print_rows(name: str, rows: NDArray[np.int64], cases: Sequence[tuple[int, int]]) -> None:
    begin = time.process_time()
    histogram = ShapeHistogram.from_samples(rows)
    counted = time.process_time() - begin
    for interval, count in cases:
        print(f"… {name}, interval {interval}, k = {count}", file=sys.stderr, flush=True)
        print(f"| {name} | {len(histogram.weights)} | {_row(histogram, interval, count, counted)}", flush=True)


def three_variables(count: int) -> dict[str, NDArray[np.int64]]:
    """Return generated sizes of three variables by name; the batches count in units of the interval."""
    random = np.random.default_rng(11)
    encoder = random.lognormal(4.5, 0.6, count)
    decoder, batch = encoder * random.lognormal(0, 0.3, count), np.minimum(64, random.geometric(0.1, count))
    sides, channels = random.lognormal(6, 0.4, (count, 2)), random.choice([1, 3, 4], count, p=[0.2, 0.7, 0.1])
    return {
        "N x encoder x decoder": np.column_stack([16 * batch, encoder, decoder]).astype(np.int64) + 1,
        "channels x H x W": np.column_stack([16 * channels, sides]).astype(np.int64),
    }


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
    begin = time.process_time()
    plan = plan_buckets(histogram, max_buckets=count, interval=interval)
    planned = time.process_time() - begin
    gap = plan.padding_ratio / (plan.lower_bound or 1) - 1
    relaxed = plan.details.get("relaxation")
    own = "-" if relaxed is None else f"{plan.padding_ratio / relaxed - 1:.2%}"
    return (
        f"{interval} | {count} | {counted:.2f} s | {planned:.2f} s | {plan.padding_ratio - 1:.1%} | {gap:.2%} | {own} |"
    )


if __name__ == "__main__":
    main()
