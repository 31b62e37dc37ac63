"""The executor on this machine: a process group of its own, limits, and a result only when all is well."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.execution.contract import Done, Limits, Subject, Work
from scaling_tasks.execution.environment import SAME_EVERYWHERE, reader_environment, worker_environment
from scaling_tasks.execution.jobfile import JobFile, Outcome, read_outcome, write_job
from scaling_tasks.execution.process_trees import kill_tree, status_text, wait_exit
from scaling_tasks.execution.threads import thread_environment
from scaling_tasks.execution.worker import PARENT_VARIABLE

__all__ = ["DIRECTORY_VARIABLE", "Attempt", "LocalExecutor", "attempt", "failure", "outcome_file"]

DIRECTORY_VARIABLE = "SCALING_TASKS_DIRECTORY"
"""Tells a worker where its build runs: toolchains that a repository brings lie there."""

_ERROR_WORDS = re.compile(r"error|exception|fail|fatal|abort|assert|cannot|denied|killed|terminated", re.IGNORECASE)

_FULL_BYTES = 64 << 10
_ASK_SECONDS = 0.25

# What Python's fault handler adds below the tool's own last words.
_FAULT_REPORT = "Fatal Python error: "


@dataclass(frozen=True)
class _Exit:
    """How the worker ended; ``status`` is None where it was stopped for taking too long."""

    status: int | None
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Attempt:
    """What came of work, well or not.

    Attributes:
        values: What the function returned.
        seconds: Wall-clock time.
        peak_memory_bytes: Largest resident size of any of its processes.
        problem: What, where and fix of the first thing that is not well, None where all is.
        other: The tools that were found in place of those that were expected; nothing was done then.
    """

    values: Mapping[str, Any]
    seconds: float
    peak_memory_bytes: int
    problem: tuple[str, str, str] | None = None
    other: Mapping[str, Any] | None = None


class LocalExecutor:
    """Does work in worker processes on this machine."""

    elsewhere = False

    def submit(self, work: Work, limits: Limits, subject: Subject, *, job_file: Path, log: Path) -> Done:
        """Have work done in a worker process and accept the result.

        Accepted is a result whose worker ended with status 0 and whose log holds no error by the subject's rule.

        Raises:
            ScalingTasksError: ``subject.error``, with the last error line, the log and the command that repeats it.
        """
        # The tools of this machine are those that the action was made with.
        made = attempt(msgspec.structs.replace(work, origin=None), limits, subject, job_file=job_file, log=log)
        if made.problem:
            raise failure(made.problem, subject, limits, job_file=job_file, log=log)
        return Done(made.values, made.seconds, made.peak_memory_bytes)


def attempt(
    work: Work,
    limits: Limits,
    subject: Subject,
    *,
    job_file: Path,
    log: Path,
    stopped: Callable[[], bool] | None = None,
) -> Attempt:
    """Do work in a worker process and tell what came of it.

    Args:
        work: What to do.
        limits: What it may use.
        subject: By whose rule the log is read.
        job_file: Where the job is kept.
        log: Where everything goes that is printed; replaced.
        stopped: Asked several times a second whether nobody wants the result any more; the work is killed then.

    Raises:
        ScalingTasksError: ``subject.error``: the job or the log cannot be written.
    """
    try:
        for directory in {log.parent, job_file.parent}:
            directory.mkdir(parents=True, exist_ok=True)
        outcome_file(job_file).unlink(missing_ok=True)
        write_job(job_file, JobFile(work, outcome_file(job_file), limits.memory))
        ended = _run(job_file, log, limits, stopped)
        outcome = read_outcome(outcome_file(job_file))
        outcome_file(job_file).unlink(missing_ok=True)
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as cause:
        raise subject.error(
            f"the log cannot be written ({cause.strerror})", where=str(cause.filename or log), fix="Mend the disk."
        ) from cause
    problem = _problem(ended, outcome, subject, text, limits.timeout)
    if outcome is None and not problem:
        problem = ("the worker process ended without a result", "", "")
    if problem and (full := _full_disk(work.outputs, log.parent)):
        # Tools that meet a full disk speak of streams, or of nothing at all.
        problem = (f"the disk of {full} is full ({problem[0]})", *problem[1:])
    values, other = (outcome.values, outcome.other) if outcome else ({}, None)
    return Attempt(values, ended.seconds, ended.peak_memory_bytes, problem, other)


def outcome_file(job_file: Path) -> Path:
    """Return where the worker process of a job writes what came of it."""
    return job_file.with_name(job_file.name.removesuffix(".json") + ".outcome")


def failure(
    problem: tuple[str, str, str], subject: Subject, limits: Limits, *, job_file: Path, log: Path, worker: str = ""
) -> ScalingTasksError:
    """Return the error that tells of a problem, with the log and the command that repeats the job here."""
    what, where, fix = problem
    name = f"{subject.name} (on {worker})" if worker else subject.name
    command = _command_line(job_file, thread_environment(limits.threads))
    where = f"{name}: {where}" if where else name
    return subject.error(what, where=where, fix=f"{fix} Log: {log}. Run it alone: {command}".strip())


def _run(job_file: Path, log: Path, limits: Limits, stopped: Callable[[], bool] | None) -> _Exit:
    """Start the worker in a session of its own and wait; leave nothing of it behind, however this ends."""
    seen = reader_environment(os.environ) if limits.credentials else worker_environment(os.environ)
    own = {**SAME_EVERYWHERE, PARENT_VARIABLE: str(os.getpid()), DIRECTORY_VARIABLE: str(Path.cwd())}
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
            env={**seen, **thread_environment(limits.threads), **own},
        )
    in_time = False
    try:
        in_time = _wait(process.pid, limits.timeout, stopped)
    finally:
        kill_tree(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    return _Exit(process.returncode if in_time else None, seconds, usage.ru_maxrss * 1024)


def _wait(pid: int, timeout: float, stopped: Callable[[], bool] | None) -> bool:
    """Return whether the process ended by itself in time."""
    if stopped is None:
        return wait_exit(pid, timeout)
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0 and not stopped():
        if wait_exit(pid, min(left, _ASK_SECONDS)):
            return True
    return False


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
        return (f"{subject.tool} {status_text(ended.status)}{_last_words(log, errors)}", "", "")
    if errors:
        return (f"{subject.tool} claimed success but reported {errors[0].strip()!r}", "", "")
    return None


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
