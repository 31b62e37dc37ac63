"""Builds with doit through real Dask workers: the same as a local one, told as such, and stopped as such."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository
from tests.execution.farm import Farm, alive, wait_until

BACKENDS = """
import os
import time
from pathlib import Path

from scaling_tasks.compilers.onnxruntime import OnnxRuntimeBackend
from scaling_tasks.errors import CompileError


class Gated(OnnxRuntimeBackend):
    name = "gated"

    def compile(self, job, workdir):
        gate = Path(os.environ["SCALING_TASKS_TEST_GATE"])
        (gate / f"{os.getpid()}").touch()
        while (gate / "hold").exists():
            time.sleep(0.02)
        print("compiling", job.unit.name)
        if (gate / job.unit.name).exists():
            raise CompileError("no such operator")
        return super().compile(job, workdir)
"""


SCORING = """
from pathlib import Path

import numpy as np

from helping import share


def score(run, dataset):
    assert Path(dataset).read_text() == "a label"
    requests = [{"x": np.full((1, 3, 16, 20), value, np.float32)} for value in (0.5, 2.0)]
    return share * sum(float(answer["y"].mean()) for answer in run(requests))
"""


class Site:
    """A package with a backend that waits at a gate, installed for workers and builds."""

    def __init__(self, root: Path) -> None:
        self.gate = root / "gate"
        info = root / "site" / "gated-1.0.dist-info"
        info.mkdir(parents=True)
        self.gate.mkdir()
        (root / "site/gated.py").write_text(BACKENDS)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gated\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[scaling_tasks.compilers]\ngated = gated:Gated\n")
        self.environment = {"PYTHONPATH": str(root / "site"), "SCALING_TASKS_TEST_GATE": str(self.gate)}

    def begun(self) -> list[int]:
        return [int(path.name) for path in self.gate.iterdir() if path.name.isdigit()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def gated(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    farm = Farm(tmp_path_factory.mktemp("gated"))
    try:
        farm.start_scheduler()
        for name in ("one", "two"):
            farm.start_worker(name, environment=site.environment)
        farm.await_workers(2)
        yield farm
    finally:
        farm.close()


def repository(root: Path, site: Site, backend: str = "gated") -> Repository:
    made = Repository(root)
    made.environment = site.environment
    made.write_target(sizes=((16, 24), (24, 40)), backend=backend)
    return made


def judged(root: Path, site: Site) -> Repository:
    """A repository whose bundle is scored by code of its own."""
    made = repository(root, site)
    more = "verify: {metric: 'scoring:score', dataset: label.txt}\n"
    made.write_target(sizes=((16, 24), (24, 40)), backend="gated", more=more)
    (root / "scoring.py").write_text(SCORING)
    (root / "helping.py").write_text("share = 0.5\n")
    (root / "label.txt").write_text("a label")
    return made


def products(repository: Repository) -> dict[str, bytes]:
    files = (path for path in (repository.root / "build").rglob("*") if path.is_file())
    return {path.relative_to(repository.root).as_posix(): path.read_bytes() for path in files}


def test_builds_at_once_give_what_a_local_one_gives_and_do_nothing_twice(
    gated: Farm, site: Site, tmp_path: Path
) -> None:
    at_farm = [judged(tmp_path / name, site) for name in ("a", "b")]
    local = judged(tmp_path / "local", site)
    command = [sys.executable, "-m", "doit", "-n", "2", f"executor={gated.url}"]
    environment = {**os.environ, **site.environment}
    with (
        subprocess.Popen(command, cwd=at_farm[0].root, env=environment, stdout=subprocess.DEVNULL) as other,
    ):
        run = at_farm[1].doit("-n", "2", f"executor={gated.url}")
        assert run.ok, run.output
        assert other.wait(120) == 0
    assert local.doit().ok
    assert products(at_farm[0]) == products(at_farm[1]) == products(local)
    assert len(products(local)) >= 5
    done = [each["key"] for each in gated.events("done")]
    assert len(done) == len(set(done)) == 2 + 2 + 2 + 1  # Analysis and plan, two units compiled and verified, metric.
    assert " on one" in run.output
    assert " on two" in run.output
    (profile,) = (at_farm[1].root / ".scaling/profiles").iterdir()
    events = json.loads(profile.read_text())["traceEvents"]
    tracks = {each["args"]["name"] for each in events if each["name"] == "thread_name"}
    assert {"one", "two", "tasks 1", "tasks 2"} <= tracks
    assert "compile of net N1_H16_W24" in {each["name"] for each in events if each["ph"] == "X"}
    again = at_farm[1].doit("-n", "2", f"executor={gated.url}")
    assert again.executed == []
    assert list((at_farm[1].root / ".scaling/profiles").iterdir()) == [profile]


def test_a_compiler_error_comes_back_with_its_log_and_is_not_tried_again(
    gated: Farm, site: Site, tmp_path: Path
) -> None:
    made = repository(tmp_path, site)
    made.write_model(seed=1)
    (site.gate / "N1_H16_W24").touch()
    try:
        run = made.doit("-c", "-n", "2", environment={"SCALING_TASKS_EXECUTOR": gated.url})
    finally:
        (site.gate / "N1_H16_W24").unlink()
    assert not run.ok
    assert "no such operator" in run.output
    assert "(on one)" in run.output or "(on two)" in run.output
    assert "compiling N1_H16_W24" in (made.root / ".scaling/logs/net/N1_H16_W24.log").read_text()
    assert len(gated.events("failed", "N1_H16_W24")) == 1
    assert ".  compile:net:N1_H24_W40  compiled" in run.output


def test_an_interrupt_ends_the_work_at_the_workers(gated: Farm, site: Site, tmp_path: Path) -> None:
    made = repository(tmp_path, site)
    made.write_model(seed=2)
    known = set(site.begun())
    (site.gate / "hold").touch()
    command = [sys.executable, "-m", "doit", "-n", "2", "-P", "process", f"executor={gated.url}"]
    try:
        with subprocess.Popen(
            command, cwd=made.root, env={**os.environ, **site.environment}, stdout=subprocess.DEVNULL
        ) as build:
            wait_until(lambda: len(set(site.begun()) - known) == 2)
            pids = set(site.begun()) - known
            try:
                build.send_signal(signal.SIGINT)
                assert build.wait(30) != 0
            finally:
                build.kill()  # Leaving the block waits for its end.
            wait_until(lambda: not any(map(alive, pids)), 20)
    finally:
        (site.gate / "hold").unlink()


def test_the_configuration_names_an_executor_and_a_wrong_one_is_told_with_its_line(site: Site, tmp_path: Path) -> None:
    made = repository(tmp_path, site)
    made.write_target(more="executor: dask:/nowhere\n")
    run = made.doit("list")
    assert not run.ok
    assert "configs/net.yaml:" in run.output
    assert "'dask:/nowhere' is no executor" in run.output
