"""Only what changed rebuilds: real doit, a real compiler, compiler processes counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository

BUCKETS = ((16, 24), (24, 40), (32, 64))


def artefacts(repository: Repository, target: str = "net") -> dict[str, bytes]:
    files = (repository.root / "build" / target).iterdir()
    return {path.name: path.read_bytes() for path in sorted(files)}


def test_a_second_run_executes_nothing(built: Repository) -> None:
    before = artefacts(built)
    run = built.doit()
    assert run.ok
    assert (run.executed, run.compiled) == ([], [])
    assert artefacts(built) == before


def test_touched_files_execute_nothing_but_the_scan(built: Repository) -> None:
    for path in [*built.root.rglob("*.png"), *built.root.rglob("*.onnx"), *built.root.glob("configs/*")]:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert set(run.executed) <= {"scan:net"}
    assert built.doit().executed == []


def test_an_image_that_leaves_the_plan_alone_compiles_nothing(built: Repository) -> None:
    built.write_image("more.png", 17, 30)
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert {"scan:net", "statistics:net", "buckets:net"} <= set(run.executed)
    assert not any(name.startswith("compile:") for name in run.executed)


def test_one_more_bucket_compiles_exactly_one(built: Repository) -> None:
    built.write_target(sizes=(*BUCKETS, (48, 80)))
    run = built.doit()
    assert run.ok
    assert run.compiled == ["net:N1_H48_W80"]
    assert "compile:net:N1_H16_W24" not in run.executed
    # How buckets are chosen changes nothing in what was counted.
    assert "statistics:net" not in run.executed


def test_changed_weights_compile_everything(built: Repository) -> None:
    built.write_model(seed=1)
    run = built.doit()
    assert run.ok
    assert len(run.compiled) == 3


def test_going_back_compiles_nothing(built: Repository) -> None:
    first = artefacts(built)
    built.write_model(seed=1)
    assert len(built.doit().compiled) == 3
    built.write_model(seed=0)
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert len(run.restored) == 3
    assert artefacts(built) == first


def test_comments_and_other_targets_change_nothing(built: Repository) -> None:
    built.write_target(more="\n# a remark\n")
    assert built.doit().executed == []
    built.write_target("other", sizes=[(64, 64)])
    run = built.doit()
    assert run.ok
    assert run.compiled == ["other:N1_H64_W64"]
    assert not any(":net" in name for name in run.executed)


def test_cleaned_artefacts_come_from_the_store(built: Repository) -> None:
    before = artefacts(built)
    assert built.doit("clean", "-a").ok
    assert not list((built.root / "build/net").glob("*.onnx"))
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert len(run.restored) == 3
    assert artefacts(built) == before


@pytest.mark.parametrize("damage", ["delete", "truncate", "edit"])
def test_a_damaged_artefact_is_restored(built: Repository, damage: str) -> None:
    before = artefacts(built)
    victim: Path = built.root / "build/net/net_N1_H24_W40.onnx"
    if damage == "delete":
        victim.unlink()
    elif damage == "truncate":
        os.truncate(victim, 10)
    else:
        with victim.open("r+b") as file:
            file.write(b"garbage")
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert run.executed == ["bundle:net"]
    assert artefacts(built) == before
    assert built.doit().executed == []


def test_lost_state_costs_no_compile(built: Repository) -> None:
    for path in (built.root / ".scaling").glob("doit.sqlite*"):
        path.unlink()
    run = built.doit()
    assert run.ok
    assert run.compiled == []


def test_a_smaller_plan_removes_the_artefacts_it_no_longer_has(built: Repository) -> None:
    built.write_target(sizes=BUCKETS[1:])
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert sorted(path.name for path in (built.root / "build/net").glob("*.onnx")) == [
        "net_N1_H24_W40.onnx",
        "net_N1_H32_W64.onnx",
    ]


def test_equal_targets_share_the_compile(built: Repository) -> None:
    built.write_target("twin")
    run = built.doit()
    assert run.ok
    assert run.compiled == []
    assert len(run.restored) == 3


def test_a_moved_checkout_compiles_nothing(built: Repository, tmp_path: Path) -> None:
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    built.root = moved
    run = built.doit()
    assert run.ok
    assert run.compiled == []
