"""Where a farm's knee is: a simulation from costs measured here, its predictions held against real builds.

Usage: python -m benchmarks.scale [--units 12] [--json FILE]

Prints the costs, measured and predicted seconds of real builds at one and two workers, and for 500 buckets on 6 devices
and 10^9 images what 1 to 1,000 workers take.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.scale.measure import build, costs_of, image_costs, rate
from benchmarks.scale.simulate import Costs, Job, simulate

_WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_UNITS, _IMAGES = 500 * 6, 10**9
_MODEL, _ARTEFACT, _DOCUMENT = 10_900_000, 11_000_000, 2_000
"""Bytes of the worked example's recogniser, of what one bucket of it becomes, and of what is noted of it."""


def main() -> None:
    """Measure, compare, and simulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=12)
    parser.add_argument("--json", type=Path, help="where to write the costs; they are read from it where it is there")
    options = parser.parse_args()
    if options.json and options.json.exists():
        costs = Costs(**json.loads(options.json.read_text()))
    else:
        costs = _measured(options.units)
        if options.json:
            options.json.write_text(json.dumps(asdict(costs), indent=1))
    print("\n".join(f"{name:8} {value:.6g}" for name, value in asdict(costs).items()))
    for seconds in (5.0, 60.0):
        _farm(costs, seconds)
    print(
        f"\n{_IMAGES:.0e} images, whose headers the client reads: {_hours(_IMAGES * costs.image)} h new, "
        f"{_hours(_IMAGES * costs.known)} h known; workers change nothing of it"
    )


def _measured(units: int) -> Costs:
    root = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        few, many = build(root / "few", units // 3, 1), build(root / "many", units, 1)
        costs = costs_of(few, many, rate(root / "rate"), image_costs(root / "images"))
        two = build(root / "two", units, 2)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"{'':34}{'measured':>10}{'predicted':>11}")
    # The second worker shares the cores: its units are predicted once as if it did not, once by what they took.
    rows = (
        ("1 worker, its own units' seconds", many, many, 1),
        ("2 workers, 1 worker's seconds", two, many, 2),
        ("2 workers, their own seconds", two, two, 2),
    )
    for name, real, known, workers in rows:
        predicted = simulate(costs, known.jobs(units), workers, workers).seconds
        print(f"{name:34}{real.seconds:10.1f}{predicted:11.1f}")
    print()
    return costs


def _farm(costs: Costs, seconds: float) -> None:
    verified = Job(seconds / 5, _MODEL, _ARTEFACT, _DOCUMENT)
    jobs = [Job(seconds, _MODEL, 0, _ARTEFACT, verified)] * _UNITS
    print(f"\n{_UNITS} units of {seconds:g} s each, verified in {seconds / 5:g} s; hours")
    headings = f"{'workers':>8}{'cold':>9}{'speed-up':>10}{'client':>8}{'link':>7}{'busy':>7}  limit  "
    print(f"{headings}{'90 % in the store':>20}{'all':>8}")
    one = simulate(costs, jobs, 1, 1).seconds
    for workers in _WORKERS:
        cold = simulate(costs, jobs, workers, workers)
        warm = [simulate(costs, jobs, workers, workers, hits=hits).seconds for hits in (0.9, 1.0)]
        shares = f"{cold.client:8.0%}{cold.link:7.0%}{cold.workers:7.0%}"
        told = f"{_hours(cold.seconds):>9}{one / cold.seconds:10.1f}{shares}  {cold.limit:7}"
        print(f"{workers:8}{told}{_hours(warm[0]):>20}{_hours(warm[1]):>8}")
    fast = simulate(replace(costs, rate=1.25e9), jobs, 1000, 1000)
    print(f"    1000 at 10 Gbit/s from a store of their own: {_hours(fast.seconds)} h, limited by the {fast.limit}")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.3g}"


if __name__ == "__main__":
    main()
