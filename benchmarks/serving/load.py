"""A load test: the server with a bundle, and the same server with the dynamic model, asked by tritonclient over gRPC.

    python -m benchmarks.serving.load [--seconds 8] [--clients 1,8,32] [--bound 500]

The model is PP-OCRv4's recogniser, the lines are those of the receipts, one line a request; each client sends the next
when the answer is there. Both servers answer exactly, have OpenVINO in float32 with one thread per core, and meet every
line once before they are timed. *In time* are the answers per second that came within the bound. The clients, which are
processes of their own, run on the same cores: rows are to be compared with each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from benchmarks.serving.bundles import build_bundle, planned_widths, with_batches
from benchmarks.serving.crops import find_work
from benchmarks.serving.rows import BUILD, MODEL
from benchmarks.serving.systems import DYNAMIC, THREADS, openvino_model
from scaling_tasks.process_memory import process_memory

WIDTHS = 16


def serve_dynamic() -> None:
    """Be the server with the dynamic model: one engine per core, one line at a time each."""
    from kserve.model import InferenceModel
    from kserve.model_repository import ModelRepository

    from scaling_tasks.serving.server import Address, serve
    from scaling_tasks.serving.tensors import arrays_of, response_of

    idle: SimpleQueue[Any] = SimpleQueue()
    for _ in range(THREADS):
        idle.put(openvino_model(MODEL, DYNAMIC, "f32", threads=1))
    threads = ThreadPoolExecutor(THREADS)

    def run(line: Any) -> Any:
        request = idle.get()
        try:
            return np.array(request.infer({0: line}, share_inputs=True)[0])
        finally:
            idle.put(request)

    class Dynamic(InferenceModel):
        async def __call__(self, body: Any, headers: Any = None, verb: Any = None) -> Any:
            line = arrays_of(body)["x"]
            answer = await asyncio.get_running_loop().run_in_executor(threads, run, line)
            return response_of(body, self.name, {"y": answer}), {}

        def __init__(self) -> None:
            super().__init__("rec")
            self.ready = True

    class Repository(ModelRepository):
        async def close(self) -> None:
            threads.shutdown()

    repository: Any = Repository()
    repository.update(Dynamic())
    asyncio.run(serve(repository, Address("127.0.0.1", 0, 0), 30, _tell))


def _tell(address: Any) -> None:
    print(f"serving rec: HTTP {address.host}:{address.http}, gRPC {address.host}:{address.grpc}", flush=True)


@contextmanager
def running(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server; yield it and its gRPC port."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"gRPC .*:(\d+)", process.stdout.readline())
            if found is None:
                raise SystemExit("the server did not start")
            yield process, int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)


def client_process(port: int, lines: list[Any], first: int, clients: int, seconds: float, results: Any) -> None:
    """Be some of the clients, a thread each; put the seconds that each answer took."""
    import tritonclient.grpc as triton

    took: list[float] = []
    ends = time.monotonic() + seconds

    def send(client: Any, line: Any) -> None:
        tensor = triton.InferInput("x", line.shape, "FP32")
        tensor.set_data_from_numpy(line)
        begin = time.monotonic()
        client.infer("rec", [tensor])
        took.append(time.monotonic() - begin)

    def work(number: int) -> None:
        client, turn = triton.InferenceServerClient(f"127.0.0.1:{port}"), number * 7
        while time.monotonic() < ends:
            send(client, lines[turn % len(lines)])
            turn += 1

    if seconds:
        threads = [threading.Thread(target=work, args=(first + number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:  # every line once
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        while not client.is_server_ready():
            time.sleep(0.05)
        for line in lines:
            send(client, line)
    results.put(took)


def drive(port: int, lines: list[Any], clients: int, seconds: float) -> list[float]:
    """Return the seconds that each answer took."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    shares = [clients // 2, clients - clients // 2] if clients > 1 else [1]
    processes = [
        context.Process(target=client_process, args=(port, lines, sum(shares[:at]), share, seconds, results))
        for at, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    took = [each for _ in processes for each in results.get(timeout=600)]
    for process in processes:
        process.join()
    return took


def main() -> None:
    """Print the table, or be the server with the dynamic model."""
    parser = argparse.ArgumentParser(description="Load a server with a bundle, and with the dynamic model.")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--bound", type=float, default=500.0, help="milliseconds")
    parser.add_argument("--pages", type=int, default=3)
    parser.add_argument("--dynamic", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dynamic:
        serve_dynamic()
        return
    work = find_work(options.pages)
    lines = [np.ascontiguousarray(pixels[None]) for page in work.pages for pixels in page.pixels]
    shapes = with_batches(planned_widths(work.widths, WIDTHS), (1,))
    bundle = build_bundle(MODEL, shapes, BUILD / f"{work.name}-load", "f32")
    servers = {
        f"bundle, {WIDTHS} widths": ["scaling_tasks.serving", f"rec={bundle}", "--http-port", "0", "--grpc-port", "0"],
        "dynamic model": ["benchmarks.serving.load", "--dynamic"],
    }
    print(f"{len(lines)} lines of {work.name}; load of the machine before: {os.getloadavg()[0]:.1f}\n")
    head = "| server | clients | answers/s | p50 ms | p99 ms | in time/s | first pass s | memory MB |"
    print(head + "\n" + "|---" * 8 + "|")
    table: list[dict[str, Any]] = []
    for name, command in servers.items():
        with running(command) as (process, port):
            first = sum(drive(port, lines, 1, 0))
            for clients in map(int, options.clients.split(",")):
                took = np.array(drive(port, lines, clients, options.seconds))
                figures = {
                    "answers/s": len(took) / options.seconds,
                    "p50": 1000 * float(np.quantile(took, 0.5)),
                    "p99": 1000 * float(np.quantile(took, 0.99)),
                    "in time": float((1000 * took <= options.bound).sum()) / options.seconds,
                    "first": first,
                    "memory": process_memory(process.pid) / (1 << 20),
                }
                table.append({"server": name, "clients": clients, **figures})
                print(f"| {name} | {clients} | " + " | ".join(f"{value:.1f}" for value in figures.values()) + " |")
    BUILD.mkdir(parents=True, exist_ok=True)
    Path(BUILD / "load.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
