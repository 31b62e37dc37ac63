"""What Perfetto and browsers ask of a trace in Chrome's JSON format, as far as this package writes it.

By the document "Trace Event Format" and the notes on it in Perfetto's documentation of external formats: an object with
``traceEvents``; every event has ``ph``, ``pid`` and ``tid``; complete events (``X``) have a name, a beginning and a
duration in microseconds, and those of one thread lie within each other or apart, as slices of a track nest; metadata
(``M``) name processes and threads, each once.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import groupby
from typing import Any

_UNITS = ("ms", "ns")
_METADATA = {"process_name": "name", "process_labels": "labels", "process_sort_index": "sort_index"}
_METADATA |= {"thread_name": "name", "thread_sort_index": "sort_index"}


def faults(text: str) -> list[str]:
    """Return what is wrong with a trace."""
    whole = json.loads(text, parse_constant=lambda name: f"no JSON: {name}")
    found = [] if whole.get("displayTimeUnit", "ms") in _UNITS else ["displayTimeUnit"]
    events: list[dict[str, Any]] = whole["traceEvents"]
    for event in events:
        found += [f"{fault}: {event}" for fault in _of_event(event)]
    if found:
        return found
    slices = sorted((each for each in events if each["ph"] == "X"), key=_track)
    for track, own in groupby(slices, _track):
        found += [f"{fault} in {track}" for fault in _of_track(list(own))]
    named = Counter((each["name"], each["pid"], each["tid"]) for each in events if each["ph"] == "M")
    found += [f"named {count} times: {name}" for name, count in named.items() if count > 1]
    for pid, tid in {_track(each) for each in slices}:
        if ("thread_name", pid, tid) not in named:
            found.append(f"no name of thread {pid} {tid}")
        if not any(name == "process_name" and own == pid for name, own, _ in named):
            found.append(f"no name of process {pid}")
    return found


def _track(event: dict[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _of_event(event: dict[str, Any]) -> list[str]:
    found = [f"{key} is no whole number" for key in ("pid", "tid") if type(event.get(key)) is not int]
    if not isinstance(event.get("name"), str) or not event["name"]:
        found.append("it has no name")
    if not isinstance(event.get("args", {}), dict):
        found.append("args is no object")
    if event.get("ph") == "M":
        key = _METADATA.get(event.get("name", ""))
        return found if key and event.get("args", {}).get(key) not in (None, "") else [*found, "no such metadata"]
    if event.get("ph") != "X":
        return [*found, "no kind of event that is written here"]
    found += [f"{key} is no time" for key in ("ts", "dur") if not _is_time(event.get(key))]
    return found if isinstance(event.get("cat", ""), str) else [*found, "cat is no text"]


def _of_track(slices: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    around: list[float] = []
    for each in sorted(slices, key=lambda each: (each["ts"], -each["dur"])):
        start, end = each["ts"], each["ts"] + each["dur"]
        while around and around[-1] <= start:
            around.pop()
        if around and end > around[-1]:
            found.append(f"{each['name']} begins at {start} within what ends at {around[-1]}, and ends at {end}")
        around.append(end)
    return found
