"""How far answers are from the original's at the exact size, over sizes drawn at random."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.zoo.model import Arrays, Sizes, ZooModel

__all__ = [
    "Answer",
    "Differences",
    "apart",
    "crop",
    "differences",
    "open_session",
    "pad",
    "plain_answer",
    "rounding",
    "while_patient",
]

Answer = Callable[[Arrays, Sizes], Mapping[str, NDArray[Any]]]
"""Answers a request: its inputs at their exact sizes, and those sizes, to outputs at the exact sizes."""

Differences = dict[str, float]
"""The largest difference of each output relative to its largest value, infinite where it cannot be compared."""


def open_session(model: onnx.ModelProto, *, threads: int = 0, optimised: bool = True) -> Callable[[Arrays], Arrays]:
    """Return a function that runs ``model`` under onnxruntime, without its optimisations where asked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    taken = {each.name for each in session.get_inputs()}

    def run(inputs: Arrays) -> Arrays:
        given = {name: array for name, array in inputs.items() if name in taken}
        return dict(zip(names, session.run(names, given), strict=True))

    return run


def perturbed(inputs: Arrays, seed: int) -> Arrays:
    """Return the inputs with every real number moved by one unit in its last place, up or down at random."""
    generator = np.random.default_rng(seed)
    moved = dict(inputs)
    for name, array in inputs.items():
        if array.dtype.kind == "f":
            toward = np.where(generator.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
            moved[name] = np.nextafter(array, toward)
    return moved


def rounding(
    model: ZooModel, proto: onnx.ModelProto, original: Any, seeds: Iterable[int], rows: str | None = None
) -> Differences:
    """Return how far the original is from itself when computed in another order, or from inputs one unit away.

    Where ``rows`` count independent rows, requests of one row are looked at as well as whole batches: the largest value
    of one row may be small.
    """
    seeds = list(seeds)
    reordered = open_session(proto, threads=1, optimised=False)
    worst: Differences = {}
    for fixed in [{}, {rows: 1}] if rows else [{}]:
        for answer in (lambda inputs, sizes: reordered(inputs), lambda inputs, sizes: original(perturbed(inputs, 0))):
            found = differences(model, proto, answer, original, seeds, fixed)
            worst = {name: max(gap, worst.get(name, 0.0)) for name, gap in found.items()}
    return worst


def differences(
    model: ZooModel,
    proto: onnx.ModelProto,
    answer: Answer,
    original: Any,
    seeds: Iterable[int],
    fixed: Sizes | None = None,
) -> Differences:
    """Return how far ``answer`` is from ``original`` at the sizes that the seeds draw, per output the worst.

    Sizes of variables in ``fixed`` are not drawn.
    """
    worst: Differences = {}
    for seed in seeds:
        sizes = {**model.draw_sizes(seed), **(fixed or {})}
        inputs = model.draw(sizes, seed, proto)
        expected, found = original(inputs), answer(inputs, sizes)
        for name, array in expected.items():
            worst[name] = max(worst.get(name, 0.0), apart(found.get(name), array))
    return worst


def while_patient(seeds: Iterable[int], seconds: float, least: int, done: list[int]) -> Iterator[int]:
    """Yield seeds until so many seconds have passed, ``least`` of them in any case; note in ``done`` those yielded."""
    started = time.perf_counter()
    for seed in seeds:
        if len(done) >= least and time.perf_counter() - started > seconds:
            return
        done.append(seed)
        yield seed


def apart(found: NDArray[Any] | None, expected: NDArray[Any]) -> float:
    """Return the largest difference relative to the largest value; infinite where shape, type or finiteness differ."""
    if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    left, right = found.astype(np.float64), expected.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return 0.0
    if not np.isfinite(left[~same]).all() or not np.isfinite(right[~same]).all():
        return float("inf")
    scale = float(np.abs(right[np.isfinite(right)]).max())
    gap = float(np.abs(left[~same] - right[~same]).max())
    return gap / scale if scale else float("inf")


def pad(inputs: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return the inputs with zeros at the end of every axis up to ``shapes``."""
    return {
        name: np.pad(array, [(0, new - old) for new, old in zip(shapes[name], array.shape, strict=True)] or 0)
        for name, array in inputs.items()
    }


def crop(output: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the first positions of every axis."""
    return output[tuple(slice(size) for size in shape)] if output.ndim == len(shape) else output


def plain_answer(model: ZooModel, proto: onnx.ModelProto, run: Callable[[Arrays], Arrays], original: Any) -> Answer:
    """Return what bucketing without an analysis gives: zeros at the end, and the first positions of each output.

    The sizes to cut to are taken from the original, as if no mistake were made there.
    """
    shapes = {name: array.shape for name, array in model.draw(model.bucket, 0, proto).items()}

    def answer(inputs: Arrays, sizes: Sizes) -> Mapping[str, NDArray[Any]]:
        outputs = run(pad(inputs, shapes))
        return {name: crop(outputs[name], array.shape) for name, array in original(inputs).items()}

    return answer
