"""Whole builds through the real doit beside a remote store: nothing done twice, and right whatever becomes of it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaling_tasks.builds.workshop import open_store
from scaling_tasks.errors import ConfigError
from scaling_tasks.execution.environment import worker_environment
from tests.doit_plugin.repository import Repository, Run
from tests.store.services import MissingPartError, Nginx, running, start_nginx

SIZES = [(16, 24), (32, 64)]
SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Filled:
    """A remote store that one build has filled, and what that build made."""

    files: Path
    lock: str
    bundle: Mapping[str, str]


def clone(root: Path, sizes: list[tuple[int, int]] = SIZES) -> Repository:
    made = Repository(root)
    made.write_target(sizes=sizes)
    return made


def beside(url: str, **more: str) -> dict[str, str]:
    # Machines that run tests are busy; only a store that is gone or silent shall be given up.
    return {"SCALING_TASKS_REMOTE_STORE": url, "SCALING_TASKS_REMOTE_STORE_PATIENCE": "20", **more}


def bundle(repository: Repository) -> dict[str, str]:
    directory = repository.root / "build/net"
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.is_file() and path.name != "report.html"
    }


def warnings(run: Run) -> list[str]:
    return re.findall(r"^warning: .*$", run.output, re.MULTILINE)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    home = tmp_path_factory.mktemp("filled")
    try:
        nginx = start_nginx(home / "nginx")
    except MissingPartError as missing:
        pytest.skip(str(missing))
    with running(nginx.process):
        first = clone(home / "first")
        run = first.doit("-n", "2", environment=beside(nginx.url, SCALING_TASKS_STORE_KEY=SECRET))
        assert run.ok, run.output
        assert len(run.compiled) == 2
        assert warnings(run) == []
        sent = int(re.search(r"(\d+) results with .* sent", run.output)[1])
        assert sent == len(list((nginx.files / "ac").iterdir())) > 4
        return Filled(nginx.files, (first.root / "scaling.lock").read_text(), bundle(first))


@pytest.fixture
def store(filled: Filled, tmp_path: Path) -> Iterator[Nginx]:
    """The filled store, to be ill-treated."""
    shutil.copytree(filled.files, tmp_path / "remote")
    nginx = start_nginx(tmp_path / "nginx", files=tmp_path / "remote")
    with running(nginx.process):
        yield nginx


def during(nginx: Nginx, sign: str, act: Callable[[], None]) -> threading.Thread:
    """Act as soon as the store has been asked for something."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not any(line.startswith(sign) for line in nginx.noted) and time.monotonic() < deadline:
            time.sleep(0.002)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_second_clone_does_nothing_again_and_fetches_only_what_it_shows(
    filled: Filled, store: Nginx, tmp_path: Path
) -> None:
    second = clone(tmp_path / "second")
    url = store.url.replace("http://", "http://builder:hunter2@")
    environment = beside(url, SCALING_TASKS_REMOTE_STORE_MODE="read-only", SCALING_TASKS_STORE_KEY=SECRET)
    plan = second.doit("plan", environment=environment)
    assert "; 0 to compile" in plan.output
    in_plan = store.count("GET", "/cas/")
    looked_up = [line.split()[1] for line in store.requests if line.startswith("GET /ac/")]
    assert sorted(looked_up) == sorted(f"/ac/{path.name}" for path in (store.files / "ac").iterdir())
    run = second.doit("-n", "2", environment=environment)
    assert run.ok, run.output
    assert run.compiled == []
    done = [line for line in run.output.splitlines() if line.startswith(".  ") and "from the store" not in line]
    assert sorted(line.split()[1].rstrip("(") for line in done) == ["bundle:net", "lock:net", "scan:net"]
    assert bundle(second) == filled.bundle
    assert (second.root / "scaling.lock").read_text() == filled.lock
    assert warnings(run) == []
    # The plan reads documents only; of what lies there nothing comes twice; the prepared model does not come at all.
    fetched = [line.split()[1] for line in store.requests if line.startswith("GET /cas/")]
    assert len(fetched) == len(set(fetched))
    assert in_plan < len(fetched)
    prepared = second.root / ".scaling/targets/net/analysis/prepared.onnx"
    assert not prepared.exists()
    assert store.count("PUT") == store.count("HEAD") == 0
    assert second.doit(environment=environment).executed == []
    # What is secret is nowhere.
    files = [path for path in second.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hunter2" in path.read_bytes() or SECRET.encode() in path.read_bytes()]
    assert "hunter2" not in plan.output + run.output

    # What was left there comes when something is made from it.
    second.write_target(sizes=[*SIZES, (8, 8)])
    run = second.doit(environment=environment)
    assert run.ok, run.output
    assert run.compiled == ["net:N1_H8_W8"]


def test_what_was_left_far_is_made_again_where_it_cannot_be_had(store: Nginx, tmp_path: Path) -> None:
    second = clone(tmp_path / "second")
    assert second.doit(environment=beside(store.url)).ok
    store.kill()
    second.write_target(sizes=[*SIZES, (8, 8)])
    run = second.doit(environment=beside(store.url))
    assert run.ok, run.output
    assert run.compiled == ["net:N1_H8_W8"]
    assert len(warnings(run)) == 1


def test_one_unit_asked_for_fetches_no_other(store: Nginx, tmp_path: Path) -> None:
    second = clone(tmp_path / "second")
    assert second.doit("buckets", environment=beside(store.url)).ok
    before = store.requests
    run = second.doit("compile:net:N1_H16_W24", environment=beside(store.url))
    assert run.restored == ["net:N1_H16_W24"]
    asked = [line.split()[:2] for line in store.requests[len(before) :]]
    assert [method for method, _ in asked] == ["GET", "GET"]
    assert [path.split("/")[1] for _, path in asked] == ["ac", "cas"]


def test_a_damaged_store_has_only_what_is_damaged_done_again(filled: Filled, store: Nginx, tmp_path: Path) -> None:
    """One artefact is cut short, and one is another; both units are compiled here, to the same bytes."""
    artefacts = sorted(name for name in filled.bundle if name.endswith(".onnx"))
    cut, other = (store.path(f"cas/{filled.bundle[name]}") for name in artefacts[:2])
    cut.write_bytes(cut.read_bytes()[:-9])
    other.write_bytes(b"evil")
    second = clone(tmp_path / "second")
    run = second.doit("-n", "2", environment=beside(store.url))
    assert run.ok, run.output
    assert 1 <= len(run.compiled) <= 2
    assert bundle(second) == filled.bundle
    assert len(warnings(run)) == 2
    assert all("damaged or cut short" in line for line in warnings(run))
    # And the store is whole again.
    third = clone(tmp_path / "third")
    run = third.doit(environment=beside(store.url))
    assert run.compiled == warnings(run) == []
    assert bundle(third) == filled.bundle


def test_records_that_are_not_signed_are_no_hits(filled: Filled, store: Nginx, tmp_path: Path) -> None:
    second = clone(tmp_path / "second")
    environment = beside(store.url, SCALING_TASKS_STORE_KEY="another-key-of-32-bytes-in-length")
    plan = second.doit("plan", environment=environment)
    assert "2 to compile" in plan.output
    assert len(warnings(plan)) == 1
    assert "not signed with the key that is set here" in plan.output


@pytest.mark.parametrize("fault", ["killed", "stalled"])
def test_a_store_that_fails_in_the_middle_of_a_build_changes_nothing_but_the_time(
    filled: Filled, store: Nginx, tmp_path: Path, fault: str
) -> None:
    second = clone(tmp_path / "second")
    watch = during(store, "GET /cas/", store.kill if fault == "killed" else store.stall)
    run = second.doit("-n", "2", environment={**beside(store.url), "SCALING_TASKS_REMOTE_STORE_PATIENCE": "2"})
    watch.join()
    assert run.ok, run.output
    assert bundle(second) == filled.bundle
    assert len(warnings(run)) == 1
    assert "is left out from now on" in warnings(run)[0]


def test_a_store_that_dies_while_it_is_filled_changes_nothing(filled: Filled, own_nginx: Nginx, tmp_path: Path) -> None:
    first = clone(tmp_path / "first")
    watch = during(own_nginx, "PUT /ac/", own_nginx.kill)
    run = first.doit("-n", "2", environment=beside(own_nginx.url))
    watch.join()
    assert run.ok, run.output
    assert len(run.compiled) == 2
    assert bundle(first) == filled.bundle
    assert len(warnings(run)) == 1
    # What could not be sent is sent later, and not as long as nobody is there.
    early = first.doit("store", "--send", environment=beside(own_nginx.url))
    assert (early.status, warnings(early)) == (1, [])
    assert f"error: nothing could be sent to the store {own_nginx.url}: Connection refused. Results" in early.output
    again = start_nginx(tmp_path / "again")
    with running(again.process):
        sent = first.doit("store", "--send", environment=beside(again.url))
        assert sent.output.startswith(f"{len(list((filled.files / 'ac').iterdir()))} results sent\n")
        assert {path.name for path in (again.files / "ac").iterdir()} == {
            path.name for path in (filled.files / "ac").iterdir()
        }


def test_why_tells_what_somebody_else_did_otherwise(filled: Filled, store: Nginx, tmp_path: Path) -> None:
    second = clone(tmp_path / "second")
    (second.root / "scaling.lock").write_text(filled.lock)
    second.write_model(seed=1)
    assert second.doit("buckets", environment=beside(store.url)).ok
    run = second.doit("why", "compile:net:N1_H16_W24", environment=beside(store.url))
    assert "not the one that scaling.lock names: inputs.model/net.onnx changed" in run.output
    assert re.search(r"inputs\.model/net\.onnx: \"[0-9a-f]{64}\" -> \"[0-9a-f]{64}\"", run.output)


def test_a_wrong_setting_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = clone(tmp_path / "repository").doit("statistics", environment={"SCALING_TASKS_REMOTE_STORE": "far"})
    assert not run.ok
    assert "SCALING_TASKS_REMOTE_STORE: 'far' is no address of a store" in run.output
    assert "Traceback" not in run.output
    monkeypatch.setenv("SCALING_TASKS_REMOTE_STORE", "file:///x")
    monkeypatch.setenv("SCALING_TASKS_STORE_KEY", "short")
    with pytest.raises(ConfigError, match="SCALING_TASKS_STORE_KEY: a key of 5 bytes can be guessed"):
        open_store()


def test_compilers_are_not_told_what_opens_the_store() -> None:
    secrets = {"SCALING_TASKS_STORE_KEY": "x", "SCALING_TASKS_STORE_KEY_FILE": "x", "SCALING_TASKS_REMOTE_STORE": "x"}
    given = worker_environment({**secrets, "SCALING_TASKS_JOBS": "2", "PATH": os.environ["PATH"]})
    assert given == {"SCALING_TASKS_JOBS": "2", "PATH": os.environ["PATH"]}
