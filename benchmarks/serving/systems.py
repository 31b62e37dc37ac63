"""The ways of serving a page that are compared. Each takes prepared lines and returns class scores [T, C] per line."""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.runtime.bundle import load_bundle

Pixels = NDArray[np.float32]
Serve = Callable[[Sequence[Pixels]], list[NDArray[Any]]]

THREADS = os.cpu_count() or 1
DYNAMIC = (-1, 3, 48, -1)


def onnxruntime_session(model: Path, arena: bool = True) -> Any:
    """Return onnxruntime on the dynamic model with all threads, which it sets by itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = arena
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def openvino_model(model: Path, shape: Sequence[int], precision: str, threads: int = THREADS) -> Any:
    """Return OpenVINO on the model at ``shape`` (-1 for dynamic), compiled as the openvino backend does."""
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(list(shape))
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if threads < THREADS:
        settings["ENABLE_CPU_PINNING"] = False
    if -1 not in shape:
        settings["SNIPPETS_MODE"] = "DISABLE"
    return core.compile_model(network, "CPU", settings).create_infer_request()


def batch_of(lines: Sequence[Pixels], width: int, rows: int = 0) -> Pixels:
    """Return the lines below each other, zeros at their right, and rows of zeros."""
    batch = np.zeros((max(rows, len(lines)), 3, 48, width), np.float32)
    for row, pixels in enumerate(lines):
        batch[row, :, :, : pixels.shape[2]] = pixels
    return batch


def rapidocr_rule(model: Path) -> Serve:
    """Sort by width, batches of 6, padded to the widest and to at least 320, on onnxruntime with RapidOCR's options."""
    session = onnxruntime_session(model, arena=False)

    def serve(lines: Sequence[Pixels]) -> list[NDArray[Any]]:
        def run(batch: Sequence[Pixels]) -> Any:
            width = max(320, *(pixels.shape[2] for pixels in batch))
            return session.run(None, {"x": batch_of(batch, width)})[0]

        return _sorted_batches(lines, 6, run)

    return serve


def onnxruntime_singles(model: Path) -> Serve:
    """One line at a time at its own width, on onnxruntime: also the reference for what is read."""
    session = onnxruntime_session(model)
    return lambda lines: [session.run(None, {"x": pixels[None]})[0][0] for pixels in lines]


def openvino_singles(model: Path, precision: str) -> Serve:
    """One line at a time at its own width, on OpenVINO's dynamic model."""
    request = openvino_model(model, DYNAMIC, precision)
    return lambda lines: [_infer(request, pixels[None])[0] for pixels in lines]


def openvino_sixes(model: Path, precision: str) -> Serve:
    """Sort by width, batches of 6 padded to the widest, on OpenVINO's dynamic model."""
    request = openvino_model(model, DYNAMIC, precision)
    return lambda lines: _sorted_batches(lines, 6, lambda batch: _infer(request, _just_wide_enough(batch)))


def openvino_sixes_parallel(model: Path, precision: str) -> Serve:
    """As ``openvino_sixes``, with one request per core with one thread each: dynamic shapes at their best."""
    requests: SimpleQueue[Any] = SimpleQueue()
    for _ in range(THREADS):
        requests.put(openvino_model(model, DYNAMIC, precision, threads=1))
    pool = ThreadPoolExecutor(THREADS)

    def run(batch: Sequence[Pixels]) -> Any:
        request = requests.get()
        try:
            return _infer(request, _just_wide_enough(batch))
        finally:
            requests.put(request)

    return lambda lines: _sorted_batches(lines, 6, run, pool)


def mindocr_rule(model: Path, precision: str, widths: Sequence[int], counts: Sequence[int]) -> Serve:
    """MindOCR's matching on OpenVINO static models: nearest gear per line, the batch's largest, lines squeezed to it.

    Full batches of the largest count, then its ``bisect_right`` for the rest; lines in the order in which they come.
    """
    import cv2

    engines = {
        (count, width): openvino_model(model, [count, 3, 48, width], precision)
        for count, width in itertools.product(counts, widths)
    }

    def squeezed(pixels: Pixels, width: int) -> Pixels:
        if pixels.shape[2] <= width:
            return pixels
        return np.ascontiguousarray(cv2.resize(pixels.transpose(1, 2, 0), (width, 48)).transpose(2, 0, 1))

    def serve(lines: Sequence[Pixels]) -> list[NDArray[Any]]:
        results: list[NDArray[Any]] = []
        for start in range(0, len(lines), counts[-1]):
            batch = lines[start : start + counts[-1]]
            full = len(batch) == counts[-1]
            count = counts[-1] if full else counts[min(bisect_right(counts, len(batch)), len(counts) - 1)]
            width = max(min(widths, key=lambda gear: abs(gear - pixels.shape[2])) for pixels in batch)
            fitted = [squeezed(pixels, width) for pixels in batch]
            scores = _infer(engines[count, width], batch_of(fitted, width, rows=count))
            results += list(scores[: len(batch)])
        return results

    return serve


def pad_to_maximum(model: Path, precision: str, width: int) -> Serve:
    """One static model as wide as the widest line, one line at a time."""
    request = openvino_model(model, [1, 3, 48, width], precision)
    return lambda lines: [_infer(request, batch_of([pixels], width))[0] for pixels in lines]


def bundle(directory: Path) -> Serve:
    """Ours: ``run_many`` of a bundle, one engine with one thread per core."""
    model = load_bundle(directory, threads=1, in_flight=THREADS, warm_up=True)

    def serve(lines: Sequence[Pixels]) -> list[NDArray[Any]]:
        answers = model.run_many([{"x": pixels[None]} for pixels in lines])
        return [next(iter(answer.values()))[0] for answer in answers]

    return serve


def _infer(request: Any, batch: Pixels) -> Any:
    return request.infer({0: batch}, share_inputs=True)[0]


def _just_wide_enough(lines: Sequence[Pixels]) -> Pixels:
    return batch_of(lines, max(pixels.shape[2] for pixels in lines))


def _sorted_batches(
    lines: Sequence[Pixels], count: int, run: Callable[[Sequence[Pixels]], Any], pool: Executor | None = None
) -> list[NDArray[Any]]:
    # Widest first, so that parallel ones end at about the same time.
    order = sorted(range(len(lines)), key=lambda line: -lines[line].shape[2])
    chosen = [order[start : start + count] for start in range(0, len(order), count)]
    batches = [[lines[line] for line in indices] for indices in chosen]
    results: dict[int, NDArray[Any]] = {}
    for indices, scores in zip(chosen, (pool.map if pool else map)(run, batches), strict=True):
        results.update(zip(indices, scores, strict=True))
    return [results[line] for line in range(len(lines))]
