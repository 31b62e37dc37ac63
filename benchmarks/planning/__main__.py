"""Everything that is measured of the planner, by one command: tables on standard output, figures where asked.

Usage: python -m benchmarks.planning [--data DIR] [--output docs/planning] [--counts 4 8 16 32]
       [--samples 20000] [--intervals 32] [--requests 10000]

With an output folder the tables are written to `measured.md` there as well, beside the figures. What is being measured
is said on standard error. The largest rows in docs/planning.md take
`--samples 1000000 --intervals 32 8 --requests 100000`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from pathlib import Path
from typing import TextIO

from benchmarks.planning import batches, compare, scale
from scaling_tasks.files import write_if_changed

__all__ = ["main"]


def main() -> None:
    """Print tables of all data sets, of large instances and of requests that are cut into batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--intervals", type=int, nargs="+", default=[32])
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    both = _Both(sys.stdout)
    with contextlib.redirect_stdout(both):
        print("# What was measured of the planner\n")
        compare.print_all(options.data, options.output, options.counts)
        scale.print_all(options.samples, options.intervals, [8, 32])
        if options.data is not None:
            batches.print_all(options.data, None, options.counts)
        batches.print_many(options.requests, 8)
    if options.output is not None:
        write_if_changed(options.output / "measured.md", both.getvalue().encode())


class _Both(io.StringIO):
    """Keeps what is written and passes it on."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def write(self, text: str) -> int:
        self._out.write(text)
        self._out.flush()
        return super().write(text)


if __name__ == "__main__":
    main()
