"""The worker process: ``python -m scaling_tasks.compilers.worker <job.json>`` compiles one unit and checks it.

It is two processes. The outer one only waits, so that it always answers: it watches the memory of the tree and kills
everything when it is told to stop or when the process that started it dies. The inner one runs the compiler, which
may abort, hang or leak without harm to anyone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from scaling_tasks.compilers.contract import Artefact
from scaling_tasks.compilers.jobfile import JobFile, Outcome, read_job, write_outcome
from scaling_tasks.compilers.processes import descendants, die_with_parent, resident_bytes
from scaling_tasks.errors import CompileError, ScalingTasksError

__all__ = ["PARENT_VARIABLE", "main"]

PARENT_VARIABLE = "SCALING_TASKS_PARENT"

_WATCH_SECONDS = 0.1
_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run the job in the file named by the one argument; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m scaling_tasks.compilers.worker JOB.json, as written beside a unit's log\n")
        return 2
    try:
        spec = read_job(Path(arguments[0]))
    except ScalingTasksError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    parent = os.environ.pop(PARENT_VARIABLE, "")
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOP, signal.SIGCHLD))
    if parent:
        die_with_parent(signal.SIGTERM, int(parent))
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent(signal.SIGKILL, supervisor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_STOP, signal.SIGCHLD))
        os._exit(_compile(spec))
    return _supervise(child, spec)


def _supervise(child: int, spec: JobFile) -> int:
    """Wait for the inner process and return its exit status, as a shell would number it."""
    while True:
        received = signal.sigtimedwait((*_STOP, signal.SIGCHLD), _WATCH_SECONDS)
        if received is not None and received.si_signo in _STOP:
            _kill_all(child)
            return 128 + received.si_signo
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if spec.memory is not None and resident_bytes(child) > spec.memory:
            _kill_all(child)
            limit = f"needed more than the memory limit of {spec.memory / 2**20:.0f} MiB"
            write_outcome(spec.outcome, Outcome(error=(limit, "", "Raise `compile.memory`.")))
            return 1


def _kill_all(child: int) -> None:
    """Kill the inner process and whatever it started."""
    for pid in (*descendants(child), child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _compile(spec: JobFile) -> int:
    """Compile and check in this process; return 0 when the artefact is acceptable."""
    faulthandler.enable()
    with contextlib.suppress(OSError):
        # When memory runs out, the kernel should take the compiler rather than the build.
        Path("/proc/self/oom_score_adj").write_text("500")
    try:
        outcome = Outcome(files=_accepted(spec).files)
    except ScalingTasksError as error:
        outcome = Outcome(error=(error.what, error.where, error.fix))
    except MemoryError:
        outcome = Outcome(error=("ran out of memory", "", ""))
    except OSError as error:
        traceback.print_exc()
        outcome = Outcome(error=(f"{error.strerror or error}", str(error.filename or spec.workdir), ""))
    except BaseException as error:
        traceback.print_exc()
        outcome = Outcome(error=(f"{type(error).__name__}: {error}".splitlines()[0], "", ""))
    if outcome.error:
        sys.stderr.write(f"error: {CompileError(outcome.error[0], where=outcome.error[1], fix=outcome.error[2])}\n")
    write_outcome(spec.outcome, outcome)
    sys.stdout.flush()
    sys.stderr.flush()
    return 1 if outcome.error else 0


def _accepted(spec: JobFile) -> Artefact:
    """Return the artefact after the backend has made it and loaded it."""
    from scaling_tasks.compilers.registry import get_backend

    backend = get_backend(str(spec.job.options["backend"]))
    spec.workdir.mkdir(parents=True, exist_ok=True)
    artefact = backend.compile(spec.job, spec.workdir)
    for file in artefact.files:
        if not file.is_file() or file.stat().st_size == 0:
            raise CompileError("the compiler ended without error but wrote no such file", where=str(file))
        file.chmod(0o644)  # MindSpore Lite leaves 0400, which nothing could replace later.
    backend.accept(artefact, spec.job.options)
    return artefact


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
