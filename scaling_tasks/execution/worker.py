"""The worker process: ``python -m scaling_tasks.execution.worker <job.json>`` does one job.

It is two processes. The outer one only waits, so that it always answers: it watches the memory of the tree and kills
everything when it is told to stop or when the process that started it dies. The inner one runs compilers and engines,
which may abort, hang or leak without harm to anyone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.execution.jobfile import JobFile, Outcome, read_job, write_outcome
from scaling_tasks.execution.process_trees import descendants, die_with_parent, resident_bytes

__all__ = ["PARENT_VARIABLE", "main", "tools_here"]

PARENT_VARIABLE = "SCALING_TASKS_PARENT"

_WATCH_SECONDS = 0.1
_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run the job in the file named by the one argument; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m scaling_tasks.execution.worker JOB.json, as a failure names it\n")
        return 2
    try:
        job = read_job(Path(arguments[0]))
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
        os._exit(_work(job))
    return _supervise(child, job)


def _supervise(child: int, job: JobFile) -> int:
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
        if job.memory is not None and resident_bytes(child) > job.memory:
            _kill_all(child)
            limit = f"needed more than the memory limit of {job.memory / 2**20:.0f} MiB"
            write_outcome(job.outcome, Outcome(error=(limit, "", "Raise `compile.memory`.")))
            return 1


def _kill_all(child: int) -> None:
    """Kill the inner process and whatever it started."""
    for pid in (*descendants(child), child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _work(job: JobFile) -> int:
    """Do the work in this process; return 0 when it is done."""
    faulthandler.enable()
    with contextlib.suppress(OSError):
        # When memory runs out, the kernel should take the tool rather than the build.
        Path("/proc/self/oom_score_adj").write_text("500")
    try:
        other = _other_tools(job)
        outcome = Outcome(_values(job)) if other is None else Outcome(other=other)
    except ScalingTasksError as error:
        _explain(error)
        outcome = Outcome(error=(error.what, error.where, error.fix))
    except MemoryError:
        outcome = Outcome(error=("ran out of memory", "", ""))
    except OSError as error:
        traceback.print_exc()
        outcome = Outcome(error=(f"{error.strerror or error}", str(error.filename or job.work.outputs), ""))
    except BaseException as error:
        traceback.print_exc()
        outcome = Outcome(error=(f"{type(error).__name__}: {error}".splitlines()[0], "", ""))
    if outcome.error:
        what, where, fix = outcome.error
        sys.stderr.write(f"error: {ScalingTasksError(what, where=where, fix=fix)}\n")
    write_outcome(job.outcome, outcome)
    sys.stdout.flush()
    sys.stderr.flush()
    return 1 if outcome.error else 0


def _other_tools(job: JobFile) -> Mapping[str, Any] | None:
    """Return the tools that are found here where they are not those that the action names."""
    if job.tools is None:
        return None
    tell, expected = job.tools
    found = tools_here(tell, job.work.inputs, job.work.parameters)
    return None if found == expected else found


def tools_here(tell: str, inputs: Path, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tools that are found here, or under ``missing`` why there are none.

    Args:
        tell: ``module:function`` that tells them, see ``contract.Origin``.
        inputs: The directory of inputs, for files that options name.
        parameters: The work's parameters.
    """
    try:
        found: Mapping[str, Any] = _function(tell)(inputs, parameters)
    except ScalingTasksError as error:
        return {"missing": str(error)}
    except (ImportError, AttributeError) as error:
        return {"missing": f"{tell} is not installed ({error})"}
    return found


def _explain(error: BaseException) -> None:
    """Write all that a compiler or an engine has to say of an error, of which a message shows one line."""
    while (cause := error.__cause__) is not None:
        sys.stderr.write(f"{type(cause).__name__}: {cause}\n")
        error = cause


def _values(job: JobFile) -> dict[str, Any]:
    work = job.work
    work.outputs.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = _function(work.function)(work.inputs, work.outputs, work.parameters)
    return values


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
