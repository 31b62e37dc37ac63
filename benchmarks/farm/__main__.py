"""How long ``doit list``, ``doit plan`` and a ``doit`` with nothing to do take in a repository of many targets.

Usage: python -m benchmarks.farm [--targets 200] [--buckets 50] [--directory DIR] [--skip-build]

Every target has a model of its own place and explicit buckets. The models are alike, so that the first target is
compiled and the others come from the store; what the commands do with them afterwards is the same as if each had been.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.farm.repository import write_repository

_BEFORE, _AFTER = ("list", "list --all", "plan"), ("list", "list --all", "plan", "locked", "run")


def main() -> None:
    """Write the repository, time the commands before and after it is built, remove it."""
    options = _options()
    root = Path(tempfile.mkdtemp(prefix="farm-", dir=options.directory))
    try:
        write_repository(root, options.targets, options.buckets)
        print(f"{options.targets} targets of {options.buckets} buckets\n")
        print(f"{'':24}{'seconds':>9}{'processor':>11}{'MB':>7}")
        for command in _BEFORE:
            _row(f"new: {command}", _timed(root, command))
        if not options.skip_build:
            _row("build", _timed(root, "run -n 2"))
            for command in _AFTER:
                _row(f"built: {command}", _timed(root, command))
    finally:
        shutil.rmtree(root)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--buckets", type=int, default=50)
    parser.add_argument("--directory", help="where to write it; the system's temporary directory by default")
    parser.add_argument("--skip-build", action="store_true", help="only what is done before anything is built")
    return parser.parse_args()


def _timed(root: Path, command: str) -> tuple[float, float, float]:
    """Return the seconds on the clock, the processor's seconds, and the most memory in MB of one command."""
    log = root / "log"
    began = time.monotonic()
    with log.open("wb") as output:
        arguments = [sys.executable, "-m", "doit", *command.split()]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen(arguments, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # A plan with something to do ends with 1.
    if process.returncode not in ((0, 1) if command.startswith("plan") else (0,)):
        raise SystemExit(f"doit {command} failed:\n{log.read_text()[-2000:]}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def _row(name: str, measured: tuple[float, float, float]) -> None:
    print(f"{name:24}{measured[0]:9.2f}{measured[1]:11.2f}{measured[2]:7.0f}", flush=True)


if __name__ == "__main__":
    main()
