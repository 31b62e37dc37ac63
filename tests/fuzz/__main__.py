"""Spoil valid files in very many ways, and see that each reader takes it: ``python -m tests.fuzz``.

Every case is one that its reader, the seed and its number give again: ``--reader NAME --seed SEED --case NUMBER`` runs
it once more, says what it came to, and leaves the spoiled directory behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.case import Workplace
from tests.fuzz.harness import Result, run_reader, table
from tests.fuzz.reader import Reader
from tests.fuzz.readers import all_readers

_CHUNK = 250
_SHOWN = 3  # failures per reader


def main() -> int:
    """Run the cases, print the table; return 1 where a case failed."""
    options = _options()
    readers = [each for each in all_readers() if not options.reader or each.name in options.reader]
    if not readers:
        sys.exit(f"no such reader; there are {', '.join(each.name for each in all_readers())}")
    if options.case is not None:
        return _repeat(readers[0], options.seed, options.case)
    started = time.monotonic()
    results = _run(readers, options.seed, options.cases, options.jobs)
    for result in results:
        for number, outcome in result.failed[:_SHOWN]:
            print(f"--reader {result.name} --seed {options.seed} --case {number}: {outcome.kind}\n{outcome.detail}\n")
    print(table(results))
    print(f"seed {options.seed}, {time.monotonic() - started:.0f} s")
    return int(any(result.failed for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=30_000, help="of all readers together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other cases (default: %(default)s)")
    parser.add_argument("--reader", action="append", help="only this one; may be given several times")
    parser.add_argument("--case", type=int, help="run this one alone")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default: %(default)s)")
    return parser.parse_args()


def _run(readers: Sequence[Reader], seed: int, cases: int, jobs: int) -> list[Result]:
    whole = sum(each.share for each in readers)
    results = {each.name: Result(each.name) for each in readers}
    chunks = []
    for each in readers:
        numbers = range(max(1, round(cases * each.share / whole)))
        chunks += [(each, seed, numbers[start : start + _CHUNK]) for start in range(0, len(numbers), _CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        for part in (
            pool.map(lambda chunk: run_reader(*chunk), chunks) if jobs > 1 else (run_reader(*c) for c in chunks)
        ):
            results[part.name].counts += part.counts
            results[part.name].failed += part.failed
    return list(results.values())


def _repeat(reader: Reader, seed: int, number: int) -> int:
    root = Path(tempfile.mkdtemp(prefix="fuzz-case-"))
    place = Workplace(reader, root)
    outcome = place.run(seed, number)
    print(f"{outcome.kind}\n{outcome.detail}\nThe directory as it was read and left: {place.directory}")
    return int(outcome.kind not in ("refused", "as before", "otherwise"))


if __name__ == "__main__":
    sys.exit(main())
