"""What a Dask farm costs and gives: the same build on this machine, at one worker and at two.

Usage: python -m benchmarks.executors [--repository .] [--jobs 2] [--rounds 1] [TASK …]

Every build starts with nothing: a copy of the repository's configurations, metrics, models and data sets, an empty
store, and workers with empty directories. Builds must give the same files; one that does not ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scaling_tasks.files import digest_file
from tests.execution.farm import Farm

_COPIED = ("configs", "examples", "models", "datasets", "dodo.py", "pyproject.toml", ".toolchains")


def main() -> None:
    """Build in each way and print a line for each."""
    options = _options()
    root = Path(tempfile.mkdtemp(prefix="executors-"))
    first: dict[str, str] | None = None
    print(f"{'':12}{'seconds':>9}{'units':>7}{'unit s':>9}{'received':>10}{'waited':>8}", flush=True)
    try:
        for number in range(options.rounds):
            for workers in options.workers:
                made, line = _build(root / f"{number}-{workers}", options, workers)
                print(line, flush=True)
                first = first or made
                if made != first:
                    raise SystemExit(f"{sorted(set(made.items()) ^ set(first.items()))[:4]} differ")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("all builds gave the same files")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path())
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="0 is this machine without a farm")
    parser.add_argument("tasks", nargs="*", help="what to build; everything by default")
    return parser.parse_args()


def _build(root: Path, options: argparse.Namespace, workers: int) -> tuple[dict[str, str], str]:
    """Return the digests of what was built, and a line on what it took."""
    repository = root / "repository"
    repository.mkdir(parents=True)
    for name in _COPIED:
        source = options.repository / name
        if source.exists():
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, repository / name)
    farm = Farm(root / "farm", directory=repository)
    try:
        if workers:
            farm.start_scheduler()
            for number in range(workers):
                farm.start_worker(f"worker-{number}")
            farm.await_workers(workers)
        seconds = _doit(repository, options, farm.url if workers else "local")
        done = farm.events("done")
        took = sum(each["seconds"] for each in done)
        received = sum(each.get("received", 0) for each in farm.journal())
    finally:
        farm.close()
    name = f"{workers} workers" if workers > 1 else "1 worker" if workers else "local"
    waited = _waited(repository)
    figures = f"{seconds:9.1f}{len(done):7}{took:9.1f}{received / 1e6:8.1f}MB{waited:8.1f}"
    return _digests(repository / "build"), f"{name:12}{figures}"


def _doit(repository: Path, options: argparse.Namespace, executor: str) -> float:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "doit", "-n", str(options.jobs), *options.tasks, f"executor={executor}"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the build failed:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return time.monotonic() - began


def _waited(repository: Path) -> float:
    """Return for how many seconds workers waited for inputs, by the build's own profile."""
    profiles = sorted((repository / ".scaling/profiles").glob("*.json"))
    events = json.loads(profiles[-1].read_text())["traceEvents"] if profiles else []
    return sum(event["dur"] for event in events if event.get("ph") == "X" and event["name"] == "inputs") / 1e6


def _digests(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): digest_file(path) for path in files}


if __name__ == "__main__":
    main()
