"""What cleaning costs: the cleaned model's time over the plain model's, both static, in one run.

    python -m benchmarks.cleaning [--models rec,det] [--engines openvino-f32,onnxruntime] [--rounds 4] [--exact]

Both models are compiled anew each round, because where a compiled model's buffers happen to lie makes a difference of a
few percent, and run in turn in short bursts, of which the best run counts. The figures are medians over the ratios of
bursts that follow one another: of processor time, which other load on the machine hardly disturbs, and of the clock.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.cleaning.measure import Ratios, compare
from benchmarks.cleaning.models import CASES, Pair, make_pair

BUILD = Path("build/benchmarks/cleaning")
ENGINES = ("openvino-f32", "openvino-bf16", "onnxruntime")


def main() -> None:
    """Run and print the table as Markdown; write it to ``build/benchmarks/cleaning/result.json``."""
    parser = argparse.ArgumentParser(description="Measure what cleaning padding costs.")
    parser.add_argument("--models", default="", help="comma-separated parts of the cases' names; all by default")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=4, help="compilations of each model")
    parser.add_argument("--bursts", type=int, default=12, help="pairs of bursts per round")
    parser.add_argument("--exact", action="store_true", help="requests as large as the bucket, where nothing is padded")
    options = parser.parse_args()
    parts = [part for part in options.models.split(",") if part]
    print("| case | engine | threads | places | MB passed | processor time | quartiles | clock | plain ms |")
    print("|---" * 9 + "|")
    result = []
    with tempfile.TemporaryDirectory() as directory:
        for case in (case for case in CASES if not parts or any(part in case.name for part in parts)):
            pair = make_pair(case, Path(directory), exact=options.exact)
            for engine in options.engines.split(","):
                for threads in map(int, options.threads.split(",")):
                    found = compare(pair, engine, threads, rounds=options.rounds, bursts=options.bursts)
                    print(_line(pair, engine, threads, found), flush=True)
                    result.append({"case": case.name, "engine": engine, "threads": threads, **found._asdict()})
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def _line(pair: Pair, engine: str, threads: int, found: Ratios) -> str:
    low, high = found.quartiles
    return (
        f"| {pair.name} | {engine} | {threads} | {pair.places} | {pair.megabytes:.1f} | × {found.processor:.3f} "
        f"| {low:.3f} … {high:.3f} | × {found.clock:.3f} | {found.milliseconds:.1f} |"
    )


if __name__ == "__main__":
    main()
