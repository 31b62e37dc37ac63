"""A server in a process of its own, as its command starts it, and clients that are not ours."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tritonclient.http", reason="the extra 'test' is not installed")

import tritonclient.grpc
import tritonclient.http

from scaling_tasks.runtime.bundle import read_manifest
from tests.runtime.test_real_bundles import build

BUCKETS = [(count, width) for count in (1, 4) for width in (64, 96)]
HTTP, GRPC = tritonclient.http, tritonclient.grpc
PROTOCOLS = {"http": HTTP, "grpc": GRPC}
Pixels = NDArray[np.float32]


class Served:
    """A running server."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "scaling_tasks.serving", "--http-port", "0", "--grpc-port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"serving .*: HTTP 127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:(\d+)\n", line)
        assert found, line + self.stop()[1]
        self.ports = {"http": int(found[1]), "grpc": int(found[2])}

    def client(self, protocol: str) -> Any:
        """A client; those over HTTP belong to the thread that made them."""
        return PROTOCOLS[protocol].InferenceServerClient(f"127.0.0.1:{self.ports[protocol]}")

    def wait_until_ready(self) -> None:
        client, ends = self.client("http"), time.monotonic() + 300
        while not client.is_server_ready():
            assert time.monotonic() < ends, "it does not get ready"
            time.sleep(0.05)

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}/metrics", timeout=120) as answer:
            lines = answer.read().decode().splitlines()
        return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
        """A request as no client library would send it."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['http']}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def stop(self) -> tuple[int, str]:
        """End it as an orchestrator does; return its exit status and its log."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, log = self.process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, log = self.process.communicate()
        return self.process.returncode, log


def infer(client: Any, model: str, pixels: Pixels, protocol: str) -> Any:
    """Send one request; return the first output."""
    kind = PROTOCOLS[protocol]
    tensor = kind.InferInput("x", pixels.shape, "FP32")
    tensor.set_data_from_numpy(pixels)
    answer = client.infer(model, [tensor])
    outputs = answer.get_response()
    first = outputs["outputs"][0]["name"] if protocol == "http" else outputs.outputs[0].name
    return answer.as_numpy(first)


def under_load(
    served: Served, model: str, requests: list[Pixels], during: Callable[[], object], clients: int = 4
) -> list[tuple[int, Any]]:
    """Send requests from several clients of both protocols while something happens, each until it has happened.

    Returns:
        Which request was sent and what came, its answer or the exception.
    """
    over, results, lock = threading.Event(), [], threading.Lock()

    def work(number: int) -> None:
        protocol = "http" if number % 2 else "grpc"
        client, turn = served.client(protocol), number
        while not over.is_set():
            chosen = turn % len(requests)
            try:
                result: Any = infer(client, model, requests[chosen], protocol)
            except Exception as error:
                result = error
            with lock:
                results.append((chosen, result))
            turn += 1
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        during()
    finally:
        over.set()
        for thread in threads:
            thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return results


@pytest.fixture(scope="module")
def classifier(ocr_models: Path) -> Path:
    return ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


@pytest.fixture(scope="module")
def bundle(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(classifier, "openvino", [-1, 3, 48, -1], BUCKETS, tmp_path_factory.mktemp("served") / "cls")


def let_batches_pay(directory: Path) -> Path:
    """Have a batch cost little more than one row, so that each request waits for others as long as it may."""
    manifest = read_manifest(directory)
    artefacts = tuple(
        replace(each, costs=tuple(10.0 + count for count, _ in each.buckets)) for each in manifest.artefacts
    )
    (directory / "manifest.json").write_text(replace(manifest, artefacts=artefacts).to_json())
    return directory


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    paying = let_batches_pay(Path(shutil.copytree(bundle, tmp_path_factory.mktemp("paying") / "paying")))
    server = Served(str(bundle), f"again={bundle}", str(paying), "--batch-wait", "2000")
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def pixels_of(count: int, width: int) -> Pixels:
    return np.random.default_rng((count, width)).random((count, 3, 48, width), dtype=np.float32)
