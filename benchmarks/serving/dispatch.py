"""What the runtime adds to an inference: microseconds beyond the copy, for a 1×3×48×320 input in a larger bucket.

    python -m benchmarks.serving.dispatch

The engine does nothing, so that only selecting, checking, padding and cropping are left. The copy into the padded
array is timed by itself and taken off.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.files import digest_file
from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.behaviour import Behaviour, plain_layouts
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

GOAL = 20.0
TURNS = 10_000
WIDTHS = range(32, 1300, 64)


class Nothing:
    """An engine that answers at once."""

    def __init__(self, width: int) -> None:
        self._answer = {"y": np.zeros((1, (width + 3) // 8, 6625), np.float32)}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the same arrays each time."""
        return dict(self._answer)

    def close(self) -> None:
        """Do nothing."""


def open_model(directory: Path) -> BucketedModel:
    """Return a model of twenty buckets, shaped as PP-OCR's recogniser."""
    artefacts = []
    for width in WIDTHS:
        path = directory / f"m_{width}"
        path.write_text(str(width))
        unit = Unit(str(width), path.name, ("N", "W"), ((1, width),))
        artefacts.append((unit, [ArtefactFile(path.name, digest_file(path))]))
    signature = ModelSignature(Signature((TensorSpec("x", ("N", 3, 48, "W")),)), (TensorSpec("y", ("N", "y_1", 6625)),))
    behaviour = Behaviour(plain_layouts({"y": ("N", ("//", ("+", "W", 3), 8), 6625)}), rows="N")
    manifest = make_manifest("m", "none", {}, signature, behaviour, artefacts, {})
    return BucketedModel(directory, manifest, lambda path, options: Nothing(int(path.read_text())))


def microseconds(call: Callable[[], object]) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(TURNS):
        begin = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


def main() -> None:
    """Print the figures."""
    line = np.random.default_rng(0).random((1, 3, 48, 320), dtype=np.float32)
    padded = np.zeros((1, 3, 48, 352), np.float32)

    def copy() -> None:
        padded[:, :, :, :320] = line

    with tempfile.TemporaryDirectory() as directory, open_model(Path(directory)) as model:
        model.warm_up()
        bare, copying = microseconds(lambda: Nothing.run), microseconds(copy)
        whole = microseconds(lambda: model.run({"x": line}))
        ready = microseconds(lambda: model.run({"x": padded}))
        chosen = microseconds(lambda: model.select({"W": 320}))
    print(f"run, padded 320 -> 352       {whole:6.1f} µs")
    print(f"run, ready at 352            {ready:6.1f} µs")
    print(f"select                       {chosen:6.1f} µs")
    print(f"the copy by itself           {copying:6.1f} µs")
    print(f"dispatch beyond the copy     {whole - copying - bare:6.1f} µs, goal {GOAL:g}")


if __name__ == "__main__":
    main()
