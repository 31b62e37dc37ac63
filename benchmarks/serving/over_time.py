"""Memory and latency over many requests of random widths: a static bundle, and dynamic models of two engines.

    python -m benchmarks.serving.over_time [--requests 100000] [--model rec] [--rows bundle]

Each system is a process of its own with one thread; they take turns, a twentieth of the requests at a time, so that
other load hits all of them alike. *Compiled* counts what the engine prepared after it was ready: primitives that oneDNN
made, which is OpenVINO's kernel library and tells so itself (``ONEDNN_VERBOSE``); onnxruntime prepares nothing for a
shape.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.bundles import build_bundle, with_batches
from benchmarks.serving.rows import BUILD, ROOT
from benchmarks.serving.systems import DYNAMIC, openvino_model
from scaling_tasks.process_memory import process_memory
from scaling_tasks.runtime.bundle import load_bundle

POINTS = 20
WIDEST = 1216
STATIC, DYNAMIC_OPENVINO, DYNAMIC_ONNXRUNTIME = "bundle, 32 widths", "OpenVINO, dynamic", "onnxruntime, dynamic"


def widths_of(count: int) -> list[int]:
    """Return so many widths up to the widest, evenly spread as the requests are."""
    return sorted({int(width) for width in np.ceil(np.linspace(0, WIDEST, count + 1)[1:] / 8) * 8})


def system(name: str, model: Path) -> Any:
    """Return a function from a line to its answer; everything is ready."""
    if name == STATIC:
        shapes = with_batches(widths_of(32), (1,))
        bundle = load_bundle(build_bundle(model, shapes, BUILD / f"{model.stem}-over-time", "f32"), threads=1)
        bundle.warm_up()
        return lambda line: bundle.run({"x": line})
    if name == DYNAMIC_OPENVINO:
        request = openvino_model(model, DYNAMIC, "f32", threads=1)
        return lambda line: np.array(request.infer({0: line}, share_inputs=True)[0])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda line: session.run(None, {"x": line})[0]


def serve(name: str, model: Path, connection: Connection) -> None:
    """Answer how a number of requests went, until there are no more."""
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)  # Where oneDNN tells what it makes.
        run = system(name, model)
        generator, seen = np.random.default_rng(0), log.seek(0, 2)
        compiled, longest = 0, np.random.default_rng(1).uniform(-1, 1, (1, 3, 48, WIDEST)).astype(np.float32)
        connection.send(process_memory())
        while count := connection.recv():
            took = []
            for width in generator.integers(16, WIDEST + 1, count):
                line = np.ascontiguousarray(longest[..., :width])
                begin = time.perf_counter()
                run(line)
                took.append(time.perf_counter() - begin)
            log.seek(seen)
            compiled += sum(b",primitive,create" in line for line in log)
            seen = log.tell()
            connection.send((process_memory(), *(1000 * float(np.quantile(took, q)) for q in (0.5, 0.99)), compiled))


def main() -> None:
    """Print the table as Markdown; write it to ``build/benchmarks/serving/over_time.json``."""
    parser = argparse.ArgumentParser(description="Compare memory and latency over many requests of random widths.")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--model", choices=("rec", "cls"), default="rec")
    parser.add_argument("--rows", default="", help="comma-separated parts of the systems' names; all by default")
    options = parser.parse_args()
    os.environ["ONEDNN_VERBOSE"] = "profile_create"
    context, parts = multiprocessing.get_context("spawn"), options.rows.split(",")
    systems = (STATIC, DYNAMIC_OPENVINO, DYNAMIC_ONNXRUNTIME)
    names = [name for name in systems if any(part in name for part in parts)]
    ends, processes = {}, []
    for name in names:
        ends[name], other = context.Pipe()
        model = ROOT / f"models/ppocr_{options.model}.onnx"
        processes.append(context.Process(target=serve, args=(name, model, other), daemon=True))
        processes[-1].start()
        print(f"{name}: ready, {ends[name].recv() / (1 << 20):.0f} MB", flush=True)
    print("\n| requests |" + "".join(f" {name}: MB | p50 ms | p99 ms | compiled |" for name in names))
    print("|---" * (1 + 4 * len(names)) + "|", flush=True)
    rows = []
    for point in range(1, POINTS + 1):
        row: dict[str, Any] = {"requests": options.requests * point // POINTS}
        for name in names:
            ends[name].send(options.requests // POINTS)
            row[name] = ends[name].recv()
        rows.append(row)
        cells = (f" {row[n][0] / (1 << 20):.0f} | {row[n][1]:.1f} | {row[n][2]:.1f} | {row[n][3]} |" for n in names)
        print(f"| {row['requests']} |" + "".join(cells), flush=True)
    for name in names:
        ends[name].send(0)
    (BUILD / "over_time.json").write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
