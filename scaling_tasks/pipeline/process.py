"""Running a stage's work in a process of its own.

An engine may abort just as a compiler may; it must not take the build with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from scaling_tasks.compilers.environment import thread_environment
from scaling_tasks.config.environment import knobs
from scaling_tasks.config.load import parse_target, section
from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import ScalingTasksError, VerificationFailed
from scaling_tasks.execution.processes import die_with_parent, kill_tree, wait_exit
from scaling_tasks.pipeline.target import STATE, Target

__all__ = ["work_apart"]


def work_apart(stage: str, target: Target, unit: str | None = None) -> str:
    """Return what ``pipeline.<stage>.work(target, unit)`` returns when called in a new process.

    Raises:
        VerificationFailed: The work raised a ``ScalingTasksError``, or the process did not survive it.
    """
    parent = STATE / "work"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{stage}-{target.name}-") as directory:
        place = Path(directory)
        status, output = _run(stage, target, unit, place)
        told, result = place / "error.json", place / "result.txt"
        if told.exists():
            what, where, fix = json.loads(told.read_text())
            raise VerificationFailed(what, where=where, fix=fix)
        if status != 0 or not result.exists():
            last = (output.strip().splitlines() or ["it said nothing"])[-1]
            where = f"{target.name}:{unit}" if unit else target.name
            raise VerificationFailed(f"the engine ended with status {status}: {last}", where=where)
        return result.read_text()


def _run(stage: str, target: Target, unit: str | None, place: Path) -> tuple[int, str]:
    """Return the process's exit status and everything it printed."""
    job = {"stage": stage, "target": section(target.spec), "unit": unit, "parent": os.getpid()}
    (place / "job.json").write_text(canonical_json(job))
    printed = place / "output.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(place / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # What is timed gets the machine that it will have; everything else its share.
            env={**os.environ, **thread_environment(None if stage == "measure" else knobs().threads)},
        )
    in_time = False
    limit = float(target.options["timeout"])
    try:
        in_time = wait_exit(process.pid, limit)
    finally:
        kill_tree(process.pid)
        status = process.wait()
    return status, printed.read_text(errors="replace") if in_time else f"it took longer than {limit:g} s"


def _main(job_file: Path) -> None:
    job = json.loads(job_file.read_text())
    die_with_parent(signal.SIGKILL, job["parent"])
    module = import_module(f"scaling_tasks.pipeline.{job['stage']}")
    try:
        text = module.work(Target(parse_target(job["target"])), job["unit"])
    except ScalingTasksError as error:
        (job_file.parent / "error.json").write_text(canonical_json([error.what, error.where, error.fix]))
    else:
        (job_file.parent / "result.txt").write_text(text)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
