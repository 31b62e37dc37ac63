"""Measuring what one inference costs at each bucket: the numbers behind ``cost: measured``."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.engines.threads import thread_count
from scaling_tasks.onnx_model.original import random_inputs
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.runtime.manifest import Manifest

__all__ = ["measure_bundle", "median_seconds"]

_WARM_RUNS = 2
_FEWEST, _MOST, _LONG_ENOUGH = 5, 50, 0.3


def measure_bundle(
    directory: Path,
    manifest: Manifest,
    known: LatencyTable | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyTable:
    """Measure the bundle's buckets that are not known yet; known shapes that it no longer has are kept.

    Args:
        directory: Of the bundle.
        manifest: What is in it.
        known: An earlier table; it is ignored where it is of another backend or number of threads.
        clock: Seconds that only grow.

    Raises:
        EngineError: An artefact does not load or run.
    """
    table = LatencyTable(manifest.variables, manifest.backend, thread_count() or os.cpu_count() or 1, {})
    seconds = dict(known.seconds) if known is not None and known.fits(table) else {}
    for artefact in manifest.artefacts:
        missing = [bucket for bucket in artefact.buckets if bucket not in seconds]
        if not missing:
            continue
        engine = load_engine(manifest.engine, directory / artefact.files[0].name, manifest.options)
        try:
            for bucket in missing:
                seconds[bucket] = _measure(engine, manifest, bucket, clock)
        finally:
            engine.close()
    return LatencyTable(table.variables, table.backend, table.threads, seconds)


def _measure(engine: Engine, manifest: Manifest, bucket: Sequence[int], clock: Callable[[], float]) -> float:
    sizes = dict(zip(manifest.variables, bucket, strict=True))
    told = manifest.behaviour.feeds_of_one_size(sizes, sizes)
    inputs = {**random_inputs(manifest.signature.inputs, sizes, seed=0), **told}
    return median_seconds(lambda: engine.run(inputs), clock)


def median_seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of ``call`` in seconds, warm: at least 5 runs, more where they are short, at most 50."""
    for _ in range(_WARM_RUNS):
        call()
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _LONG_ENOUGH and len(times) < _MOST):
        begin = clock()
        call()
        times.append(clock() - begin)
    return statistics.median(times)
