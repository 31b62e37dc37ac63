"""Runs that are stopped at any moment: nothing finished is done again, nothing half-done or running is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling_tasks.files import digest_file
from tests.doit_plugin.repository import Repository

MARK = "SCALING_TASKS_TEST_RUN"
SIZES = ((16, 24), (24, 40), (32, 64))
ROUNDS, STOPS = 4, 5
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WAYS = ((), ("-n", "2"), ("-n", "2", "-P", "process"))


def start(repository: Repository, *arguments: str, method: str = "fork") -> subprocess.Popen[bytes]:
    code = (
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        f"    multiprocessing.set_start_method({method!r})\n"
        "    from doit.__main__ import main\n"
        "    main()\n"
    )
    script = repository.root / "run_doit.py"
    script.write_text(code)
    output = (repository.root / "output.txt").open("ab")
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        cwd=repository.root,
        env={**os.environ, MARK: str(repository.root), "PYTHONHASHSEED": "random"},
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def left_running(repository: Repository) -> list[str]:
    """Return the command lines of processes that a run of this repository started and that still live."""
    wanted = f"{MARK}={repository.root}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def wait_for_none(repository: Repository) -> list[str]:
    deadline = time.monotonic() + 15
    while (found := left_running(repository)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def stored(repository: Repository) -> dict[str, dict[str, str]]:
    """Return, per stored compile, the digests of its files by name; checks every file on the way."""
    found = {}
    for path in (repository.root / ".scaling/store/records").glob("??/[!.]*.json"):
        record = json.loads(path.read_text())
        for _, digest, size in record["files"]:
            blob = repository.root / ".scaling/store/blobs" / digest[:2] / digest
            assert blob.stat().st_size == size
            assert digest_file(blob) == digest
        found[path.stem] = {name: digest for name, digest, _ in record["files"]}
    return found


def half_files(repository: Repository) -> list[Path]:
    """Return files in the bundle whose content is not what any stored compile made, and unreadable documents."""
    good = {digest for files in stored(repository).values() for digest in files.values()}
    artefacts = [
        path for path in (repository.root / "build").glob("*/[!.]*") if path.suffix in (".xml", ".bin", ".blob")
    ]
    wrong = [path for path in artefacts if digest_file(path) not in good]
    for path in [*repository.root.glob("build/*/[!.]*.json"), *repository.root.glob(".scaling/targets/**/[!.]*.json")]:
        try:
            json.loads(path.read_text())
        except ValueError:
            wrong.append(path)
    return wrong


def compile_times(repository: Repository) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (repository.root / ".scaling/logs/net").glob("*.log")}


def wait_for_a_compiler(repository: Repository, run: subprocess.Popen[bytes], before: dict[str, int]) -> None:
    deadline = time.monotonic() + 60
    while compile_times(repository) == before and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def finished_units(repository: Repository) -> set[str]:
    """Return the units of the present model that the store has."""
    units = repository.root / ".scaling/targets/net/units.json"
    if not units.exists():
        return set()
    model = json.loads(units.read_text())["model"]
    if model != digest_file(repository.root / "models/net.onnx"):
        return set()
    records = [
        json.loads(path.read_text()) for path in (repository.root / ".scaling/store/records").glob("??/[!.]*.json")
    ]
    made = {
        stage: [each for each in records if each["components"]["stage"] == stage] for stage in ("analysis", "compile")
    }
    prepared = {
        digest
        for each in made["analysis"]
        for name, digest, _ in each["files"]
        if each["components"]["inputs"]["model/net.onnx"] == model and name.startswith("prepared")
    }
    return {
        each["components"]["parameters"]["unit"][0]
        for each in made["compile"]
        if each["components"]["inputs"]["model/net.onnx"] in prepared
    }


def test_stopping_at_any_moment_loses_nothing(repository: Repository) -> None:
    repository.write_target(sizes=SIZES, backend="openvino")
    chance = random.Random(20240607)
    stopped = amid = 0
    for turn in range(ROUNDS):
        repository.write_model(seed=100 + turn)
        for _ in range(STOPS):
            done, before = finished_units(repository), compile_times(repository)
            run = start(repository, *chance.choice(WAYS))
            if stopped % 4 == 0:  # However slow the machine is, some of these stop a compiler.
                wait_for_a_compiler(repository, run, before)
                time.sleep(chance.uniform(0.0, 0.3))
            else:
                time.sleep(chance.uniform(0.2, 2.6))
            run.send_signal(SIGNALS[stopped % len(SIGNALS)])
            # A signal that Python loses while doit itself is imported stops nothing: all is built then, however slowly.
            run.wait(timeout=120)
            stopped += 1
            assert wait_for_none(repository) == []
            assert half_files(repository) == []
            again = {name for name, moment in compile_times(repository).items() if before.get(name) != moment}
            assert not again & done
            amid += bool(again - finished_units(repository))
    done = finished_units(repository)
    run = repository.doit("-n", "2")
    assert run.ok, run.output
    assert not {name.removeprefix("net:") for name in run.compiled} & done
    files = {path.name: path.read_bytes() for path in (repository.root / "build/net").iterdir()}
    assert not [name for name in files if name.startswith(".")]
    assert stopped == ROUNDS * STOPS
    assert not list((repository.root / ".scaling/work").iterdir())  # Not even of the runs that were killed.
    assert amid > 0  # Otherwise no compiler was ever hit, and the test shows nothing.

    fresh = Repository(repository.root / "fresh")
    fresh.write_target(sizes=SIZES, backend="openvino")
    fresh.write_model(seed=100 + ROUNDS - 1)
    assert fresh.doit("-n", "2").ok
    assert {path.name: path.read_bytes() for path in (fresh.root / "build/net").iterdir()} == files


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("way", ["thread", "process"])
def test_killed_runs_leave_no_process(repository: Repository, method: str, way: str) -> None:
    repository.write_target(sizes=SIZES, backend="openvino")
    run = start(repository, "-n", "3", "-P", way, method=method)
    logs = repository.root / ".scaling/logs/net"
    deadline = time.monotonic() + 60
    while not list(logs.glob("*.log")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(logs.glob("*.log")), (repository.root / "output.txt").read_text()
    run.kill()
    run.wait()
    assert wait_for_none(repository) == []


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_start_method_builds_the_same(repository: Repository, method: str) -> None:
    run = start(repository, "-n", "2", "-P", "process", method=method)
    assert run.wait(timeout=120) == 0, (repository.root / "output.txt").read_text()
    assert repository.doit("-n", "2", "-P", "process", environment={"PYTHONHASHSEED": "7"}).executed == []


def test_an_interrupt_is_one_line_and_the_summary(repository: Repository) -> None:
    repository.write_target(sizes=SIZES, backend="openvino")
    run = start(repository, "-n", "2")
    logs = repository.root / ".scaling/logs/net"
    deadline = time.monotonic() + 60
    while not list(logs.glob("*.log")) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=30) != 0
    output = (repository.root / "output.txt").read_text()
    assert "Traceback" not in output
    assert "interrupted" in output


# Each is hit at a moment at which what a signal raises would be lost, or keep a lock that other threads wait for.
BAD_MOMENTS = {
    "a callback of the interpreter": """
