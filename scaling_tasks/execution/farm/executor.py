"""The executor that has work done at the workers of a Dask scheduler.

The engine may lose work and find it again: that is tried elsewhere, some times. What the work itself says is final.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.errors import ExecutorError, NobodyFitsError, one_line
from scaling_tasks.execution.contract import Done, Limits, Origin, Subject, Work
from scaling_tasks.execution.farm.connection import Connection, Fault, connection, leaving, shown
from scaling_tasks.execution.farm.order import Answer, Blob, Order, Outcome, package_identity
from scaling_tasks.execution.farm.worker import Doing, refusal
from scaling_tasks.execution.file_locks import tell
from scaling_tasks.execution.jobfile import JobFile, write_job
from scaling_tasks.execution.local import LocalExecutor, failure, outcome_file

__all__ = ["FarmExecutor"]

_LONGEST_PAUSE_SECONDS = 60.0
_FAILURES = 2
_LOOK_SECONDS = 5.0
_ABSENT_SECONDS = 600.0
_GATHER_SECONDS = 0.5
# Within which those that wait for one scheduler find out that it is gone.
_ABOUT_SECONDS = 10.0
_telling = threading.Lock()
_told: dict[str, float] = {}


class _Refused(Exception):  # noqa: N818 - one worker's answer
    """A worker does not do it."""


class _NobodyFits(Exception):  # noqa: N818 - the workers' answer
    """No worker can do it."""


class FarmExecutor:
    """Has work done at the workers of a scheduler; what is bound to this machine is done here.

    Args:
        url: Where the scheduler listens, as Dask writes it: ``tcp://host:port``.
    """

    elsewhere = True

    def __init__(self, url: str) -> None:
        self._url = url

    def submit(self, work: Work, limits: Limits, subject: Subject, *, job_file: Path, log: Path) -> Done:
        """Have work done and wait for it.

        Raises:
            ScalingTasksError: ``subject.error`` where the work failed, see ``local.LocalExecutor``.
            NobodyFitsError: Of the workers that are there.
            ExecutorError: Nobody is there, or the engine lost the work too often.
        """
        if work.origin is None:
            return LocalExecutor().submit(work, limits, subject, job_file=job_file, log=log)
        # For whoever repeats it here.
        write_job(job_file, JobFile(msgspec.structs.replace(work, origin=None), outcome_file(job_file), limits.memory))
        try:
            outcome, ended = self._outcome(_order(work, work.origin, limits, subject), work, log)
        except _NobodyFits as why:
            if not work.origin.at_home:
                raise NobodyFitsError(
                    f"no worker can do it: {why}", where=subject.name, fix="Start one that can, or build locally."
                ) from why
            done = LocalExecutor().submit(work, limits, subject, job_file=job_file, log=log)
            return msgspec.structs.replace(
                done, warnings=(f"done on this machine, because no worker can do it: {why}",)
            )
        if outcome.problem:
            here = str(job_file.parent.resolve())
            what, where, fix = (text.replace(outcome.workdir, here) for text in outcome.problem)
            raise failure((what, where, fix), subject, limits, job_file=job_file, log=log, worker=outcome.worker)
        spans = [("inputs", ended - outcome.seconds - outcome.waited, outcome.waited)] if outcome.waited > 0 else []
        spans.append((work.origin.name, ended - outcome.seconds, outcome.seconds))
        return Done(outcome.values, outcome.seconds, outcome.peak_memory_bytes, outcome.worker, tuple(spans))

    def _outcome(self, order: Order, work: Work, log: Path) -> tuple[Outcome, float]:
        """Return what came of an order and when that was told, its files and log fetched."""
        faults: list[str] = []
        refusers: dict[str, str] = {}
        attempt = 0
        while True:
            line: Connection | None = None
            try:
                line = connection(self._url)
                return _once(line, order, work, log, attempt, refusers)
            except _Refused:
                attempt += 1
            except Fault as fault:
                faults.append(str(fault))
                if len(faults) > fault.tries:
                    raise ExecutorError(
                        f"given up after {len(faults)} {'try' if len(faults) == 1 else 'tries'}: {faults[-1]}",
                        where=f"{order.name} at {shown(self._url)}",
                        fix="Look at the scheduler and its workers.",
                    ) from fault
                pause = min(2.0 ** (len(faults) - 1), _LONGEST_PAUSE_SECONDS)
                _tell(order.name, fault, pause, f"in {pause:.0f} s ({len(faults)} of {fault.tries})")
                if isinstance(fault, _Lost):
                    order = replace(order, lost=(*order.lost, fault.address))
                    attempt += 1
                elif line is not None and fault.broken:
                    line.close()
                time.sleep(pause)


def _tell(name: str, fault: Fault, pause: float, when: str) -> None:
    """Say what is tried again; of a scheduler that is gone once, however much waits for it."""
    if leaving():
        return
    if not fault.broken:
        tell(f"{name}: {fault}; tried elsewhere {when}")
        return
    said = f"{fault}; tried again {when}"
    now = time.monotonic()
    with _telling:
        known = now < _told.get(said, 0.0)
        _told[said] = max(_told.get(said, 0.0), now + pause + _ABOUT_SECONDS)
    if not known:
        tell(f"{name} and what else waits there: {said}")


class _Lost(Fault):
    """A worker did the work and went before its files were fetched."""

    def __init__(self, what: str, address: str) -> None:
        super().__init__(what)
        self.address = address


def _order(work: Work, origin: Origin, limits: Limits, subject: Subject) -> Order:
    inputs = {name: Blob(digest, (work.inputs / name).stat().st_size) for name, digest in origin.inputs.items()}
    parameters = {name: value for name, value in work.parameters.items() if name not in origin.scratch}
    return Order(
        name=origin.name,
        key=origin.key,
        function=work.function,
        parameters=parameters,
        inputs=inputs,
        scratch=origin.scratch,
        tools=origin.tools,
        expected={kind: dict(each) for kind, each in origin.expected.items()},
        limits=limits,
        subject=subject,
        sender="",
        package=package_identity(),
    )


def _once(
    line: Connection, order: Order, work: Work, log: Path, attempt: int, refusers: dict[str, str]
) -> tuple[Outcome, float]:
    """Have an order done by one worker that can.

    Raises:
        Fault: The engine lost it.
        _Refused: The worker that got it cannot do it.
        _NobodyFits: None can.
    """
    order = replace(order, sender=line.sender)
    fitting = _fitting(line, order, refusers)
    with line.offered(order, work.inputs):
        future = line.client.submit(
            # The scheduler takes apart what it is given, and need not have this package or an outside backend's.
            pickle.loads,
            pickle.dumps(Doing(order)),
            # Dask does the same key once, whichever builds ask for it.
            key=f"{order.function.split(':')[0].rpartition('.')[2]}-{order.key}" + (f"-{attempt}" if attempt else ""),
            workers=fitting or None,
            resources=dict(order.limits.resources) or None,
            retries=0,
        )
        try:
            outcome = _result(line, future, order.name, fitting)
            ended = time.time()
            if outcome.refused:
                refusers[outcome.address] = outcome.refused
                raise _Refused
            _fetch(line, outcome, work, log)
        finally:
            future.release()
    return outcome, ended


def _result(line: Connection, future: Any, name: str, fitting: list[str]) -> Outcome:
    """Wait for an order.

    Args:
        line: Where it was given.
        future: What Dask calls it.
        name: Its name.
        fitting: Who alone may do it; whoever comes where this is empty.

    Raises:
        Fault: The engine lost it.
    """
    absent = 0.0
    try:
        while True:
            try:
                text = future.result(timeout=_LOOK_SECONDS)
            except (TimeoutError, asyncio.TimeoutError):
                if future.done():  # It is the worker's.
                    raise
                if line.closed:
                    raise Fault("the connection to the scheduler was lost", broken=True) from None
                present = set(line.client.nthreads())
                if fitting and not present.intersection(fitting):
                    raise Fault("the workers that can do it are gone") from None
                if not present and not absent:
                    tell(f"{name}: there is no worker at {line.url}; waiting for one")
                absent = 0.0 if present else absent + _LOOK_SECONDS
                if absent > _ABSENT_SECONDS:
                    raise Fault(f"no worker came within {_ABSENT_SECONDS / 60:.0f} minutes", tries=0) from None
                continue
            return Outcome.from_json(text)
    except Fault:
        raise
    except Exception as cause:
        raise _fault(cause) from cause


def _fault(cause: Exception) -> Fault:
    kind = type(cause).__name__
    if kind == "KilledWorker":
        return Fault(f"every worker that began it died ({cause})", tries=0)
    if "Cancelled" in kind:
        return Fault("the connection to the scheduler was lost", broken=True)
    return Fault(f"the engine failed ({kind}: {one_line(cause)})", tries=_FAILURES)


def _fetch(line: Connection, outcome: Outcome, work: Work, log: Path) -> None:
    """Have the files of an outcome where the work would have left them.

    Raises:
        Fault: The worker that has them is gone.
    """
    targets = {work.outputs / name: blob for name, blob in outcome.files.items()}
    fetched = log.with_name(f"{log.name}.fetched")
    if outcome.log is not None:
        targets[fetched] = outcome.log
    try:
        line.files(outcome.address).fetch(targets)
        if outcome.log is not None:
            log.write_bytes(fetched.read_bytes())  # In place: it has another name already.
            fetched.unlink()
    except (Fault, ValueError) as cause:
        raise _Lost(f"{outcome.worker} went before what it made was fetched", outcome.address) from cause


def _fitting(line: Connection, order: Order, refusers: dict[str, str]) -> list[str]:
    """Return the addresses of the workers that can do an order; none where there is no worker yet.

    Raises:
        _NobodyFits: There are workers, and none can.
    """
    while True:
        answers = line.answers(order)
        reasons = {address: refusers.get(address) or _reason(order, answer) for address, answer in answers.items()}
        fitting = [address for address, reason in reasons.items() if not reason]
        if fitting or not answers:
            break
        if not line.young:
            raise _NobodyFits("; ".join(sorted(reasons.values())))
        time.sleep(_GATHER_SECONDS)
    # Without a restriction whoever comes later may do it, too.
    return [] if len(fitting) == len(answers) else fitting


def _reason(order: Order, answer: Answer | str) -> str:
    """Return why a worker cannot do an order, empty where it can."""
    if isinstance(answer, str):
        return answer
    if reason := refusal(order, answer.worker, answer.package, answer.tools):
        return reason
    memory = order.limits.memory
    if memory is not None and answer.memory is not None and memory > answer.memory:
        return f"{answer.worker} has {answer.memory / 2**20:.0f} MiB, not {memory / 2**20:.0f}"
    for name, amount in order.limits.resources.items():
        if answer.resources.get(name, 0) < amount:
            return f"{answer.worker} has {answer.resources.get(name, 0):g} {name}, not {amount:g}"
    return ""
