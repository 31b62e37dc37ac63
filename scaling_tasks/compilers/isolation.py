"""Running a compile in its own process group, with limits, and accepting its result only when all is well."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.compilers.contract import Artefact, CompileJob
from scaling_tasks.compilers.environment import THREADS_VARIABLE, thread_environment
from scaling_tasks.compilers.jobfile import JobFile, Outcome, read_outcome, write_job
from scaling_tasks.compilers.processes import kill_tree, wait_exit
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.compilers.worker import PARENT_VARIABLE
from scaling_tasks.errors import CompileError

__all__ = ["CompileResult", "run_job"]

_ERROR_WORDS = re.compile(r"error|exception|fail|fatal|abort|assert|cannot|denied|killed|terminated", re.IGNORECASE)

_FULL_BYTES = 64 << 10

# What Python's fault handler adds below the compiler's own last words.
_FAULT_REPORT = "Fatal Python error: "


@dataclass(frozen=True)
class CompileResult:
    """What an accepted compile gave.

    Attributes:
        artefact: Its files, below the work directory.
        seconds: Wall-clock time of the worker process.
        peak_memory_bytes: Largest resident size of any process of the compile.
    """

    artefact: Artefact
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class _Exit:
    """How the worker ended; ``status`` is None where it was stopped for taking too long."""

    status: int | None
    seconds: float
    peak_memory_bytes: int


def run_job(
    job: CompileJob,
    workdir: Path,
    *,
    log: Path,
    timeout: float,
    memory: int | None = None,
    threads: int | None = None,
) -> CompileResult:
    """Compile in a worker process and accept the result.

    Accepted is a result whose worker ended with status 0, whose log holds no error by the backend's rule, whose files
    exist, and which loads (in the worker). Everything the compiler prints goes to ``log``; the job is kept beside it.

    Args:
        job: What to compile.
        workdir: Where the artefact is written; should be new and empty.
        log: The log file, replaced.
        timeout: Longest time in seconds.
        memory: Largest resident size of the process tree in bytes.
        threads: How many threads the compiler may use; as many as it likes where None.

    Raises:
        CompileError: With the last error line, the log's path and the command that runs the job alone.
    """
    backend = get_backend(str(job.options["backend"]))
    job_file, outcome_file = log.with_suffix(".job.json"), log.with_suffix(".outcome.json")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        outcome_file.unlink(missing_ok=True)
        write_job(job_file, JobFile(job, workdir, outcome_file, memory))
        ended = _run(job_file, log, timeout, threads)
        outcome = read_outcome(outcome_file)
        outcome_file.unlink(missing_ok=True)
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as cause:
        raise CompileError(
            f"the log cannot be written ({cause.strerror})", where=str(cause.filename or log), fix="Mend the disk."
        ) from cause
    problem = _problem(ended, outcome, backend.errors_in_log(text), text, timeout)
    if problem or outcome is None:
        what, where, fix = problem or ("the worker process ended without a result", "", "")
        # Compilers that meet a full disk speak of streams, or of nothing at all.
        what = f"the disk of {full} is full ({what})" if (full := _full_disk(workdir, log.parent)) else what
        rerun = f"Log: {log}. Run it alone: {_command_line(job_file, threads)}"
        where = f"{job.unit.stem}: {where}" if where else job.unit.stem
        raise CompileError(what, where=where, fix=f"{fix} {rerun}".strip())
    return CompileResult(Artefact(outcome.files), ended.seconds, ended.peak_memory_bytes)


def _run(job_file: Path, log: Path, timeout: float, threads: int | None) -> _Exit:
    """Start the worker in a session of its own and wait; leave nothing of it behind, however this ends."""
    # The hash seed is fixed so that compilers written in Python give the same bytes every time.
    environment = os.environ | thread_environment(threads) | {PARENT_VARIABLE: str(os.getpid()), "PYTHONHASHSEED": "0"}
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(job_file),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    in_time = False
    try:
        in_time = wait_exit(process.pid, timeout)
    finally:
        kill_tree(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    return _Exit(process.returncode if in_time else None, seconds, usage.ru_maxrss * 1024)


def _problem(
    ended: _Exit, outcome: Outcome | None, log_errors: tuple[str, ...], log: str, timeout: float
) -> tuple[str, str, str] | None:
    """Return what, where and fix of the first thing that is not well."""
    if ended.status is None:
        said = _last_words(log, log_errors)
        return (f"took longer than {timeout:g} s{said}", "", "Raise `compile.timeout` if it may.")
    if outcome is not None and outcome.error:
        return outcome.error
    if ended.status != 0:
        return (f"the compiler {_status_text(ended.status)}{_last_words(log, log_errors)}", "", "")
    if log_errors:
        return (f"the compiler claimed success but reported {log_errors[0].strip()!r}", "", "")
    return None


def _status_text(status: int) -> str:
    number = -status if status < 0 else status - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with status {status}"
    return f"was killed by {name}"


def _last_words(log: str, log_errors: tuple[str, ...]) -> str:
    """Return the last error line by the backend's rule, else the last that speaks of an error, else the last."""
    if log_errors:
        return f": {log_errors[-1].strip()[:500]}"
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
    return [sys.executable, "-m", "scaling_tasks.compilers.worker", str(job_file.resolve())]


def _command_line(job_file: Path, threads: int | None) -> str:
    """Return the shell command that runs the job alone."""
    limit = "" if threads is None else f"{THREADS_VARIABLE}={threads} "
    return limit + shlex.join(_command(job_file))
