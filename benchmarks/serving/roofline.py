"""How fast recognition could be on this processor: its arithmetic, the engine at exact widths, and what lies between.

``python -m benchmarks.serving.roofline`` counts the multiply-adds of the mean line, measures how many of them a second
OpenVINO reaches in plain matrix products, and times the engine as ``ours`` runs it (one request with one thread per
core) at exact widths, with nothing to pad, copy or choose. No way of serving on this engine can pass the last figures.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.serving.bundles import BATCHES
from benchmarks.serving.crops import INPUTS, find_work
from benchmarks.serving.rows import MODEL
from benchmarks.serving.systems import THREADS, openvino_model
from scaling_tasks.onnx_model.flops import FlopsCost
from scaling_tasks.shapes.signature import name_dimensions

_SECONDS, _TRIES = 0.5, 5


def calls_per_second(calls: Sequence[Callable[[], Any]]) -> float:
    """Return how many calls a second all of them together make at best, each in a thread of its own."""

    def timed(repeats: int) -> float:
        def loop(call: Callable[[], Any]) -> None:
            for _ in range(repeats):
                call()

        threads = [threading.Thread(target=loop, args=(call,)) for call in calls]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - begin) / (repeats * len(calls))

    repeats = max(2, int(_SECONDS / (timed(2) * len(calls))))
    return 1 / min(timed(repeats) for _ in range(_TRIES))


def matrix_products(precision: str, size: int = 1024, count: int = 8) -> float:
    """Return the multiply-adds a second of a chain of products of square matrices."""
    import openvino
    from openvino import opset13

    rng = np.random.default_rng(0)
    first = last = opset13.parameter([size, size], np.float32)
    for _ in range(count):
        weights = rng.uniform(-1, 1, (size, size)).astype(np.float32) / math.sqrt(size)
        last = opset13.matmul(last, opset13.constant(weights), False, True)
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    network, values = openvino.Model([last], [first]), rng.random((size, size), np.float32)
    requests = [openvino.Core().compile_model(network, "CPU", settings).create_infer_request() for _ in range(THREADS)]
    return count * size**3 * calls_per_second([lambda r=each: r.infer({0: values}) for each in requests])


def lines_per_second(widths: Sequence[int], count: int, precision: str) -> float:
    """Return the lines a second at exact widths in batches of ``count``, from a few widths and lines between them."""
    points = sorted({int(-(-width // 8) * 8) for width in np.quantile(widths, np.linspace(0, 1, 9))})
    seconds = []
    for width in points:
        batch = np.random.default_rng(0).random((count, 3, 48, width), np.float32)
        requests = [openvino_model(MODEL, batch.shape, precision, threads=1) for _ in range(THREADS)]
        rate = calls_per_second([lambda r=each, b=batch: r.infer({0: b}, share_inputs=True) for each in requests])
        seconds.append(1 / (rate * count))
    return 1 / float(np.mean(np.interp(widths, points, seconds)))


def main() -> None:
    """Print the limits as Markdown."""
    work = find_work()
    widths = [pixels.shape[2] for page in work.pages for pixels in page.pixels]
    operations = FlopsCost(MODEL, name_dimensions(INPUTS), multiply_add_only=True)
    per_line = float(operations(np.array([[1, width] for width in widths])).mean()) / 2
    mean = f"{np.mean(widths):.0f} wide and {per_line / 1e9:.3f} G multiply-adds on average"
    print(f"{work.name}: {len(widths)} lines, {mean}; {THREADS} cores\n")
    print("| | matrix products, G/s | at that rate, lines/s |" + "".join(f" engine, N = {n} |" for n in BATCHES))
    print("|---" * (3 + len(BATCHES)) + "|")
    for precision in ("f32", "bf16"):
        peak = matrix_products(precision)
        reached = "".join(f" {lines_per_second(widths, count, precision):.0f} |" for count in BATCHES)
        print(f"| {precision} | {peak / 1e9:.0f} | {peak / per_line:.0f} |{reached}", flush=True)


if __name__ == "__main__":
    main()
