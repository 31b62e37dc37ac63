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

Piece = tuple[float, float, str, dict[str, Any]]
"""Beginning in seconds since 1970, seconds, name, and what else is to be told."""


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
    offset = time.time() - time.monotonic()
    tasks = [
        (offset + begun, seconds, name, {"outcome": run.outcomes.get(name, "")})
        for name, begun, seconds in list(run.spans)
    ]
    elsewhere: dict[str, list[Piece]] = {}
    for name, _, _ in run.spans:
        values = told_by(run.tasks[name])
        for what, begun, seconds in values.get("spans", ()):
            elsewhere.setdefault(values["worker"], []).append((begun, seconds, what, {"task": name}))
    first = min([piece[0] for piece in tasks], default=0.0)
    yield from _process(_HERE, "this machine", {"tasks": tasks}, first)
    if elsewhere:
        yield from _process(_ELSEWHERE, "workers", elsewhere, first)


def _process(number: int, name: str, tracks: dict[str, list[Piece]], first: float) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": number, "tid": 0, "name": "process_name", "args": {"name": name}}
    thread = 0
    for track in sorted(tracks):
        for lane, pieces in enumerate(_lanes(tracks[track])):
            thread += 1
            told = {"name": f"{track} {lane + 1}" if number == _HERE or lane else track}
            yield {"ph": "M", "pid": number, "tid": thread, "name": "thread_name", "args": told}
            for begun, seconds, what, more in pieces:
                times = {"ts": round((begun - first) * 1e6), "dur": round(seconds * 1e6)}
                yield {"ph": "X", "pid": number, "tid": thread, "name": what, "cat": "work", **times, "args": more}


def _lanes(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """Return the pieces in as few lanes as they need not to lie over one another."""
    lanes: list[list[Piece]] = []
    free: list[tuple[float, int]] = []
    for piece in sorted(pieces, key=lambda each: (each[0], each[2])):
        if free and free[0][0] <= piece[0] + 1e-6:
            lane = heapq.heappop(free)[1]
        else:
            lane = len(lanes)
            lanes.append([])
        lanes[lane].append(piece)
        heapq.heappush(free, (piece[0] + piece[1], lane))
    return lanes
