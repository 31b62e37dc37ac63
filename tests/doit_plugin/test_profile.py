"""The profile of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scaling_tasks.doit_plugin.console.profile import PROFILES, trace, write_profile
from scaling_tasks.doit_plugin.console.run_outcomes import RunOutcomes


def run_of(spans: list[tuple[str, float, float]], values: dict[str, Any] | None = None) -> RunOutcomes:
    now = time.monotonic()
    run = RunOutcomes(tasks={name: SimpleNamespace(values=(values or {}).get(name, {})) for name, _, _ in spans})
    run.spans = [(name, now + begun, seconds) for name, begun, seconds in spans]
    run.outcomes = {name: "done" for name, _, _ in spans}
    return run


def test_tasks_that_ran_at_once_have_tracks_of_their_own() -> None:
    events = [each for each in trace(run_of([("a", 0, 2), ("b", 1, 2), ("c", 2, 1)])) if each["ph"] == "X"]
    tracks = {each["name"]: each["tid"] for each in events}
    assert tracks["a"] != tracks["b"]
    assert tracks["a"] == tracks["c"]
    (a,) = [each for each in events if each["name"] == "a"]
    assert (a["ts"], a["dur"], a["args"]) == (0, 2_000_000, {"outcome": "done"})


def test_workers_have_tracks_of_their_own() -> None:
    spans = [["inputs", time.time(), 0.5], ["compile of a", time.time() + 0.5, 1.0]]
    events = list(trace(run_of([("a", 0, 2)], {"a": {"worker": "far", "spans": spans}})))
    (track,) = [each for each in events if each["args"] == {"name": "far"}]
    names = [each["name"] for each in events if each["ph"] == "X" and each["pid"] == track["pid"]]
    assert names == ["inputs", "compile of a"]


def test_the_last_five_are_kept_and_nothing_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PROFILES.mkdir(parents=True)
    for number in range(7):
        (PROFILES / f"profile-2000010{number}-000000.json").write_text("{}")
    assert write_profile(RunOutcomes()) is None
    written = write_profile(run_of([("a", 0, 1)]))
    assert written is not None
    assert json.loads(written.read_text())["traceEvents"]
    kept = sorted(path.name for path in PROFILES.iterdir())
    assert kept == [*(f"profile-2000010{number}-000000.json" for number in range(3, 7)), written.name]
