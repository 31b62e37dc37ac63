"""A server's life: ready, another generation under load, a killed worker, the end; and no request is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.serving.bundles import build_bundle
from scaling_tasks.actions.publication import publish_generation
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.process_trees import descendants
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.bundle import read_manifest
from tests.runtime.test_real_bundles import build
from tests.serving.conftest import BUCKETS, PROTOCOLS, Served, infer, let_batches_pay, pixels_of, under_load

REQUESTS = [pixels_of(count, width) for count, width in ((1, 64), (2, 96), (1, 90), (4, 40), (3, 64))]


ANSWERED = 'scaling_tasks_request_seconds_count{model="cls"}'


@pytest.fixture(scope="module")
def wanted(classifier: Path) -> list[Any]:
    original = OriginalModel(classifier)
    return [next(iter(original.run({"x": pixels}).values())) for pixels in REQUESTS]


@pytest.fixture(scope="module")
def exact(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose answers are the original's at any size."""
    return build_bundle(classifier, BUCKETS, tmp_path_factory.mktemp("exact"), "f32")


@pytest.fixture
def published(exact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exact, tmp_path / "cls"))


@pytest.fixture
def server(published: Path) -> Iterator[Served]:
    started = Served(str(published))
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.stop()


def assert_all_served(results: list[tuple[int, Any]], wanted: list[Any], fewest: int) -> None:
    errors = [result for _, result in results if isinstance(result, Exception)]
    assert not errors, errors[:3]
    assert len(results) >= fewest
    for chosen, result in results:
        np.testing.assert_allclose(result, wanted[chosen], atol=2e-4)


def test_another_generation_takes_over_under_load(
    server: Served, published: Path, classifier: Path, wanted: list[Any], tmp_path: Path
) -> None:
    second = build_bundle(classifier, [(1, 64), (2, 64), (2, 96), (4, 96)], tmp_path / "second", "f32")
    former = [path.name for path in published.iterdir() if path.is_file()]
    before = server.metrics()

    def reload() -> None:
        time.sleep(0.5)
        files = {path.name: path for path in second.iterdir() if path.is_file()}
        publish_generation(published, files, former, "manifest.json")
        code, answer = server.post("/v2/repository/models/cls/load", b"")
        assert (code, answer) == (200, {"name": "cls", "load": True})
        time.sleep(0.5)

    results = under_load(server, "cls", REQUESTS, reload)
    assert_all_served(results, wanted, 8)
    after = server.metrics()
    assert after['scaling_tasks_reloads_total{model="cls"}'] == 1
    assert any('bucket="N2_W64"' in key for key in after)
    # What the first generation served is not forgotten.
    total = 'scaling_tasks_requests_total{model="cls"}'
    assert after[total] - before.get(total, 0) == len(results)
    # Told again, it has nothing to do.
    assert server.post("/v2/repository/models/cls/load", b"")[0] == 200
    assert server.metrics()['scaling_tasks_reloads_total{model="cls"}'] == 1


def test_a_damaged_generation_is_refused_and_the_old_one_goes_on(
    server: Served, published: Path, exact: Path, wanted: list[Any], tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(exact, tmp_path / "broken"))
    manifest = read_manifest(broken)
    first, *others = manifest.artefacts
    other = replace(first, files=(replace(first.files[0], digest="0" * 64), *first.files[1:]))
    (broken / "manifest.json").write_text(replace(manifest, artefacts=(other, *others)).to_json())
    files = {path.name: path for path in broken.iterdir() if path.is_file()}
    publish_generation(published, files, list(files), "manifest.json")
    code, answer = server.post("/v2/repository/models/cls/load", b"")
    assert code == 503
    assert "it is not the file that was built" in answer["error"]
    for protocol in PROTOCOLS:
        np.testing.assert_allclose(infer(server.client(protocol), "cls", REQUESTS[0], protocol), wanted[0], atol=2e-4)
    assert server.post("/v2/repository/models/unknown/load", b"")[0] == 404


