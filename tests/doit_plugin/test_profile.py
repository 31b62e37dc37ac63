"""The profile of a run."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scaling_tasks.doit_plugin.console.profile import PROFILES, trace, write_profile
from scaling_tasks.doit_plugin.console.run_outcomes import RunOutcomes
from tests.doit_plugin.chrome_trace import faults


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


def written(run: RunOutcomes) -> str:
    return json.dumps({"traceEvents": list(trace(run)), "displayTimeUnit": "ms"})


@pytest.mark.parametrize("seed", range(20))
def test_it_is_a_trace_whatever_ran_beside_what(seed: int) -> None:
    dice = random.Random(seed)
    spans, values, at = [], {}, 0.0
    for number in range(200):
        # Ends and beginnings fall together, and within the same microsecond.
        at += dice.choice([0, 1e-7, 4e-7, 1e-6, 0.01])
        seconds = dice.choice([0, 3e-7, 1e-6, 2.5e-6, 0.01, 0.02000049])
        spans.append((str(number), at, seconds))
        begun = time.time() + at
        parts = [[f"part {part}", begun + dice.uniform(-5, 1), dice.uniform(0, 5)] for part in range(3)]
        values[str(number)] = {"worker": dice.choice("ab"), "spans": parts, "pieces": [["c", *part] for part in parts]}
    assert faults(written(run_of(spans, values))) == []


def test_nothing_lies_before_the_run_or_beyond_its_task() -> None:
    """As when a worker had done it before, or a task failed that had told of its last success."""
    now = time.time()
    spans = [["long ago", now - 1000, 5.0], ["begun before", now - 1.0, 1.5], ["goes on", now + 1, 10.0]]
    text = written(run_of([("a", 0, 2)], {"a": {"worker": "far", "spans": spans}}))
    assert faults(text) == []
    drawn = {each["name"]: each for each in json.loads(text)["traceEvents"] if each["ph"] == "X" and each["pid"] == 2}
    assert set(drawn) == {"begun before", "goes on"}
    assert drawn["begun before"]["ts"] == 0
    assert drawn["begun before"]["dur"] == pytest.approx(500_000, abs=50_000)
    assert drawn["goes on"]["ts"] + drawn["goes on"]["dur"] == 2_000_000


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"ph": "X", "pid": 1, "tid": 1, "name": "a", "ts": 0, "dur": -1}, "dur is no time"),
        ({"ph": "X", "pid": 1, "tid": "1", "name": "a", "ts": 0, "dur": 1}, "tid is no whole number"),
        ({"ph": "X", "pid": 1, "tid": 1, "name": "b", "ts": 3, "dur": 9}, "b begins at 3 within what ends at 5"),
        ({"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {}}, "no such metadata"),
        ({"ph": "X", "pid": 3, "tid": 1, "name": "a", "ts": 0, "dur": 1}, "no name of process 3"),
    ],
)
def test_the_one_who_looks_at_traces_sees(event: dict[str, Any], fault: str) -> None:
    named = [
        {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": "p"}},
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "t"}},
        {"ph": "X", "pid": 1, "tid": 1, "name": "a", "ts": 0, "dur": 5},
    ]
    assert faults(json.dumps({"traceEvents": named})) == []
    assert any(fault in each for each in faults(json.dumps({"traceEvents": [*named, event]})))
