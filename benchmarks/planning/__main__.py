"""Everything that is measured of the planner, by one command: tables on standard output, figures where asked.

Usage: python -m benchmarks.planning [--data DIR] [--output docs/planning] [--counts 4 8 16 32] [--samples 100000]

What is being measured is said on standard error. The rows of 10⁶ samples in docs/planning.md take
`--samples 1000000`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.planning import batches, compare, scale

__all__ = ["main"]


def main() -> None:
    """Print tables of all data sets, of large instances and, with data, of requests that are cut into batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--samples", type=int, default=100_000)
    options = parser.parse_args()
    compare.print_all(options.data, options.output, options.counts)
    scale.print_all(options.samples, [32, 8], [8, 32])
    if options.data is not None:
        batches.print_all(options.data, None, options.counts)


if __name__ == "__main__":
    main()
