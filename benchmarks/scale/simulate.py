"""A build at a farm, event by event: a client and its link, which do one thing at a time, and workers."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass

__all__ = ["Costs", "Job", "Simulated", "simulate"]


@dataclass(frozen=True)
class Costs:
    """What was measured, in seconds and bytes.

    Attributes:
        start: Of a build, before its first unit and after its last.
        client: Of the client's one interpreter, for each unit: its key, its inputs, its record, its files.
        latency: Between a unit and its worker, besides: nobody is busy.
        process: Of a worker, to start a process for a unit.
        rate: Bytes a second between client and workers, through the scheduler.
        image: To read the header of an image that is not known.
        known: To find that an image is known.
    """

    start: float
    client: float
    latency: float
    process: float
    rate: float
    image: float
    known: float


@dataclass(frozen=True)
class Job:
    """One unit's compile, or its verification that follows.

    Attributes:
        seconds: Of the work itself.
        model: Bytes that a worker needs once.
        needs: Bytes that are this unit's own, which a worker needs unless it made them.
        gives: Bytes that come back.
        then: What follows.
    """

    seconds: float
    model: int
    needs: int
    gives: int
    then: Job | None = None


@dataclass(frozen=True)
class Simulated:
    """What came of it.

    Attributes:
        seconds: From beginning to end.
        client: Share of that time in which the client was busy.
        link: The same of its link.
        workers: The same of all workers together.
    """

    seconds: float
    client: float
    link: float
    workers: float

    @property
    def limit(self) -> str:
        """Who was busiest."""
        shares = {"client": self.client, "link": self.link, "workers": self.workers}
        return max(shares, key=lambda name: shares[name])


_STORE = -2
"""In place of a worker."""


class _Line:
    """What does one thing after another."""

    def __init__(self) -> None:
        self.free = self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


def simulate(costs: Costs, jobs: list[Job], workers: int, in_flight: int, *, hits: float = 0.0) -> Simulated:
    """Return how long a build takes.

    Args:
        costs: What was measured.
        jobs: The units.
        workers: How many, each doing one unit at a time.
        in_flight: How many units the client has on their way at once.
        hits: Share of the units that the store has: their files are fetched, and no worker sees them.
    """
    client, link = _Line(), _Line()
    number = itertools.count()
    events: list[tuple[float, int, str, Job, int]] = []
    waiting, free = deque(jobs), list(range(workers))
    queue: deque[Job] = deque()
    has_model: set[int] = set()
    busy, now, in_store = 0.0, costs.start, int(len(jobs) * hits)

    def at(time: float, what: str, job: Job, worker: int = -1) -> None:
        heapq.heappush(events, (time, next(number), what, job, worker))

    def admit(time: float) -> None:
        nonlocal in_store
        if waiting:
            job = waiting.popleft()
            if in_store > 0:
                in_store -= 1
                at(link.serve(client.serve(time, costs.client), job.gives / costs.rate), "fetched", job, _STORE)
            else:
                at(client.serve(time, costs.client / 2), "submitted", job)

    def assign(time: float) -> None:
        while queue and free:
            job, worker = queue.popleft(), free.pop(0)
            needed = 0 if worker in has_model else job.model
            # A lone worker made what it verifies; of many hardly one did.
            needed += job.needs if workers > 1 else 0
            has_model.add(worker)
            at(link.serve(time, needed / costs.rate) + costs.latency, "begins", job, worker)

    for _ in range(min(in_flight, len(jobs))):
        admit(now)
    while events:
        now, _, what, job, worker = heapq.heappop(events)
        if what == "submitted":
            queue.append(job)
            assign(now)
        elif what == "begins":
            busy += job.seconds + costs.process
            at(now + job.seconds + costs.process, "done", job, worker)
        elif what == "done":
            free.append(worker)
            assign(now)
            at(link.serve(now, job.gives / costs.rate), "fetched", job, worker)
        elif what == "fetched":
            ended = client.serve(now, 0.0 if worker == _STORE else costs.client / 2)
            if job.then is not None and worker == _STORE:
                served = client.serve(ended, costs.client)
                at(link.serve(served, job.then.gives / costs.rate), "fetched", job.then, _STORE)
            elif job.then is not None:
                at(client.serve(ended, costs.client / 2), "submitted", job.then)
            else:
                admit(ended)
            now = ended
    total = max(now, client.free, link.free)
    return Simulated(total, client.busy / total, link.busy / total, busy / (total * workers))