def test_a_model_gets_ready_and_is_let_go(server: Served, wanted: list[Any]) -> None:
    client = server.client("http")
    client.unload_model("cls")
    with pytest.raises(Exception, match="there is no model 'cls'"):
        infer(client, "cls", REQUESTS[0], "http")
    client.load_model("cls")
    assert not client.is_model_ready("cls")
    assert not client.is_server_ready()
    # It serves all the same.
    np.testing.assert_allclose(infer(client, "cls", REQUESTS[0], "http"), wanted[0], atol=2e-4)
    server.wait_until_ready()
    assert client.is_model_ready("cls")
    assert server.client("grpc").is_model_ready("cls")


def is_alive(pid: int) -> bool:
    """Return whether a process runs: one that was killed stays in the list until its parent asks for it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("engine", ["nncase", "openvino"])
def test_a_killed_worker_loses_no_request(
    classifier: Path, exact: Path, wanted: list[Any], tmp_path: Path, engine: str
) -> None:
    requests, answers, arguments = REQUESTS, wanted, [f"cls={exact}", "--isolated"]
    if engine == "nncase":
        try:
            get_backend("nncase").identity({"backend": "nncase", "device": "cpu", "options": {"target": "cpu"}})
        except CompileError as missing:
            pytest.skip(str(missing))
        # Of one width, since this bundle accepts what padding does.
        chosen = [number for number, pixels in enumerate(REQUESTS) if pixels.shape[3] == 64]
        requests, answers = [REQUESTS[number] for number in chosen], [wanted[number] for number in chosen]
        made = build(classifier, engine, [-1, 3, 48, -1], [(1, 64), (2, 64)], tmp_path / "cls", target="cpu")
        arguments = [str(made)]
    server = Served(*arguments)
    try:
        server.wait_until_ready()
        workers = set(descendants(server.process.pid))
        assert workers

        def kill() -> None:
            for _ in range(2):
                time.sleep(0.5)
                for worker in set(descendants(server.process.pid)):
                    os.kill(worker, signal.SIGKILL)
                served = server.metrics().get(ANSWERED, 0.0)
                while server.metrics().get(ANSWERED, 0.0) < served + 2 * len(requests):
                    time.sleep(0.05)

        assert_all_served(under_load(server, "cls", requests, kill), answers, 8)
        assert not any(map(is_alive, workers))
        assert 'scaling_tasks_errors_total{kind="engine",model="cls"}' not in server.metrics()
    finally:
        code, _ = server.stop()
    assert code == 0


def test_the_end_waits_for_what_came(published: Path, wanted: list[Any]) -> None:
    let_batches_pay(published)
    server = Served(str(published), "--batch-wait", "3000")
    answers: dict[str, Any] = {}
    try:
        server.wait_until_ready()
        clients = {protocol: server.client(protocol) for protocol in PROTOCOLS}

        def send(protocol: str) -> None:
            answers[protocol] = infer(clients[protocol], "cls", REQUESTS[0], protocol)

        threads = [threading.Thread(target=send, args=(protocol,)) for protocol in clients]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert not answers
    finally:
        code, log = server.stop()
    for thread in threads:
        thread.join(60)
    assert code == 0
    assert "Traceback" not in log
    for protocol in PROTOCOLS:
        np.testing.assert_allclose(answers[protocol], wanted[0], atol=2e-4)


def refused(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scaling_tasks.serving", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_start_that_cannot_be_is_told_in_one_line(bundle: Path, tmp_path: Path) -> None:
    assert "Build the bundle first" in refused(str(tmp_path))
    assert "two bundles have this name" in refused(str(bundle), str(bundle))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port}: cannot listen there" in refused(str(bundle), "--http-port", port)
        assert f"127.0.0.1:{port}: cannot listen there" in refused(str(bundle), "--http-port", "0", "--grpc-port", port)


def test_a_server_without_its_packages_says_how_to_get_them(bundle: Path) -> None:
    script = (
        "import sys; sys.modules['kserve'] = None; from scaling_tasks.serving.__main__ import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == ("error: the package 'kserve' is not installed. Run `pip install 'scaling-tasks[serve]'`.\n")
