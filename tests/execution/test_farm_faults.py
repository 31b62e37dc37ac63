"""Workers and schedulers that die, hang and come back in the middle of work; builds that go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scaling_tasks.execution.file_locks import when_waiting
from tests.execution.errands import TOOLS_VARIABLE, Errand
from tests.execution.farm import Farm, alive, wait_until

ORDER = """
import sys
from pathlib import Path
from tests.execution.errands import Errand
Errand(Path(sys.argv[1]), "hold", parameters={"gate": sys.argv[2]}).run(sys.argv[3])
"""


def held(root: Path, name: str = "held", gate: Path | None = None) -> tuple[Errand, Path]:
    """Return work that goes on until the file ``hold`` is taken away from its gate."""
    gate = gate or root / "gate"
    gate.mkdir(exist_ok=True)
    (gate / "hold").touch()
    (root / name).mkdir()
    return Errand(root / name, "hold", parameters={"gate": str(gate)}), gate


def begun(gate: Path, count: int = 1) -> list[int]:
    """Wait until so many processes have begun; return their ids."""
    return wait_until(
        lambda: pids if len(pids := [int(path.name) for path in gate.iterdir() if path.name.isdigit()]) >= count else []
    )


def test_a_worker_killed_in_the_middle_is_replaced(farm: Farm, tmp_path: Path) -> None:
    farm.start_scheduler()
    farm.start_worker("one")
    errand, gate = held(tmp_path)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(errand.run, farm.address)
        (pid,) = begun(gate)
        farm.stop("one", signal.SIGKILL)
        wait_until(lambda: not alive(pid))
        farm.start_worker("two")
        begun(gate, 2)
        (gate / "hold").unlink()
        assert running.result(60).worker == "two"
    assert (errand.outputs / "result").read_text() == "held"
    assert [(each["event"], each["worker"]) for each in farm.journal()] == [
        ("began", "one"),
        ("began", "two"),
        ("done", "two"),
    ]


def test_a_scheduler_that_comes_back_is_found_again(farm: Farm, tmp_path: Path) -> None:
    farm.start_scheduler()
    farm.start_worker("one")
    errand, gate = held(tmp_path)
    others = [Errand(tmp_path / str(number), files={"text": b"%d" % number}) for number in range(4)]
    for other in others:
        other.root.mkdir()
    notices: list[str] = []
    when_waiting(notices.append)
    try:
        with ThreadPoolExecutor() as threads:
            running = threads.submit(errand.run, farm.address)
            begun(gate)
            waiting = [threads.submit(other.run, farm.address) for other in others]
            wait_until(lambda: all((other.root / "job.json").exists() for other in others))
            farm.stop("scheduler", signal.SIGKILL)
            farm.processes.pop("one").wait(60)  # Dask ends workers that lost their scheduler.
            farm.start_scheduler()
            farm.start_worker("two")
            begun(gate, 2)
            (gate / "hold").unlink()
            assert running.result(60).worker == "two"
            assert {each.result(60).worker for each in waiting} == {"two"}
    finally:
        when_waiting(None)
    # All of them wait for one scheduler.
    assert sum("the connection to the scheduler was lost" in line for line in notices) == 1
    assert all("tried again in" in line for line in notices)
    assert len(notices) == len(set(notices))
    assert [(each["event"], each["worker"]) for each in farm.journal() if each["key"] == errand.key] == [
        ("began", "one"),
        ("stopped", "one"),
        ("began", "two"),
        ("done", "two"),
    ]


def test_a_worker_that_stops_for_a_while_is_waited_for(farm: Farm, tmp_path: Path) -> None:
    farm.start_scheduler()
    farm.start_worker("one")
    errand, gate = held(tmp_path)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(errand.run, farm.address)
        begun(gate)
        os.kill(farm.processes["one"].pid, signal.SIGSTOP)
        (gate / "hold").unlink()
        with pytest.raises(TimeoutError):
            running.result(2)
        os.kill(farm.processes["one"].pid, signal.SIGCONT)
        assert running.result(60).worker == "one"
    assert [each["event"] for each in farm.journal()] == ["began", "done"]


def test_builds_that_want_the_same_at_once_get_it_from_one_worker(workers: Farm, tmp_path: Path) -> None:
    errand, gate = held(tmp_path)
    (tmp_path / "other").mkdir()
    code = [sys.executable, "-c", ORDER, str(tmp_path / "other"), str(gate), workers.address]
    with ThreadPoolExecutor() as threads, subprocess.Popen(code) as other:
        running = threads.submit(errand.run, workers.address)
        begun(gate)
        wait_until(lambda: (tmp_path / "other/job.json").exists())
        (gate / "hold").unlink()
        running.result(60)
        assert other.wait(60) == 0
    assert (tmp_path / "other/outputs/result").read_text() == "held"
    assert [each["event"] for each in workers.journal() if each["key"] == errand.key].count("began") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_work_of_a_build_that_goes_away_is_killed(workers: Farm, tmp_path: Path, number: signal.Signals) -> None:
    errand, gate = held(tmp_path)
    code = [sys.executable, "-c", ORDER, str(errand.root), str(gate), workers.address]
    with subprocess.Popen(code, stderr=subprocess.DEVNULL) as build:
        (pid,) = begun(gate)
        assert alive(pid)
        build.send_signal(number)
        wait_until(lambda: not alive(pid), 20)
        build.wait(30)
    wait_until(
        lambda: [each["event"] for each in workers.journal() if each["key"] == errand.key] == ["began", "stopped"]
    )


def test_work_that_another_build_still_wants_goes_on(workers: Farm, tmp_path: Path) -> None:
    errand, gate = held(tmp_path)
    (tmp_path / "other").mkdir()
    code = [sys.executable, "-c", ORDER, str(tmp_path / "other"), str(gate), workers.address]
    with ThreadPoolExecutor() as threads, subprocess.Popen(code, stderr=subprocess.DEVNULL) as other:
        (pid,) = begun(gate)
        running = threads.submit(errand.run, workers.address)
        wait_until(lambda: (errand.root / "job.json").exists())
        with pytest.raises(TimeoutError):
            running.result(1)
        other.kill()
        other.wait(30)
        with pytest.raises(TimeoutError):
            running.result(1)
        assert alive(pid)
        (gate / "hold").unlink()
        running.result(60)
    assert [each["event"] for each in workers.journal() if each["key"] == errand.key] == ["began", "done"]


def test_a_worker_that_goes_before_its_files_are_fetched_has_its_work_done_again(farm: Farm, tmp_path: Path) -> None:
    farm.start_scheduler()
    farm.start_worker("one")
    first, second = (Errand(tmp_path / name, files={"text": b"lost"}) for name in ("first", "second"))
    for errand in (first, second):
        errand.root.mkdir()
    assert first.run(farm.address).worker == "one"
    farm.stop("one")
    farm.start_worker("two")
    # The scheduler still knows that it was done, by a worker that is gone.
    assert second.run(farm.address).worker == "two"
    assert (second.outputs / "deep/text").read_bytes() == b"LOST"
    assert [(each["event"], each["worker"]) for each in farm.journal()] == [
        ("began", "one"),
        ("done", "one"),
        ("found", "two"),
        ("began", "two"),
        ("done", "two"),
    ]


def test_work_waits_for_a_worker_that_can_do_it_when_the_others_went(farm: Farm, tmp_path: Path) -> None:
    farm.start_scheduler()
    farm.start_worker("other", environment={TOOLS_VARIABLE: "2"})
    farm.start_worker("one")
    farm.await_workers(2)
    errand, gate = held(tmp_path)
    notices: list[str] = []
    when_waiting(notices.append)
    try:
        with ThreadPoolExecutor() as threads:
            running = threads.submit(errand.run, farm.address)
            begun(gate)
            farm.stop("one")
            farm.start_worker("two")
            begun(gate, 2)
            (gate / "hold").unlink()
            assert running.result(60).worker == "two"
    finally:
        when_waiting(None)
    assert any("the workers that can do it are gone" in line for line in notices)
