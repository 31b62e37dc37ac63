"""What a Dask worker does for builds: orders, files in, files out, and telling what it has.

Every function here is called by its name, so that a plain ``dask worker`` with this package installed is enough.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.execution.contract import Limits, Origin, Work
from scaling_tasks.execution.farm.depot import Depot, open_depot
from scaling_tasks.execution.farm.order import TOPIC, Answer, Blob, Order, Outcome, package_identity
from scaling_tasks.execution.local import attempt
from scaling_tasks.execution.worker import tools_here
from scaling_tasks.names import InnerName, inner_name

__all__ = ["Doing", "answer", "do", "give", "receive", "refusal"]

_ASK_AGAIN_SECONDS = 5.0
# A worker that retires in order finishes its work first, and is not among them.
_ENDING = ("closing", "closed", "failed", "stopped")


class Stopped(Exception):  # noqa: N818 - nobody wants the result any more
    """The work was given up; Dask throws away what a released task does."""


async def answer(tools: str, parameters: Mapping[str, Any], dask_worker: Any = None) -> Answer:
    """Tell what this worker has."""
    found = await asyncio.to_thread(tools_here, tools, Path(), parameters)
    package = await asyncio.to_thread(package_identity)
    memory = dask_worker.memory_manager.memory_limit
    return Answer(str(dask_worker.name), package, found, memory, dict(dask_worker.state.total_resources))


async def receive(sender: str, parts: Sequence[tuple[Blob, int, bytes]]) -> None:
    """Take parts of files, see ``Depot.receive``."""
    for part in parts:
        await asyncio.to_thread(open_depot().receive, sender, *part)


async def give(parts: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """Return parts of files: each by its digest, where it begins and how long it is."""
    return [await asyncio.to_thread(open_depot().read, *part) for part in parts]


@dataclass(frozen=True)
class Doing:
    """An order that is done where it is unpickled, which gives what ``do`` returns."""

    order: Order

    def __reduce__(self) -> tuple[Any, ...]:
        return (do, (self.order,))


def do(order: Order) -> str:
    """Do an order, unless it was done already, or is refused; return its ``Outcome`` as JSON.

    Raises:
        Stopped: Nobody wants the result any more.
    """
    from distributed import get_worker

    site = _Site(get_worker(), open_depot(), order)
    outcome = site.done_before() or site.refused() or site.work()
    if outcome.problem is None and not outcome.refused:
        site.tell_done(outcome)
    return outcome.to_json()


def refusal(order: Order, worker: str, package: str, tools: Mapping[str, Any]) -> str:
    """Return in one sentence why a worker with this package and these tools cannot do an order; empty where it can."""
    if package != order.package:
        return f"{worker} runs scaling-tasks {package}, not {order.package}"
    if "missing" in tools:
        return f"{worker} has no such tools: {tools['missing']}"
    for kind, expected in order.expected.items():
        found = tools.get(kind, {})
        names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        if names:
            here = ", ".join(f"{name} {found.get(name, 'absent')}" for name in names)
            wanted = ", ".join(f"{name} {expected.get(name, 'absent')}" for name in names)
            return f"{worker} has the {kind} {here}, not {wanted}"
    return ""


class _Site:
    """One order on one worker."""

    def __init__(self, worker: Any, depot: Depot, order: Order) -> None:
        self.worker, self.depot, self.order = worker, depot, order
        self.name = str(worker.name)
        self.task = worker.get_current_task()
        self.blank = Outcome(self.name, worker.address)

    def _scheduler(self, operation: str, **arguments: Any) -> Any:
        from distributed.utils import sync

        return sync(self.worker.loop, getattr(self.worker.scheduler, operation), **arguments)

    def done_before(self) -> Outcome | None:
        """Return what any worker has told of the same work since the scheduler was started."""
        text = self._scheduler("get_metadata", keys=[TOPIC, self.order.key], default=None)
        known = Outcome.from_json(text) if text else None
        if known is None or known.address in self.order.lost:
            return None
        self._note("found")
        return known

    def tell_done(self, outcome: Outcome) -> None:
        """Have every other worker know, before this build lets go of the task and another may order it anew."""
        self._scheduler("set_metadata", keys=[TOPIC, self.order.key], value=outcome.to_json())

    def refused(self) -> Outcome | None:
        """Return a refusal where this worker runs other code."""
        if package_identity() == self.order.package:
            return None
        return self._refuse({})

    def _refuse(self, tools: Mapping[str, Any]) -> Outcome:
        self._note("refused")
        return replace(self.blank, refused=refusal(self.order, self.name, package_identity(), tools))

    def work(self) -> Outcome:
        """Do it in a directory that holds exactly the inputs, in a process of its own."""
        began = time.monotonic()
        received = self._collect()
        waited = time.monotonic() - began
        self._note("began", received=received)
        self._tell("began")
        with self.depot.workdir(self.order.key) as workdir:
            outcome = self._attempt(workdir, waited)
        self.depot.trim()
        return outcome

    def _collect(self) -> int:
        """Wait until all inputs are here; return the bytes that came."""
        wanted = list(self.order.inputs.values())
        missing = self.depot.fetch(self.depot.missing(wanted))
        received = sum(blob.size for blob in missing)
        anyone, asked = False, 0.0
        while missing:
            if self.stopped():
                self._note("stopped")
                raise Stopped
            if time.monotonic() - asked > _ASK_AGAIN_SECONDS:
                self._tell("wants", blobs=[[blob.digest, blob.size] for blob in missing], anyone=anyone)
                anyone, asked = True, time.monotonic()
            self.depot.wait(0.2)
            still = self.depot.missing(missing)
            asked = time.monotonic() if len(still) < len(missing) else asked
            missing = still
        return received

    def _attempt(self, workdir: Path, waited: float) -> Outcome:
        order, log = self.order, workdir / "log"
        self.depot.fill(workdir / "inputs", order.inputs)
        places = {parameter: str(self.depot.scratch(name)) for parameter, name in order.scratch.items()}
        origin = Origin(order.name, order.key, {}, order.tools, order.expected)
        work = Work(order.function, workdir / "inputs", workdir / "outputs", {**order.parameters, **places}, origin)
        made = attempt(
            work,
            _own_limits(order.limits, self.worker),
            order.subject,
            job_file=workdir / "job.json",
            log=log,
            stopped=self.stopped,
        )
        if self.stopped():
            self._note("stopped")
            raise Stopped
        if made.other is not None:
            return self._refuse(made.other)
        files: dict[InnerName, Blob] = {}
        if made.problem is None:
            outputs = (path for path in sorted(work.outputs.rglob("*")) if path.is_file())
            files = {inner_name(path.relative_to(work.outputs).as_posix()): self.depot.keep(path) for path in outputs}
        self._note("failed" if made.problem else "done", seconds=round(made.seconds, 3))
        return replace(
            self.blank,
            values=made.values,
            files=files,
            log=self.depot.keep(log),
            problem=made.problem,
            workdir=str(workdir.resolve()),
            waited=waited,
            seconds=made.seconds,
            peak_memory_bytes=made.peak_memory_bytes,
        )

    def stopped(self) -> bool:
        """Return whether nobody will take the result: who wanted it is gone, or the scheduler, and with it the worker.

        Dask tells a running task nothing, and what it knows of one is no public interface: not known means go on.
        """
        try:
            task, status = self.worker.state.tasks.get(self.task), self.worker.status.name
        except AttributeError:
            return False
        return task is None or getattr(task, "state", "") == "cancelled" or status in _ENDING

    def _tell(self, what: str, **facts: Any) -> None:
        told = {"what": what, "key": self.order.key, "sender": self.order.sender, "name": self.name}
        self.worker.log_event(TOPIC, {**told, "address": self.worker.address, **facts})

    def _note(self, event: str, **facts: Any) -> None:
        self.depot.note(event=event, key=self.order.key, name=self.order.name, worker=self.name, **facts)


def _own_limits(limits: Limits, worker: Any) -> Limits:
    """Return the limits with this machine's share of its cores in place of another's."""
    if not limits.share:
        return limits
    return msgspec.structs.replace(limits, threads=max(1, (os.cpu_count() or 1) // max(1, worker.state.nthreads)))
