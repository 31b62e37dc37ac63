"""A long run: requests of random sizes from 8 threads; memory must stay flat, every answer equal the serial one.

    python -m benchmarks.serving.soak [--requests 200000]

The bundle is of a small convolutional model on onnxruntime, so that 200,000 requests take a minute or
two. ``resident`` is below the number of buckets, so that engines are evicted and loaded all the time.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.manifest import MANIFEST, ArtefactFile, make_manifest
from scaling_tasks.runtime.model import BucketedModel

MODEL = """<ir_version: 8, opset_import: ["": 17]>
g (float[N,3,8,W] x) => (float[N,4,4,L] y, float[N,3,8,W] z)
    { y = Conv <pads = [1,1,1,1], strides = [2,2]> (x, k) z = Sigmoid(x) }"""
THREADS = 8
BUCKETS = [(count, width) for count in (1, 4) for width in (16, 32, 64, 128)]


def build(directory: Path) -> Path:
    """Make the bundle."""
    import onnx
    from onnx import numpy_helper

    model = onnx.parser.parse_model(MODEL)
    kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(kernel, "k"))
    path = directory / "model.onnx"
    onnx.save(model, str(path))
    backend, signature = get_backend("onnxruntime"), read_signature(path)
    artefacts = []
    for unit in backend.units("soak", signature.inputs, BUCKETS, {}):
        files = backend.compile(CompileJob(path, signature.inputs, unit, {}), directory).files
        artefacts.append((unit, [ArtefactFile(file.name, digest_file(file)) for file in files]))
    behaviour = analyse_model(path).behaviour.accepted()
    manifest = make_manifest("soak", "onnxruntime", {}, signature, behaviour, artefacts, {})
    (directory / MANIFEST).write_text(manifest.to_json())
    return directory


def requests_of(count: int) -> list[dict[str, NDArray[Any]]]:
    """Return distinct requests of random sizes."""
    generator = np.random.default_rng(1)
    sizes = zip(generator.integers(1, 7, count), generator.integers(1, 129, count), strict=True)
    return [{"x": generator.standard_normal((int(n), 3, 8, int(w))).astype(np.float32)} for n, w in sizes]


def resident_bytes() -> int:
    """Return how much memory the process has in use."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def soak(model: BucketedModel, total: int) -> tuple[int, list[int]]:
    """Return the number of answers that differ from the serial ones, and the memory in use at ten points in time."""
    distinct = requests_of(400)
    serial = [model.run(request) for request in distinct]
    wrong = [0] * THREADS
    memory: list[int] = []
    done = [0] * THREADS

    def work(thread: int) -> None:
        generator = np.random.default_rng(thread)
        for _ in range(total // THREADS):
            chosen = int(generator.integers(len(distinct)))
            answer = model.run(distinct[chosen])
            wrong[thread] += any(not np.array_equal(answer[name], serial[chosen][name]) for name in serial[chosen])
            done[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        if sum(done) >= total * (len(memory) + 1) / 10:
            memory.append(resident_bytes())
    return sum(wrong), memory


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Serve many requests from many threads.")
    parser.add_argument("--requests", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, load_bundle(build(Path(place)), resident=6, threads=1) as model:
        begin = time.perf_counter()
        wrong, memory = soak(model, options.requests)
        seconds = time.perf_counter() - begin
        served = model.stats()
    print(f"{served.requests} requests in {seconds:.0f} s, {wrong} answers differ from the serial ones")
    print("memory in MB: " + " ".join(f"{each / 1e6:.0f}" for each in memory))


if __name__ == "__main__":
    main()