class Thing: pass
thing = Thing()
reference = weakref.ref(thing, lambda _: stop())
del thing
print("callback over")
time.sleep(60)
""",
    "a finalizer": """
class Thing:
    def __del__(self): stop()
thing = Thing()
del thing
print("finalizer over")
time.sleep(60)
""",
    "an import": """
from pathlib import Path
Path("slow.py").write_text("import __main__, time\\n__main__.stop()\\ntime.sleep(0.3)\\nprint('imported')")
import slow
time.sleep(60)
""",
    "code that goes on all the same": """
interruption._WAY_OUT_SECONDS = 0.5
try:
    stop()
    time.sleep(60)
except KeyboardInterrupt:
    print("goes on")
    time.sleep(60)
""",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", BAD_MOMENTS)
def test_an_interrupt_of_a_run_at_a_bad_moment_is_not_lost(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    assert_interrupted("interruptible", number, BAD_MOMENTS[moment], tmp_path)


@pytest.mark.parametrize("moment", list(BAD_MOMENTS)[:-1])
def test_an_interrupt_before_a_run_at_a_bad_moment_is_not_lost(moment: str, tmp_path: Path) -> None:
    assert_interrupted("speak_of_interrupts", signal.SIGINT, BAD_MOMENTS[moment], tmp_path)


def assert_interrupted(prepare: str, number: signal.Signals, code: str, directory: Path) -> None:
    prologue = (
        "import os, signal, sys, time, weakref\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # Whatever started the tests may have ignored it.
        "from scaling_tasks.doit_plugin import interruption\n"
        "sys.path.insert(0, '.')\n"
        f"def stop(): os.kill(os.getpid(), {number:d})\n"
        f"interruption.{prepare}()\n"
    )
    (directory / "main.py").write_text(prologue + code)
    command = [sys.executable, "-u", "main.py"]
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=50, check=False)
    assert run.stderr == "interrupted; what is finished will not be done again\n"
    assert run.returncode != 0
    assert run.stdout


def test_an_interrupt_after_the_run_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import os, signal, time\n"
        "from scaling_tasks.doit_plugin import interruption\n"
        "interruption._WAY_OUT_SECONDS = 0.1\n"
        "interruption.interruptible()\n"
        "interruption.run_is_over()\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    time.sleep(1)\n"
        "    print('the caller goes on')\n"
    )
    command = [sys.executable, "main.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert (run.returncode, run.stdout) == (0, "the caller goes on\n")
