"""The executor on this machine: a process group of its own, limits, and a result only when all is well."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.execution.contract import Done, Limits, Subject, Work
from scaling_tasks.execution.environment import worker_environment
from scaling_tasks.execution.jobfile import JobFile, Outcome, read_outcome, write_job
from scaling_tasks.execution.process_trees import kill_tree, wait_exit
from scaling_tasks.execution.worker import PARENT_VARIABLE

__all__ = ["DIRECTORY_VARIABLE", "LocalExecutor"]

DIRECTORY_VARIABLE = "SCALING_TASKS_DIRECTORY"
"""Tells a worker where its build runs: toolchains that a repository brings lie there."""

_ERROR_WORDS = re.compile(r"error|exception|fail|fatal|abort|assert|cannot|denied|killed|terminated", re.IGNORECASE)

_FULL_BYTES = 64 << 10

# What Python's fault handler adds below the tool's own last words.
_FAULT_REPORT = "Fatal Python error: "


@dataclass(frozen=True)
class _Exit:
    """How the worker ended; ``status`` is None where it was stopped for taking too long."""

    status: int | None
    seconds: float
    peak_memory_bytes: int


class LocalExecutor:
    """Does work in worker processes on this machine."""

    def submit(self, work: Work, limits: Limits, subject: Subject, *, job_file: Path, log: Path) -> Done:
        """Have work done in a worker process and accept the result.

        Accepted is a result whose worker ended with status 0 and whose log holds no error by the subject's rule.

        Raises:
            ScalingTasksError: ``subject.error``, with the last error line, the log and the command that repeats it.
        """
        outcome_file = job_file.with_name(job_file.name.removesuffix(".json") + ".outcome")
        try:
            for directory in {log.parent, job_file.parent}:
                directory.mkdir(parents=True, exist_ok=True)
            outcome_file.unlink(missing_ok=True)
            write_job(job_file, JobFile(work, outcome_file, limits.memory))
            ended = _run(job_file, log, limits)
            outcome = read_outcome(outcome_file)
            outcome_file.unlink(missing_ok=True)
            text = log.read_text(encoding="utf-8", errors="replace")
        except OSError as cause:
            raise subject.error(
                f"the log cannot be written ({cause.strerror})", where=str(cause.filename or log), fix="Mend the disk."
            ) from cause
        problem = _problem(ended, outcome, subject, text, limits.timeout)
        if problem or outcome is None:
            problem = problem or ("the worker process ended without a result", "", "")
            raise _failure(problem, subject, work, log, _command_line(job_file, limits.environment))
        return Done(outcome.values, ended.seconds, ended.peak_memory_bytes)


def _run(job_file: Path, log: Path, limits: Limits) -> _Exit:
    """Start the worker in a session of its own and wait; leave nothing of it behind, however this ends."""
    # The hash seed is fixed so that compilers written in Python give the same bytes every time.
    own = {PARENT_VARIABLE: str(os.getpid()), DIRECTORY_VARIABLE: str(Path.cwd()), "PYTHONHASHSEED": "0"}
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(job_file),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Not this process's directory: what the work is not given it shall not find.
            cwd=job_file.parent,
            env={**worker_environment(os.environ), **limits.environment, **own},
        )
    in_time = False
    try:
        in_time = wait_exit(process.pid, limits.timeout)
    finally:
        kill_tree(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    return _Exit(process.returncode if in_time else None, seconds, usage.ru_maxrss * 1024)


def _problem(
    ended: _Exit, outcome: Outcome | None, subject: Subject, log: str, timeout: float
) -> tuple[str, str, str] | None:
    """Return what, where and fix of the first thing that is not well."""
    errors = subject.errors_in_log(log)
    if ended.status is None:
        said = _last_words(log, errors)
        return (f"took longer than {timeout:g} s{said}", "", "Raise `compile.timeout` if it may.")
    if outcome is not None and outcome.error:
        return outcome.error
    if ended.status != 0:
        return (f"{subject.tool} {_status_text(ended.status)}{_last_words(log, errors)}", "", "")
    if errors:
        return (f"{subject.tool} claimed success but reported {errors[0].strip()!r}", "", "")
    return None


def _failure(problem: tuple[str, str, str], subject: Subject, work: Work, log: Path, command: str) -> ScalingTasksError:
    what, where, fix = problem
    # Tools that meet a full disk speak of streams, or of nothing at all.
    what = f"the disk of {full} is full ({what})" if (full := _full_disk(work.outputs, log.parent)) else what
    where = f"{subject.name}: {where}" if where else subject.name
    return subject.error(what, where=where, fix=f"{fix} Log: {log}. Run it alone: {command}".strip())


def _status_text(status: int) -> str:
    number = -status if status < 0 else status - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with status {status}"
    return f"was killed by {name}"


def _last_words(log: str, errors: tuple[str, ...]) -> str:
    """Return the last error line by the subject's rule, else the last that speaks of an error, else the last."""
    if errors:
        return f": {errors[-1].strip()[:500]}"
    said, _, _ = log.partition(_FAULT_REPORT)
    lines = [line.strip() for line in (said.strip() or log).splitlines() if line.strip()]
    telling = [line for line in lines if _ERROR_WORDS.search(line)]
    return f": {(telling or lines)[-1][:500]}" if lines else ""


def _full_disk(*directories: Path) -> Path | None:
    """Return the first directory whose disk has practically no space left."""
    for directory in directories:
        with contextlib.suppress(OSError):
            state = os.statvfs(directory)
            if state.f_bavail * state.f_frsize < _FULL_BYTES:
                return directory
    return None


def _command(job_file: Path) -> list[str]:
    return [sys.executable, "-m", "scaling_tasks.execution.worker", str(job_file.resolve())]


def _command_line(job_file: Path, environment: Mapping[str, str]) -> str:
    """Return the shell command that runs the job alone."""
    told = [f"{name}={shlex.quote(value)}" for name, value in environment.items() if name.startswith("SCALING_TASKS_")]
    return " ".join([*told, shlex.join(_command(job_file))])
