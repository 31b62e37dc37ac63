"""The committed lock file: the same everywhere, checked without data, and kept from changing where that is asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.doit_plugin.repository import Repository

LOCKED = {"SCALING_TASKS_LOCKED": "1"}
BUCKETS = ((16, 24), (24, 40), (32, 64))


def clone(repository: Repository, root: Path) -> Repository:
    """Return what git would give another machine, without the data set."""
    root.mkdir()
    for name in ("configs", "models", "dodo.py", "scaling.lock"):
        source = repository.root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    return Repository.at(root)


def test_the_lock_holds_digests_of_everything(built: Repository) -> None:
    locked = json.loads((built.root / "scaling.lock").read_text())
    assert locked["format"] == "scaling-tasks/lock/1"
    net = locked["targets"]["net"]
    assert {"dataset", "model", "plan", "settings", "statistics", "toolchain", "units"} == set(net)
    assert net["units"]["N1_H16_W24"]["buckets"] == "1x16x24"
    assert list(net["units"]["N1_H16_W24"]["files"]) == ["net_N1_H16_W24.onnx"]


def test_the_lock_is_the_same_in_another_checkout(built: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "elsewhere")
    other.write_target()
    assert other.doit("-n", "2").ok
    assert (other.root / "scaling.lock").read_bytes() == (built.root / "scaling.lock").read_bytes()


def test_a_clone_is_checked_without_its_data(built: Repository, tmp_path: Path) -> None:
    other = clone(built, tmp_path / "clone")
    run = other.doit("locked")
    assert run.ok, run.output
    assert "1 target is as locked" in run.output
    assert not (other.root / "build").exists()


def test_the_check_finds_what_would_change_the_lock(built: Repository, tmp_path: Path) -> None:
    other = clone(built, tmp_path / "clone")
    other.write_target(sizes=(*BUCKETS, (48, 80)))
    run = other.doit("locked")
    assert run.status == 1
    assert "auto_scaling changed since it was locked" in run.output
    other.write_target()
    other.write_model(seed=1)
    assert "models/net.onnx is not the locked one" in other.doit("locked").output
    (other.root / "models/net.onnx").unlink()
    assert other.doit("locked").ok
    assert other.doit("locked", "--strict").status == 1
    other.write_target("other")
    findings = json.loads(other.doit("locked", "--json").output)["findings"]
    assert {
        "target": "other",
        "subject": "configuration",
        "problem": "it is configured but not locked",
    }.items() <= next(each for each in findings if each["target"] == "other").items()


def test_an_edited_lock_is_found(built: Repository) -> None:
    lock = built.root / "scaling.lock"
    lock.write_text(lock.read_text().replace("1x16x24", "1x16x32"))
    run = built.doit("locked")
    assert run.status == 1
    assert "would be compiled under another key" in run.output
    lock.write_text("{")
    run = built.doit("locked")
    assert run.status == 1
    assert "Traceback" not in run.output
    lock.unlink()
    assert "there is none" in built.doit("locked").output


def test_a_locked_build_of_what_is_locked_succeeds(built: Repository) -> None:
    shutil.rmtree(built.root / "build")
    run = built.doit(environment=LOCKED)
    assert run.ok, run.output
    assert built.doit(environment=LOCKED).executed == []


def test_a_locked_build_stops_before_it_compiles(built: Repository) -> None:
    before = (built.root / "scaling.lock").read_bytes()
    built.write_target(sizes=(*BUCKETS, (48, 80)))
    unlocked = {"SCALING_TASKS_LOCKED": "0"}
    for run in (built.doit(environment=LOCKED), built.doit("locked=1", environment=unlocked)):
        assert run.status != 0
        assert run.compiled == []
        assert "scaling.lock: the build of net would change it" in run.output
        assert "units.N1_H48_W80" in run.output
        assert "Build without locked=1 (or SCALING_TASKS_LOCKED=1)" in run.output
    assert (built.root / "scaling.lock").read_bytes() == before
    assert built.doit().ok
    assert (built.root / "scaling.lock").read_bytes() != before


def test_a_wrong_knob_is_one_line(built: Repository) -> None:
    run = built.doit(environment={"SCALING_TASKS_LOCKED": "perhaps"})
    assert run.status != 0
    assert "SCALING_TASKS_LOCKED: 'perhaps' is neither yes nor no" in run.output
    assert "Traceback" not in run.output


def test_what_the_command_line_sets_is_named_as_it_was_written(repository: Repository) -> None:
    for setting, said in [("locked=perhaps", "'perhaps' is neither"), ("executor=foo", "'foo' is no executor")]:
        run = repository.doit(setting)
        assert run.status == 1
        assert run.output.startswith(f"error: {setting.partition('=')[0]}: {said}"), run.output


def test_a_misspelt_knob_is_told(repository: Repository) -> None:
    run = repository.doit("list", environment={"SCALING_TASKS_LOKED": "1", "SCALING_TASKS_TEST_X": "1"})
    assert run.ok
    assert run.output.count("warning: ") == 1
    assert "there is no variable SCALING_TASKS_LOKED, it is ignored. Did you mean SCALING_TASKS_LOCKED?" in run.output
