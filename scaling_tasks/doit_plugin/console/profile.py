"""The profile of a run: what each worker did when, as a Chrome trace, which Perfetto and browsers open."""

from __future__ import annotations

import contextlib
import heapq
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scaling_tasks.doit_plugin.console.run_outcomes import RunOutcomes, told_by
from scaling_tasks.files import publish
from scaling_tasks.known_digests import STATE

__all__ = ["PROFILES", "trace", "write_profile"]

PROFILES = STATE / "profiles"
_KEPT = 5
_HERE, _ELSEWHERE = 1, 2

Piece = tuple[int, int, str, dict[str, Any]]
"""Beginning and end in microseconds since the run's first task began, name, and what else is to be told."""


def write_profile(run: RunOutcomes) -> Path | None:
    """Write the profile of a run that did something; the last five are kept.

    Raises:
        OSError: It cannot be written.
    """
    if not run.spans:
        return None
    path = PROFILES / time.strftime("profile-%Y%m%d-%H%M%S.json", time.gmtime())
    with publish(path, below=STATE, derived=True) as temporary:
        temporary.write_text(json.dumps({"traceEvents": list(trace(run)), "displayTimeUnit": "ms"}), encoding="utf-8")
    for old in sorted(PROFILES.glob("profile-*.json"))[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def trace(run: RunOutcomes) -> Iterator[dict[str, Any]]:
    """Yield the events: a track for each of the tasks that ran at once, and one for each worker elsewhere."""
    spans = list(run.spans)
    first = min((begun for _, begun, _ in spans), default=0.0)
    first_date = time.time() - time.monotonic() + first
    tasks: list[Piece] = []
    elsewhere: dict[str, list[Piece]] = {}
    for name, begun, seconds in spans:
        start, end = round((begun - first) * 1e6), round((begun + seconds - first) * 1e6)
        tasks.append((start, end, name, {"outcome": run.outcomes.get(name, "")}))
        for worker, what, date, lasted in _told_pieces(run.tasks[name]):
            # Clocks are set while tasks run, what a worker had done before is told too, and so is, of a task that
            # failed, what its last success told: what is drawn is what of all that lies within the task.
            inside = max(start, round((date - first_date) * 1e6)), min(end, round((date + lasted - first_date) * 1e6))
            if inside[0] < inside[1]:
                elsewhere.setdefault(worker, []).append((*inside, what, {"task": name}))
    yield from _process(_HERE, "this machine", {"tasks": tasks})
    if elsewhere:
        yield from _process(_ELSEWHERE, "workers", elsewhere)


def _told_pieces(task: Any) -> Iterator[tuple[str, str, float, float]]:
    values = told_by(task)
    yield from values.get("pieces", ())
    yield from ((values["worker"], *span) for span in values.get("spans", ()) if "worker" in values)


def _process(number: int, name: str, tracks: dict[str, list[Piece]]) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": number, "tid": 0, "name": "process_name", "args": {"name": name}}
    thread = 0
    for track in sorted(tracks):
        for lane, pieces in enumerate(_lanes(tracks[track])):
            thread += 1
            told = {"name": f"{track} {lane + 1}" if number == _HERE or lane else track}
            yield {"ph": "M", "pid": number, "tid": thread, "name": "thread_name", "args": told}
            for begun, ended, what, more in pieces:
                times = {"ts": begun, "dur": ended - begun}
                yield {"ph": "X", "pid": number, "tid": thread, "name": what, "cat": "work", **times, "args": more}


def _lanes(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """Return the pieces in as few lanes as they need not to lie over one another."""
    lanes: list[list[Piece]] = []
    free: list[tuple[int, int]] = []
    for piece in sorted(pieces, key=lambda each: each[:3]):
        if free and free[0][0] <= piece[0]:
            lane = heapq.heappop(free)[1]
        else:
            lane = len(lanes)
            lanes.append([])
        lanes[lane].append(piece)
        heapq.heappush(free, (piece[1], lane))
    return lanes
