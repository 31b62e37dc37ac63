"""How soon a bundle answers, how soon all of it is ready, and what that takes: an IR or a blob per bucket, or one IR.

    python -m benchmarks.serving.readiness [--widths 32]

Recognition on OpenVINO, so many widths. Each row is a process of its own: it opens the bundle, answers one line, and
gets all buckets ready. The dynamic engine answers a line of each width instead; its memory is what the bundles' is
compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from scaling_tasks.config.load import parse_target
from scaling_tasks.doit_plugin.run_targets import run_targets
from scaling_tasks.process_memory import process_memory
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.stages.target import Target

MODEL = Path("models/ppocr_rec.onnx")
WAYS = ("on demand", "warm_up", "background", "dynamic")
MEGABYTE = 1 << 20


def widths_of(count: int) -> list[int]:
    """Return so many widths, from 32 to 1216, closer together where lines are short."""
    return sorted({round(width / 8) * 8 for width in np.geomspace(32, 1216, count)})


def build(root: Path, widths: list[int], name: str, options: dict[str, bool]) -> Path:
    """Build a bundle in a repository of its own, ``root``, with these options of the backend."""
    spec = {
        "name": name,
        "model": str(MODEL.resolve()),
        "input_shape": {"x": [1, 3, 48, -1]},
        "auto_scaling": {"strategy": "explicit", "buckets": [{"W": width} for width in widths]},
        "compile": {"backend": "openvino", "options": options},
    }
    home = Path.cwd()
    os.chdir(root)
    try:
        if run_targets([Target(parse_target(spec))], jobs=2) != 0:
            raise SystemExit("the bundle could not be built")
    finally:
        os.chdir(home)
    return root / "build" / str(spec["name"])


def line_of(width: int) -> np.ndarray[Any, Any]:
    """Return a random line."""
    return np.random.default_rng(width).uniform(-1, 1, (1, 3, 48, width)).astype(np.float32)


def serve(way: str, directory: Path, widths: list[int]) -> dict[str, float]:
    """Return seconds to the first answer and to the last, and the memory then."""
    import openvino

    before, start = process_memory(), time.perf_counter()
    if way == "dynamic":
        request = openvino.Core().compile_model(MODEL, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        request.infer({"x": line_of(100)})
        first = time.perf_counter() - start
        for width in widths:
            request.infer({"x": line_of(width)})
        return {"first": first, "all": time.perf_counter() - start, "memory": (process_memory() - before) / MEGABYTE}
    model = load_bundle(directory, warm_up="background" if way == "background" else way == "warm_up")
    model.run({"x": line_of(100)})
    first = time.perf_counter() - start
    if way == "on demand":
        for width in widths:
            model.run({"x": line_of(width)})
    while model.readiness.running:
        time.sleep(0.005)
    return {"first": first, "all": time.perf_counter() - start, "memory": (process_memory() - before) / MEGABYTE}


def main() -> None:
    """Print the table, or one row of it for the process that called."""
    parser = argparse.ArgumentParser(description="How soon a bundle is ready.")
    parser.add_argument("--widths", type=int, default=32)
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    widths = widths_of(options.widths)
    if options.row:
        print(json.dumps(serve(options.row[0], Path(options.row[1]), widths)))
        return
    with tempfile.TemporaryDirectory() as place:
        forms = {
            "IR per bucket": build(Path(place), widths, "per_bucket", {}),
            "blob per bucket": build(Path(place), widths, "blob", {"blob": True}),
            "one IR": build(Path(place), widths, "one", {"dynamic": True}),
        }
        print(
            "| engines | ready | first answer, s | all ready, s | memory, MB | bundle, MB |\n|---|---|---|---|---|---|"
        )
        for form, directory in forms.items():
            size = sum(path.stat().st_size for path in directory.iterdir()) / MEGABYTE
            for way in WAYS if form == "one IR" else WAYS[:-1]:
                command = [sys.executable, "-m", "benchmarks.serving.readiness", "--widths", str(options.widths)]
                row = [*command, "--row", way, str(directory)]
                found = json.loads(subprocess.run(row, check=True, capture_output=True, text=True).stdout)
                name, bundle = ("dynamic", "") if way == "dynamic" else (form, f"{size:.0f}")
                print(
                    f"| {name} | {way} | {found['first']:.2f} | {found['all']:.2f} | {found['memory']:.0f} | {bundle} |"
                )


if __name__ == "__main__":
    main()
