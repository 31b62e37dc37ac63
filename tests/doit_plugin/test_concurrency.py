"""Several runs in one repository at once, and looking at it while one goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository


def start(repository: Repository, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "doit", *arguments],
        cwd=repository.root,
        env={**os.environ, "PYTHONHASHSEED": "random", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_compile_everything_once(repository: Repository, runs: int) -> None:
    started = [start(repository, "-n", "2") for _ in range(runs)]
    outputs = [run.communicate(timeout=300)[0] for run in started]
    assert [run.returncode for run in started] == [0] * runs, "\n".join(outputs)
    compiled = [line for output in outputs for line in output.splitlines() if "  compiled in " in line]
    assert len(compiled) == 3, "\n".join(outputs)
    assert "Traceback" not in "".join(outputs)
    # Whoever came second to a unit was told for whom it waits.
    assert any("waiting for process" in output and "which is" in output for output in outputs)
    assert repository.doit().executed == []
    assert repository.doit("locked", "--built").ok


def test_repositories_with_one_store_compile_everything_once(tmp_path: Path) -> None:
    repositories = [Repository(tmp_path / name) for name in ("one", "two", "three")]
    for each in repositories:
        each.write_target()
    store = tmp_path / "store"
    started = [start(each, "-n", "2", SCALING_TASKS_STORE=str(store)) for each in repositories]
    outputs = [run.communicate(timeout=300)[0] for run in started]
    assert [run.returncode for run in started] == [0, 0, 0], "\n".join(outputs)
    assert sum(output.count("  compiled in ") for output in outputs) == 3, "\n".join(outputs)
    assert len({(each.root / "scaling.lock").read_bytes() for each in repositories}) == 1
    assert not list((store / "locks").iterdir())


def test_units_that_end_together_have_their_weights_once(repository: Repository) -> None:
    repository.write_target(sizes=[(16 + 8 * step, 64) for step in range(6)], backend="openvino")
    for _ in range(3):
        assert repository.doit("-n", "6").ok
        (weights,) = (repository.root / "build/net").glob("*.bin")
        copy = repository.root / "copy"
        subprocess.run(["cp", "-r", repository.root / "build/net", copy], check=True)
        sizes = [sum(path.stat().st_size for path in place.iterdir()) for place in (weights.parent, copy)]
        assert sizes[0] == sizes[1]
        shutil.rmtree(copy)
        shutil.rmtree(repository.root / "build")


def test_runs_of_different_targets_keep_each_others_state(repository: Repository) -> None:
    repository.write_target("other", sizes=[(64, 64), (72, 72)])
    started = [start(repository, "-n", "2", f"lock:{name}", f"report:{name}") for name in ("net", "other")]
    outputs = [run.communicate(timeout=300)[0] for run in started]
    assert [run.returncode for run in started] == [0, 0], "\n".join(outputs)
    assert repository.doit().executed == []


def test_everything_can_be_looked_at_during_a_run(repository: Repository) -> None:
    repository.write_target(sizes=[(16, 24), (24, 40), (32, 64)], backend="openvino")
    run = start(repository)
    logs = repository.root / ".scaling/logs/net"
    deadline = time.monotonic() + 60
    while not list(logs.glob("*.log")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run.poll() is None, run.communicate()[0]
    for command in (["list", "--all", "-s"], ["info", "compile:net:N1_H16_W24"], ["plan"], ["why", "bundle:net"]):
        looked = repository.doit(*command)
        assert looked.status in (0, 1), looked.output
        assert "Traceback" not in looked.output
    output = run.communicate(timeout=120)[0]
    assert run.returncode == 0, output


def test_a_damaged_state_costs_no_compile(built: Repository) -> None:
    for path in (built.root / ".scaling").glob("doit.sqlite*"):
        path.unlink()
    (built.root / ".scaling/doit.sqlite").write_bytes(b"no database" * 1000)
    run = built.doit()
    assert run.ok, run.output
    assert (run.compiled, len(run.restored)) == ([], 3)
