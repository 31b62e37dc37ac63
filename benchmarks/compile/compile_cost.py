"""What compiling a whole target costs: cold, warm, one bucket more, two branches, and beside bare converter calls.

``python benchmarks/compile/compile_cost.py [--backends openvino,onnxruntime,lite] [--buckets 16] [--json FILE]`` works
in a temporary repository with the worked example's recognition (classification for nncase) model, drives the real
``doit`` there, and prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.store.store import Store

BARE = Path(__file__).with_name("bare.py")
MODELS = {"nncase": "ch_ppocr_mobile_v2.0_cls_infer.onnx"}
DEFAULT_MODEL = "ch_PP-OCRv4_rec_infer.onnx"
COMPILE = {
    "lite": {"backend": "lite", "device": "cpu"},
    "nncase": {"backend": "nncase", "options": {"target": "cpu"}},
}


class Repository:
    """A temporary model repository with one target."""

    def __init__(self, root: Path, backend: str) -> None:
        self.root, self.backend = root, backend
        (root / "configs").mkdir(parents=True)
        (root / "models").mkdir()
        package = importlib.util.find_spec("rapidocr_onnxruntime")
        source = Path(package.submodule_search_locations[0]) / "models" / MODELS.get(backend, DEFAULT_MODEL)
        shutil.copyfile(source, root / "models" / "model.onnx")
        (root / "dodo.py").write_text("from scaling_tasks.doit_plugin import load_tasks\n\nload_tasks(globals())\n")
        toolchains = Path.cwd() / ".toolchains"
        if toolchains.exists():
            (root / ".toolchains").symlink_to(toolchains)

    def configure(self, widths: list[int]) -> None:
        """Write the target's configuration."""
        document = {
            "model": "models/model.onnx",
            "input_shape": {"x": [1, 3, 48, -1]},
            "auto_scaling": {"strategy": "explicit", "buckets": [{"W": width} for width in widths]},
            "compile": COMPILE.get(self.backend, {"backend": self.backend}),
        }
        (self.root / "configs" / "target.yaml").write_text(json.dumps(document))

    def doit(self, jobs: int) -> tuple[float, int]:
        """Compile all units; return the seconds and how many compilers ran."""
        store = Store(self.root / ".scaling" / "store")
        mark = store.mark()
        command = [sys.executable, "-m", "doit", "-n", str(jobs), "compile"]
        seconds = timed(lambda: run(command, self.root))
        return seconds, store.activity(mark).stored

    def forget(self) -> None:
        """Remove everything that was built or remembered."""
        for name in (".scaling", "build"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in self.root.glob(".doit.db*"):
            path.unlink()


def timed(action: Callable[[], Any]) -> float:
    """Return how many seconds an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def run(command: list[str], directory: Path) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def bare(repository: Repository, widths: list[int], *, load: bool, one_process: bool) -> float:
    """Return the seconds that a loop of bare calls takes."""
    python = str(find_toolchain("cpu").python) if repository.backend == "lite" else sys.executable
    target = Path(tempfile.mkdtemp(dir=repository.root))
    fixed = [python, str(BARE), *(["--load"] if load else []), repository.backend]
    command = [*fixed, str(repository.root / "models" / "model.onnx"), str(target)]
    shapes = [f"1,3,48,{width}" for width in widths]
    groups = [shapes] if one_process else [[shape] for shape in shapes]
    seconds = timed(lambda: [run([*command, *group], repository.root) for group in groups])
    shutil.rmtree(target)
    return seconds


def scenarios(repository: Repository, widths: list[int]) -> dict[str, tuple[float, int]]:
    """Return seconds and compiler runs of every scenario."""
    found: dict[str, tuple[float, int]] = {}
    for jobs in (1, 2):
        repository.forget()
        repository.configure(widths)
        found[f"cold, -n {jobs}"] = repository.doit(jobs)
    found["again, nothing changed"] = repository.doit(2)
    repository.configure([*widths, widths[-1] + 32])
    found["one bucket more"] = repository.doit(2)
    other = [width + 16 for width in widths[: len(widths) // 2]] + widths[len(widths) // 2 :]
    repository.configure(other)
    found["branch B, half the buckets differ"] = repository.doit(2)
    repository.configure(widths)
    found["back to branch A"] = repository.doit(2)
    shutil.rmtree(repository.root / "build")
    found["after removing build/"] = repository.doit(2)
    return found


def sizes(directory: Path) -> tuple[int, int]:
    """Return the bytes of the artefacts as they lie on the disk, and as separate copies."""
    stats = [path.stat() for path in directory.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values()), sum(stat.st_size for stat in stats)


def measure(backend: str, count: int, root: Path) -> dict[str, Any]:
    """Return all figures of one backend."""
    repository = Repository(root / backend, backend)
    widths = [64 + 32 * index for index in range(count)]
    found = scenarios(repository, widths)
    shared, separate = sizes(repository.root / "build")
    loops = {
        "one process, convert": bare(repository, widths, load=False, one_process=True),
        "one process, convert and load": bare(repository, widths, load=True, one_process=True),
        "a process each, convert": bare(repository, widths, load=False, one_process=False),
        "a process each, convert and load": bare(repository, widths, load=True, one_process=False),
    }
    return {"scenarios": found, "bare": loops, "bytes": shared, "bytes_separate": separate}


def report(results: dict[str, dict[str, Any]], count: int) -> None:
    """Print the tables."""
    names = list(results)
    print(f"\n{count} buckets, {os.cpu_count()} cores; seconds (compilers run)\n")
    print("| `doit compile` | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for row in next(iter(results.values()))["scenarios"]:
        cells = (results[name]["scenarios"][row] for name in names)
        print(f"| {row} | " + " | ".join(f"{seconds:.1f} ({runs})" for seconds, runs in cells) + " |")
    print("\n| bare calls in a loop | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for row in next(iter(results.values()))["bare"]:
        cold = {name: results[name]["scenarios"]["cold, -n 1"][0] for name in names}
        cells = ((results[name]["bare"][row], cold[name]) for name in names)
        text = (f"{seconds:.1f} (`doit -n 1` {(total / seconds - 1) * 100:+.0f} %)" for seconds, total in cells)
        print(f"| {row} | " + " | ".join(text) + " |")
    print("\n| artefacts on disk | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for key, label in (("bytes", "MB as stored"), ("bytes_separate", "MB as separate copies")):
        print(f"| {label} | " + " | ".join(f"{results[name][key] / 1e6:.1f}" for name in names) + " |")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="openvino,onnxruntime,lite")
    parser.add_argument("--buckets", type=int, default=16)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        backends = options.backends.split(",")
        results = {backend: measure(backend, options.buckets, Path(root)) for backend in backends}
    report(results, options.buckets)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
