"""Measuring two models in turn on one engine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cleaning.models import Pair
from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.engines.threads import limited_threads

_RUNS = 4
"""Runs per burst; the best counts."""


class Ratios(NamedTuple):
    """The cleaned model's time over the plain one's.

    Attributes:
        processor: Median of the ratios of processor time.
        quartiles: Of the same.
        clock: Median of the ratios of time on the clock.
        milliseconds: Of processor time, the plain model's best.
    """

    processor: float
    quartiles: tuple[float, float]
    clock: float
    milliseconds: float


def compare(pair: Pair, engine: str, threads: int, *, rounds: int, bursts: int) -> Ratios:
    """Return how the two models of a pair compare on an engine, named as in ``open_engine``."""
    processor, clock, best = [], [], float("inf")
    for _ in range(rounds):
        plain = _runner(open_engine(engine, pair.plain, threads), pair.inputs)
        cleaned = _runner(open_engine(engine, pair.cleaned, threads), pair.cleaned_inputs)
        for turn in range(-1, bursts):
            order = (plain, cleaned) if turn % 2 else (cleaned, plain)
            times = {run: _burst(run) for run in order}
            if turn >= 0:  # The first turn warms both.
                processor.append(times[cleaned][0] / times[plain][0])
                clock.append(times[cleaned][1] / times[plain][1])
                best = min(best, times[plain][0])
    low, _, high = statistics.quantiles(processor, n=4)
    return Ratios(statistics.median(processor), (low, high), statistics.median(clock), 1e3 * best)


def open_engine(name: str, path: Path, threads: int) -> Engine:
    """Load a static model as a bundle's artefact is loaded: ``onnxruntime``, or ``openvino-`` and a precision."""
    engine, _, precision = name.partition("-")
    with limited_threads(threads):
        return load_engine(engine, path, {"options": {"inference_precision": precision} if precision else {}})


def _runner(engine: Engine, inputs: Mapping[str, Any]) -> Callable[[], object]:
    return lambda: engine.run(inputs)


def _burst(run: Callable[[], object]) -> tuple[float, float]:
    """Return the least seconds of processor time and on the clock."""
    processor = clock = float("inf")
    for _ in range(_RUNS):
        before, started = time.process_time(), time.perf_counter()
        run()
        clock = min(clock, time.perf_counter() - started)
        processor = min(processor, time.process_time() - before)
    return processor, clock
