"""Work at real Dask workers on loopback: what travels, who does it, and what is told when it fails."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scaling_tasks.errors import CompileError, ExecutorError
from scaling_tasks.execution.contract import Limits
from scaling_tasks.execution.farm.order import package_identity
from scaling_tasks.files import digest_bytes
from tests.execution.errands import TOOLS_VARIABLE, Errand
from tests.execution.farm import Farm, alive, free_port

BIG = bytes(range(256)) * (5 << 12)  # More than one part.


def test_a_worker_gets_exactly_the_inputs_and_nothing_by_its_path(workers: Farm, tmp_path: Path) -> None:
    errand = Errand(tmp_path, files={"text": b"exact", "model/big": BIG, "model/empty": b""})
    done = errand.run(workers.address)
    assert done.worker in ("one", "two")
    assert done.values["seen"] == ["model", "model/big", "model/empty", "text"]
    assert not done.values["scratch"].startswith(str(tmp_path / "mine"))
    assert {path.name: path.read_bytes() for path in errand.outputs.rglob("*") if path.is_file()} == {
        "text": b"EXACT",
        "big": BIG.upper(),
        "empty": b"",
    }
    assert errand.log.read_text() == "shouting\n"
    assert [name for name, _, _ in done.spans][-1] == f"errand {tmp_path.name}"
    (began,) = [each for each in workers.events("began") if each["key"] == errand.key]
    assert began["received"] == 5 + len(BIG)


def test_a_worker_asks_for_what_it_lacks_alone(workers: Farm, tmp_path: Path) -> None:
    files = {f"part{number}": b"in common %d" % number * 100 for number in range(3)}
    sizes = []
    for number in range(4):
        errand = Errand(tmp_path / str(number), files={**files, "own": b"own %d" % number})
        errand.root.mkdir()
        errand.run(workers.address)
        (began,) = [each for each in workers.events("began") if each["key"] == errand.key]
        sizes.append((began["worker"], began["received"]))
    common = sum(map(len, files.values()))
    for worker in {worker for worker, _ in sizes}:
        received = [size for name, size in sizes if name == worker]
        assert received == [common + 5, *[5] * (len(received) - 1)]


def test_what_was_done_once_is_not_done_again_for_another_build(workers: Farm, tmp_path: Path) -> None:
    errands = [Errand(tmp_path / name, files={"text": b"the same work"}) for name in ("a", "b")]
    for errand in errands:
        errand.root.mkdir()
        errand.run(workers.address)
        assert (errand.outputs / "deep/text").read_bytes() == b"THE SAME WORK"
    assert len([each for each in workers.events("done") if each["key"] == errands[0].key]) == 1


def test_what_a_tool_says_is_final_and_told_with_worker_log_and_command(workers: Farm, tmp_path: Path) -> None:
    errand = Errand(tmp_path, "fail")
    with pytest.raises(CompileError) as caught:
        errand.run(workers.address)
    text = str(caught.value)
    assert re.search(r"errand \(on (one|two)\): ", text)
    assert f"{tmp_path.resolve()}/inputs/text: no such operator" in text
    assert "about to fail" in errand.log.read_text()
    assert [each["event"] for each in workers.journal() if each["key"] == errand.key] == ["began", "failed"]
    command = text.partition("Run it alone: ")[2]
    alone = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert alone.returncode == 1
    assert "no such operator" in alone.stderr


def test_limits_hold_at_the_worker(workers: Farm, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    slow = Errand(tmp_path, "hold", parameters={"gate": str(tmp_path)}, limits=Limits(1.5))
    with pytest.raises(CompileError, match=r"took longer than 1\.5 s"):
        slow.run(workers.address)
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir() if path.name.isdigit())
    hungry = Errand(tmp_path / "hungry", "eat", limits=Limits(60.0, memory=150 << 20))
    hungry.root.mkdir()
    with pytest.raises(CompileError, match="more than the memory limit of 150 MiB"):
        hungry.run(workers.address)


def test_a_worker_with_other_tools_is_left_out_and_another_does_it(workers: Farm, tmp_path: Path) -> None:
    workers.start_worker("other", environment={TOOLS_VARIABLE: "2"})
    workers.await_workers(3)
    try:
        errand = Errand(tmp_path, files={"text": b"for other tools"}, needs="2")
        assert errand.run(workers.address).worker == "other"
    finally:
        workers.stop("other")


def test_a_worker_takes_from_a_store_of_its_own_what_that_has(workers: Farm, tmp_path: Path) -> None:
    stored, damaged, own = b"stored " * 1000, b"damaged " * 1000, b"own"
    store = tmp_path / "store"
    (store / "cas").mkdir(parents=True)
    (store / "cas" / digest_bytes(stored)).write_bytes(stored)
    (store / "cas" / digest_bytes(damaged)).write_bytes(stored)
    more = {TOOLS_VARIABLE: "stored", "SCALING_TASKS_REMOTE_STORE": store.as_uri()}
    workers.start_worker("storing", environment=more)
    workers.await_workers(3)
    try:
        errand = Errand(tmp_path, files={"a": stored, "b": damaged, "c": own}, needs="stored")
        assert errand.run(workers.address).worker == "storing"
    finally:
        workers.stop("storing")
    assert {path.name: path.read_bytes() for path in (errand.outputs / "deep").iterdir()} == {
        "a": stored.upper(),
        "b": damaged.upper(),
        "c": own.upper(),
    }
    (began,) = [each for each in workers.events("began") if each["key"] == errand.key]
    assert began["received"] == len(damaged) + len(own)


def test_where_nobody_fits_both_identities_are_named(workers: Farm, tmp_path: Path) -> None:
    errand = Errand(tmp_path, files={"text": b"for nobody"}, needs="3")
    with pytest.raises(ExecutorError) as caught:
        errand.run(workers.address)
    assert "one has the toolchain errand 1, not errand 3; two has the toolchain errand 1, not errand 3" in str(
        caught.value
    )


def test_what_may_be_done_at_home_is_where_nobody_fits(
    workers: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    done = Errand(tmp_path, files={"text": b"at home"}, needs="3", at_home=True).run(workers.address)
    assert done.worker == ""
    assert "no worker can do it: one has the toolchain errand 1, not errand 3" in done.warnings[0]
    assert done.values["scratch"] == str(tmp_path / "mine")


def test_a_worker_without_the_memory_or_the_device_is_no_match(workers: Farm, tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match=r"one has \d+ MiB, not 1073741824"):
        Errand(tmp_path, limits=Limits(60.0, memory=1 << 50)).run(workers.address)
    with pytest.raises(ExecutorError, match="two has 0 NPU, not 1"):
        Errand(tmp_path, limits=Limits(60.0, resources={"NPU": 1})).run(workers.address)


def test_a_scheduler_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(ExecutorError, match=f"executor dask://127.0.0.1:{port}: no scheduler answers there"):
        Errand(tmp_path).run(f"tcp://127.0.0.1:{port}")


def test_the_identity_of_the_package_is_that_of_its_code() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\+[0-9a-f]{12}", package_identity())
    assert digest_bytes(b"") not in package_identity()
