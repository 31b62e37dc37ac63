"""Documents that somebody changed and gave a right checksum: one error that names the file, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling_tasks.action import key_of
from scaling_tasks.actions.results import Result, read_result, write_result
from scaling_tasks.actions.told import told
from scaling_tasks.builds.forecast import _why
from scaling_tasks.builds.history import CompileHistory
from scaling_tasks.doit_plugin.console.run_outcomes import RunOutcomes
from scaling_tasks.doit_plugin.state_database import ScalingState
from scaling_tasks.errors import CacheError, LockError, PlanError, ScalingTasksError
from scaling_tasks.stages import lock
from scaling_tasks.store.records import Record
from tests.documents import resealed
from tests.fuzz.readers.report import documents, make, read

Change = Callable[[dict[str, Any]], object]


def _first_check(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["buckets"][0]
    return found


FORGED: dict[str, tuple[str, Change]] = {
    "no bucket": ("verification/H32_W128.json", lambda d: d.pop("buckets")),
    "a difference that is a text": (
        "verification/H32_W128.json",
        lambda d: _first_check(d)["outputs"][0].update(absolute="1e-6"),
    ),
    "a verdict of its own": ("verification/H32_W128.json", lambda d: d.update(passed=False)),
    "a check that passed": ("verification/H32_W128.json", lambda d: _first_check(d).update(absolute=0.0)),
    "no output": ("verification/H32_W128.json", lambda d: _first_check(d).update(outputs=[])),
    "sizes of another model": ("verification/H32_W128.json", lambda d: _first_check(d).update(bucket={"L": 3})),
    "neither verified nor not": ("verification/unrun.json", lambda d: d.pop("unverified")),
    "a probe that is a list": ("padding.json", lambda d: d.update(probes=[[]])),
    "a negative change": ("padding.json", lambda d: d["probes"][0]["outputs"][0].update(absolute=-1.0)),
    "another recommendation": ("padding.json", lambda d: d.update(recommended="zero")),
    "a policy without a mean": ("padding.json", lambda d: d["policies"][0].pop("mean")),
    "a score that is a text": ("metric.json", lambda d: d.update(buckets="0.9")),
    "a metric that did not pass": ("metric.json", lambda d: d.update(passed=False)),
    "a curve of texts": ("buckets.json", lambda d: d.update(curve=[["1", "2"]])),
    "a curve from 0 on": ("buckets.json", lambda d: d.update(curve=[[0, 2.0], [1, 1.5]])),
    "unseen data without coverage": ("buckets.json", lambda d: d["unseen"].pop("coverage")),
    "statistics over another variable": (
        "statistics.json",
        lambda d: d["histogram"].update(variables=["L"], samples=[[3]], weights=[1.0]),
    ),
    "weights without end": ("statistics.json", lambda d: d["histogram"].update(weights=[1e308] * 3)),
    "source of texts": ("statistics.json", lambda d: d.update(source={"images": "x"})),
}


@pytest.mark.parametrize(("name", "change"), FORGED.values(), ids=FORGED)
def test_the_report_refuses_forged_documents(name: str, change: Change, tmp_path: Path) -> None:
    make(tmp_path)
    assert read(tmp_path)
    document = json.loads(documents()[name])
    change(document)
    (tmp_path / name).write_text(resealed(document))
    with pytest.raises(ScalingTasksError) as caught:
        read(tmp_path)
    assert caught.value.where
    assert Path(name).stem in caught.value.where or "buckets.json" in caught.value.where
    assert caught.value.fix


def test_a_damaged_table_of_latencies_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "latency.json").write_text(documents()["latency.json"].replace("[32,128]", "[32]"))
    with pytest.raises(PlanError, match=r"latency\.json: .*another length"):
        read(tmp_path)


@pytest.mark.parametrize(
    "values", [[], "x", {"padding_ratio": "x"}, {"warnings": 3}, {"spans": [[1]]}, {"absolute": -1.0}, {"line": None}]
)
def test_what_no_action_tells_is_not_taken(values: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|Invalid"):
        told(values)


class _Task:
    meta = {"stage": "verify", "target": "net", "unit": "W8", "config": None}  # noqa: RUF012
    actions = (print,)

    def __init__(self, values: Any) -> None:
        self.values = values


def test_the_closing_table_leaves_out_what_a_forged_state_tells() -> None:
    run = RunOutcomes(tasks={"a": _Task({"absolute": "x"}), "b": _Task({"absolute": 0.5})})
    run.outcomes |= {"a": "up to date", "b": "up to date"}
    (row,) = run.rows()
    assert row["difference"] == 0.5


@pytest.mark.parametrize("entry", [{"_values_:": []}, {"deps:": "x"}, {"deps:": [1]}, {"model.onnx": [1, 2]}, []])
def test_a_forged_state_is_forgotten(entry: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    state = ScalingState(str(path), None)
    state._changed["a"] = entry
    state._commit("a")
    state.dump()
    again = ScalingState(str(path), None)
    assert [again.get("a", name) for name in ("_values_:", "deps:", "model.onnx")] == [None] * 3


@pytest.mark.parametrize("action", ["", "x", "[]", "[" * 10_000, '{"inputs": []}', '{"parameters": 3}'])
def test_a_result_of_no_action_says_so(action: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(path, Result.of(action, (), {}), below=tmp_path)
    with pytest.raises(CacheError, match=r"result\.json: tells of no action"):
        _ = read_result(path).components
    assert _why(read_result(path), {}) == (("what was noted of it is damaged",), ())


@pytest.mark.parametrize("parameters", [[], "x", {"options": []}, {"options": {"backend": {}}}])
def test_a_record_of_no_compile_has_no_part_in_the_history(parameters: Any) -> None:
    parts = {"stage": "compile", "parameters": parameters}
    history = CompileHistory([Record(key_of(parts), parts, (), {"seconds": 1.0})])
    assert history.expected_seconds({"stage": "compile"}) is None


@pytest.mark.parametrize(
    "section",
    [{"settings": []}, {"units": {"a": {"buckets": "²"}}}, {"units": {"a": {"buckets": "1" * 5000}}}, {"toolchain": 1}],
)
def test_a_lock_of_another_form_is_refused(section: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    lock._write({"net": section})
    with pytest.raises(LockError, match=r"scaling\.lock: does not hold what it should"):
        lock.read_lock()
