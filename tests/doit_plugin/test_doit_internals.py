"""What ``doit_internals`` and the state database need of doit, in every version of it that is supported."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_tasks.doit_plugin.doit_internals import GroupName, NamesAskedFor, creator_method
from tests.doit_plugin.repository import Repository

# setup.cfg: doit >=0.36,<0.39; these are all there are.
VERSIONS = ("0.36.0", "0.37.0")
UNITS = ["compile:net:N1_H16_W24", "compile:net:N1_H24_W40", "compile:net:N1_H32_W64"]


@pytest.fixture(scope="session", params=VERSIONS)
def doit_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory that has a version of doit, empty where that is the one installed."""
    if importlib.metadata.version("doit") == request.param:
        return ""
    place = tmp_path_factory.mktemp("doit")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(place)]
    done = subprocess.run([*command, f"doit=={request.param}"], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"doit {request.param} cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
    return str(place)


@pytest.fixture
def under(repository: Repository, doit_path: str) -> Repository:
    """A repository whose runs are those of one version of doit."""
    repository.environment = {"PYTHONPATH": doit_path} if doit_path else {}
    said = repository.doit("--version").output.splitlines()[0]
    assert said in VERSIONS
    assert not doit_path or said != importlib.metadata.version("doit")
    return repository


def listed(repository: Repository, *arguments: str) -> list[str]:
    return repository.doit("list", "-q", *arguments).output.split()


def test_a_unit_is_asked_for_by_name_before_it_exists(under: Repository) -> None:
    run = under.doit(UNITS[1])
    assert run.ok, run.output
    assert run.compiled == ["net:N1_H24_W40"]
    assert under.doit("forget", UNITS[0]).ok
    missing = under.doit("compile:net:N1_H99_W99")
    assert missing.status != 0
    assert "no unit 'N1_H99_W99'" in missing.output
    assert "Traceback" not in missing.output


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_stages_after_the_plan_run_when_it_is_made(under: Repository, workers: str) -> None:
    run = under.doit("-n", "2", "-P", workers)
    assert run.ok, run.output
    assert len(run.compiled) == 3
    assert under.doit("-n", "2", "-P", workers).executed == []


def test_groups_stand_for_what_is_below_them_at_every_level(under: Repository) -> None:
    assert under.doit("-n", "2").ok
    assert "compile:net" in listed(under)
    assert not set(UNITS) & set(listed(under))
    assert set(UNITS) <= set(listed(under, "--all"))
    for group in ("compile", "compile:net"):
        assert under.doit("forget", group).ok
        again = under.doit("compile")
        assert [name for name in again.executed if name.startswith("compile:")] == UNITS, group
        assert under.doit("clean", group).ok
        assert not list((under.root / ".scaling/targets/net/artefacts").glob("*.onnx"))
        assert len(under.doit("compile").executed) == 3, group
    assert "compile:net" in under.doit("info", UNITS[0]).output


def test_a_task_is_committed_when_it_ends(under: Repository) -> None:
    build = subprocess.Popen(
        [sys.executable, "-m", "doit"], cwd=under.root, env=_environment(under), stdout=subprocess.DEVNULL
    )
    assert _waits_until(lambda: UNITS[0] in _recorded(under.root))
    build.send_signal(signal.SIGKILL)
    build.wait()
    assert not {"report:net"} & _recorded(under.root)
    assert UNITS[0] in _recorded(under.root)


def _environment(repository: Repository) -> dict[str, str]:
    return {**os.environ, **repository.environment}


def _recorded(root: Path) -> set[str]:
    try:
        with sqlite3.connect(f"file:{root / '.scaling/doit.sqlite'}?mode=ro", uri=True) as database:
            return {name for (name,) in database.execute("SELECT name FROM tasks")}
    except sqlite3.Error:
        return set()


def _waits_until(condition: Callable[[], bool]) -> bool:
    for _ in range(2000):
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_names_of_groups_and_creators_survive_pickling() -> None:
    name = pickle.loads(pickle.dumps(GroupName("compile:net", listed=True)))
    assert (name, name.listed, bool(name)) == ("compile", True, False)
    assert name != "compile:other"
    assert name != "comp"
    asked = NamesAskedFor()
    assert asked.get("compile:net") is None
    assert (asked.names, dict(pickle.loads(pickle.dumps(asked)))) == (["compile:net"], {})
    method = creator_method("a,b", _Owner.tasks, "for people")
    assert (method(), method.__func__.__doc__, _Owner.tasks.__doc__) == ("a,b", "for people", None)


class _Owner:
    def tasks(self) -> object:
        return self
