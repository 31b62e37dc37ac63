"""How soon a bundle answers, how soon all of it is ready, and what that takes: an IR or a blob per bucket, or one IR.

    python -m benchmarks.serving.readiness [--widths 32]

Recognition on OpenVINO, so many widths. Each row is a process of its own: it opens the bundle, answers one line, and
gets all buckets ready. The dynamic engine answers a line of each width instead; its memory is what the bundles' is
compared with. *Limited* keeps as many engines as fit in twice that memory, and serves all widths by them. Processor
seconds are what being ready takes on a machine that has nothing else to do, by the cores that take part; per line they
are over lines of random widths, the best of three passes after that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.rows import BUILD
from scaling_tasks.config.load import parse_target
from scaling_tasks.doit_plugin.run_targets import run_targets
from scaling_tasks.process_memory import process_memory
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.stages.target import Target

MODEL = Path("models/ppocr_rec.onnx")
WAYS = ("on demand", "warm_up", "background", "limited", "dynamic")
MEGABYTE = 1 << 20
PLACE = BUILD / "readiness"


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


def serve(way: str, directory: Path, widths: list[int], limit: int) -> dict[str, float]:
    """Return seconds to the first answer and to the last, the memory then, and milliseconds of processor per line."""
    import openvino

    before, start, used = process_memory(), time.perf_counter(), time.process_time()
    if way == "dynamic":
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(MODEL, "CPU", settings).create_infer_request()

        def run(line: Any) -> Any:
            return np.array(request.infer({"x": line}, share_inputs=True)[0])
    else:
        memory = limit << 20 if way == "limited" else 0
        ready: Any = "background" if way == "background" else way in ("warm_up", "limited")
        model = load_bundle(directory, resident_memory=memory, warm_up=ready)

        def run(line: Any) -> Any:
            return model.run({"x": line})

    run(line_of(100))
    first = time.perf_counter() - start
    if way in ("on demand", "dynamic"):
        for width in widths:
            run(line_of(width))
    elif way == "background":
        model.wait_until_ready()
    found = {"first": first, "all": time.perf_counter() - start, "processor": time.process_time() - used}
    return found | {"memory": (process_memory() - before) / MEGABYTE, "per line": processor_time(run)}


def processor_time(run: Callable[[Any], Any]) -> float:
    """Return milliseconds of processor time per line of a random width, many short and few long ones."""
    lines = [line_of(int(width)) for width in np.exp(np.random.default_rng(0).uniform(np.log(32), np.log(1216), 60))]
    took = []
    for _ in range(3):
        begin = time.process_time()
        for line in lines:
            run(line)
        took.append(1000 * (time.process_time() - begin) / len(lines))
    return min(took)


def main() -> None:
    """Print the table, or one row of it for the process that called."""
    parser = argparse.ArgumentParser(description="How soon a bundle is ready.")
    parser.add_argument("--widths", type=int, default=32)
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    widths = widths_of(options.widths)
    if options.row:
        way, place, limit = options.row
        print(json.dumps(serve(way, Path(place), widths, int(limit))))
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    forms = {
        "dynamic": build(PLACE, widths, "one", {"dynamic": True}),
        "one IR": PLACE / "build" / "one",
        "IR per bucket": build(PLACE, widths, "per_bucket", {}),
        "blob per bucket": build(PLACE, widths, "blob", {"blob": True}),
    }
    heads = (
        "engines",
        "ready",
        "first answer, s",
        "all ready, s",
        "processor s",
        "memory, MB",
        "processor ms per line",
        "bundle, MB",
    )
    print(f"load {os.getloadavg()[0]:.1f}\n\n| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|", flush=True)
    limit = 0
    for form, directory in forms.items():
        size = sum(path.stat().st_size for path in directory.iterdir()) / MEGABYTE
        for way in ("dynamic",) if form == "dynamic" else WAYS[:3] if form == "one IR" else WAYS[:4]:
            command = [sys.executable, "-m", "benchmarks.serving.readiness", "--widths", str(options.widths)]
            row = [*command, "--row", way, str(directory), str(limit)]
            found = json.loads(subprocess.run(row, check=True, capture_output=True, text=True).stdout)
            limit = limit or round(2 * found["memory"])
            numbers = (
                f"{found['first']:.2f}",
                f"{found['all']:.2f}",
                f"{found['processor']:.1f}",
                round(found["memory"]),
            )
            told = (form, way, *numbers, f"{found['per line']:.1f}", "" if form == "dynamic" else round(size))
            print(f"| {' | '.join(map(str, told))} |", flush=True)


if __name__ == "__main__":
    main()
