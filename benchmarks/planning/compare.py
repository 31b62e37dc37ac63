"""All strategies on every data set at hand: padding in-sample and held out, and what the plans cost to make.

Usage: python -m benchmarks.planning.compare [--data DIR] [--output DIR] [--counts 2 4 8 16 32]

Held out: planned on the first half in file order with the largest size of the whole as headroom (a deployment knows its
model's maximum), scored on the second half. The time is the processor's, for the slowest of the
plans in-sample. Prints one Markdown table and draws one SVG per data set.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.planning.chart import draw_curves
from benchmarks.planning.datasets import Samples, load_samples
from scaling_tasks.errors import PlanError
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.strategies.rules_of_thumb import RULES
from scaling_tasks.shapes.histogram import ShapeHistogram

STRATEGIES = ("optimal", "optimal, robust", *RULES, "mean_std", "max_min")


@dataclass(frozen=True)
class Result:
    """One strategy at one number of buckets.

    Attributes:
        used: Buckets that it made.
        padding: Padding ratio on what it was planned for.
        bound: Its proven lower bound, None for rules.
        coverage: Share of samples covered in-sample.
        held_out: Padding ratio on the second half when planned on the first.
        held_out_coverage: Share of the second half that is covered.
        seconds: Of the processor, to plan.
        relaxation: What no bound by the same relaxation can exceed, None where not known.
    """

    used: int
    padding: float
    bound: float | None
    coverage: float
    held_out: float
    held_out_coverage: float
    seconds: float
    relaxation: float | None


def main() -> None:
    """Print the tables and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 4, 8, 16, 32])
    options = parser.parse_args()
    print_all(options.data, options.output, options.counts)


def print_all(data: Path | None, output: Path | None, counts: Sequence[int]) -> None:
    """Print one table of all data sets, and draw a figure of each where a directory is given."""
    print("| data set | strategy | " + " | ".join(f"k = {count}" for count in counts) + " | time |")
    print("|---" * (len(counts) + 3) + "|")
    for samples in load_samples(data):
        results = {name: _measured(samples, name, counts) for name in STRATEGIES}
        print_rows(samples, counts, results)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            stem = "".join(letter if letter.isalnum() else "_" for letter in samples.name)
            draw_curves(output / f"{stem}.svg", samples.name, _curves(results))


def _measured(samples: Samples, strategy: str, counts: Sequence[int]) -> list[Result | None]:
    print(f"… {samples.name}: {strategy}", file=sys.stderr, flush=True)
    return [measure(samples, strategy, count) for count in counts]


def measure(samples: Samples, strategy: str, count: int) -> Result | None:
    """Return one strategy's result, None where it cannot make a plan."""
    whole = ShapeHistogram.from_samples(samples.rows, variables=samples.variables)
    first, second = (ShapeHistogram.from_samples(half, variables=samples.variables) for half in samples.halves())
    largest = dict(zip(samples.variables, whole.samples.max(axis=0).tolist(), strict=True))
    name, robust = strategy.removesuffix(", robust"), {"robust": True} if strategy.endswith("robust") else {}
    begin = time.process_time()
    try:
        plan = plan_buckets(whole, name, count, samples.interval, **robust)
        seconds = time.process_time() - begin
        half = plan_buckets(first, name, count, samples.interval, **_headroom(name, largest), **robust)
        held = half.evaluate(second)
    except PlanError:
        return None
    return Result(
        len(plan.buckets),
        plan.padding_ratio,
        plan.lower_bound,
        plan.coverage,
        held.padding_ratio,
        held.coverage,
        seconds,
        plan.details.get("relaxation"),
    )


def _headroom(strategy: str, largest: dict[str, int]) -> dict[str, Any]:
    return {} if strategy in ("mean_std", "max_min") else {"headroom": largest}


def print_rows(samples: Samples, counts: Sequence[int], results: dict[str, list[Result | None]]) -> None:
    """Print padding in per cent, in-sample / held out; a share not covered is added in brackets."""
    for name, row in results.items():
        seconds = max((result.seconds for result in row if result), default=0.0)
        _print_row(samples.name, name, [_cell(result) for result in row], f"{seconds:.2f} s")
    best = results["optimal"]
    _print_row(samples.name, "*planned on the held-out half itself*", [_refitted(samples, k) for k in counts], "")
    gaps = [f"{r.padding / r.bound - 1:.2%}" if r and r.bound else "-" for r in best]
    own = [f"{r.padding / r.relaxation - 1:.2%}" if r and r.relaxation else "-" for r in best]
    _print_row(samples.name, "*optimal: above its bound*", gaps, "")
    _print_row(samples.name, "*of which at least the relaxation's own*", own, "")


def _print_row(samples: str, name: str, cells: Sequence[str], seconds: str) -> None:
    print(f"| {samples} | {name} | " + " | ".join(cells) + f" | {seconds} |", flush=True)


def _refitted(samples: Samples, count: int) -> str:
    """Return the padding in per cent of the best plan for the held-out half, its largest size given as well."""
    whole, second = (ShapeHistogram.from_samples(rows, variables=samples.variables) for rows in _parts(samples))
    largest = dict(zip(samples.variables, whole.samples.max(axis=0).tolist(), strict=True))
    plan = plan_buckets(second, max_buckets=count, interval=samples.interval, headroom=largest)
    return f"- / {plan.padding_ratio - 1:.1%}"


def _parts(samples: Samples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return samples.rows, samples.halves()[1]


def _cell(result: Result | None) -> str:
    if result is None:
        return "-"
    lost = min(result.coverage, result.held_out_coverage)
    missing = f" ({1 - lost:.1%} uncovered)" if lost < 1 else ""
    return f"{result.padding - 1:.1%} / {result.held_out - 1:.1%}{missing}"


def _curves(results: dict[str, list[Result | None]]) -> dict[str, list[tuple[float, float]]]:
    """Return (buckets, padding in per cent) of the strategies that cover everything."""
    return {
        name: [(float(r.used), 100 * (r.padding - 1)) for r in row if r is not None and r.coverage == 1]
        for name, row in results.items()
    }


__all__ = ["Result", "main", "measure", "print_all", "print_rows"]

if __name__ == "__main__":
    main()
