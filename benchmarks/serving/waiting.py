"""What batches over time gain: 32 clients that each send a line, wait for the answer, and send the next.

    python -m benchmarks.serving.waiting [--clients 32] [--seconds 6]

*Each at once* is every request in a run of its own, as many at a time as the device takes. The first table is of a
simulated accelerator: an engine that sleeps for as long as the latency table says, a launch and so much per row and
column, one run at a time. The second is of this processor: PP-OCRv4's recogniser on OpenVINO, a thread per core, with
costs that were measured here. Lines are of the widths of the data set.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.bundles import build_bundle, planned_widths, with_batches
from benchmarks.serving.crops import Work, find_work
from benchmarks.serving.rows import BUILD, MODEL
from benchmarks.serving.systems import THREADS
from scaling_tasks.engines.threads import limited_threads
from scaling_tasks.files import digest_file
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.runtime.bundle import load_bundle, read_manifest
from scaling_tasks.runtime.manifest import ArtefactFile, Manifest, make_manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.behaviour import Behaviour, plain_layouts
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit
from scaling_tasks.verification.latency import measure_bundle

# Milliseconds: what a launch takes, and each row of 100 columns.
LAUNCH, PER_ROW = 3.0, 0.25
BATCHES = (1, 2, 4, 8, 16)
WAITS = (0.0, 0.002, 0.01)

Send = Callable[[Mapping[str, Any]], Any]


class Accelerator:
    """A simulated accelerator: sleeps for as long as the table says. All its engines are one device."""

    device = threading.Lock()

    def __init__(self, bucket: tuple[int, int]) -> None:
        self._bucket = bucket

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return zeros, after a while."""
        with self.device:
            time.sleep(simulated(self._bucket) / 1000)
        return {"y": np.zeros((self._bucket[0], self._bucket[1] // 8), np.float32)}

    def close(self) -> None:
        """Do nothing."""


def simulated(bucket: tuple[int, int]) -> float:
    """Return the milliseconds that a run of (N, W) takes."""
    return LAUNCH + PER_ROW * bucket[0] * bucket[1] / 100


def accelerator(directory: Path, widths: list[int], **loading: Any) -> BucketedModel:
    """Return a model on the simulated accelerator."""
    artefacts = []
    buckets = [(count, width) for count in BATCHES for width in widths]
    for count, width in buckets:
        path = directory / f"m_N{count}_W{width}"
        path.write_text(f"{count} {width}")
        unit = Unit(path.name, path.name, ("N", "W"), ((count, width),))
        artefacts.append((unit, [ArtefactFile(path.name, digest_file(path))]))
    signature = ModelSignature(Signature((TensorSpec("x", ("N", 3, 48, "W")),)), (TensorSpec("y", ("N", "y_1")),))
    behaviour = Behaviour(plain_layouts({"y": ("N", ("//", "W", 8))}), rows="N")
    costs = {bucket: simulated(bucket) for bucket in buckets}
    manifest: Manifest = make_manifest("simulated", "none", {}, signature, behaviour, artefacts, costs)

    def load(path: Path, options: Mapping[str, Any]) -> Accelerator:
        count, width = map(int, path.read_text().split())
        return Accelerator((count, width))

    return BucketedModel(directory, manifest, load, **loading)


def measured_bundle(work: Work, widths: list[int]) -> Path:
    """Return a recognition bundle whose costs are latencies measured here, with one thread."""
    directory, shapes = BUILD / f"{work.name}-waiting", with_batches(widths, (1, 2, 4, 8))
    manifest = read_manifest(build_bundle(MODEL, shapes, directory, "f32"))
    path = directory / "latency.json"
    with limited_threads(1):
        table = measure_bundle(directory, manifest, LatencyTable.load(path) if path.exists() else None)
    path.write_text(table.to_json())
    costs = {entry: table.seconds[entry] for entry in shapes}
    return build_bundle(MODEL, shapes, directory, "f32", costs)


def drive(send: Send, lines: list[NDArray[np.float32]], clients: int, seconds: float) -> tuple[float, float, float]:
    """Return answers per second, and milliseconds that half and 99 % of them took at most."""
    turns, took, lock = itertools.count(), [], threading.Lock()
    ends = time.perf_counter() + seconds

    def client() -> None:
        while (begin := time.perf_counter()) < ends:
            send({"x": lines[next(turns) % len(lines)]})
            with lock:
                took.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(took) / (time.perf_counter() - start)
    return rate, *(1000 * float(np.quantile(took, share)) for share in (0.5, 0.99))


def compare(
    name: str, opened: Callable[..., BucketedModel], workers: int, lines: list[Any], options: argparse.Namespace
) -> None:
    """Print a table; ``workers`` is how many runs the device takes at the same time."""
    print(f"\n| {name} | answers/s | p50 ms | p99 ms | rows per run |\n|---|---|---|---|---|")
    for wait in (None, *WAITS):
        with opened(batch_wait=wait or 0.0, in_flight=workers) as model, ThreadPoolExecutor(workers) as at_once:
            model.warm_up()
            before = sum(model.stats().bucket_runs.values())

            def alone(request: Mapping[str, Any]) -> Any:
                return at_once.submit(model.run, request).result()

            def together(request: Mapping[str, Any]) -> Any:
                return model.submit(request).result()

            figures = drive(alone if wait is None else together, lines, options.clients, options.seconds)
            stats = model.stats()
        label = "each at once" if wait is None else f"together, waiting {1000 * wait:g} ms at most"
        runs = sum(stats.bucket_runs.values()) - before
        print(f"| {label} | " + " | ".join(f"{each:.1f}" for each in figures) + f" | {stats.requests / runs:.1f} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Compare batches over time with serving each request at once.")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--simulated-only", action="store_true")
    options = parser.parse_args()
    work = find_work(2)
    widths = planned_widths(work.widths, 8)
    lines = [pixels[None] for page in work.pages for pixels in page.pixels]
    print(f"{options.clients} clients, {len(lines)} lines of {work.name}, widths {widths}")
    print(f"simulated: {LAUNCH:g} ms a launch, {PER_ROW:g} ms a row of 100 columns; batches of {BATCHES}")
    with tempfile.TemporaryDirectory() as place:
        compare("simulated accelerator", lambda **more: accelerator(Path(place), widths, **more), 1, lines, options)
    if not options.simulated_only:
        directory = measured_bundle(work, widths)
        compare("this processor", lambda **more: load_bundle(directory, threads=1, **more), THREADS, lines, options)


if __name__ == "__main__":
    main()
