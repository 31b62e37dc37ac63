"""What compiling a whole target costs: cold, warm, one bucket more, two branches, and beside bare converter calls.

``python -m benchmarks.compile.compile_cost [--backends openvino,onnxruntime,lite,nncase] [--buckets 16] [--rounds 3]
[--json FILE]`` works in a temporary repository with the worked example's recognition model (the classification model
for nncase, which takes long over the other), drives the real ``doit`` there, and prints tables in Markdown. Besides
seconds on the clock it gives processor seconds, which other work on the machine disturbs less; bare calls and builds
take turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
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
# Name of a loop of bare calls: whether each result is loaded once, as doit does, and whether each call is a process.
LOOPS = {
    "one process, convert": (False, True),
    "one process, convert and load": (True, True),
    "a process each, convert": (False, False),
    "a process each, convert and load": (True, False),
}


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, processor seconds of all processes, and how many compilers doit ran."""

    wall: float
    cpu: float
    compiled: int = 0


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

    def doit(self, jobs: int) -> Cost:
        """Compile all units."""
        store = Store(self.root / ".scaling" / "store")
        mark = store.mark()
        cost = run([[sys.executable, "-m", "doit", "-n", str(jobs), "compile"]], self.root)
        return Cost(cost.wall, cost.cpu, store.activity(mark).stored)

    def forget(self) -> None:
        """Remove everything that was built or remembered."""
        for name in (".scaling", "build"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in self.root.glob(".doit.db*"):
            path.unlink()


def run(commands: list[list[str]], directory: Path) -> Cost:
    """Run commands that must succeed, one after the other; return what they cost with all their descendants."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.monotonic() - started, cpu)


def bare(repository: Repository, widths: list[int], *, load: bool, one_process: bool) -> Cost:
    """Run a loop of bare calls."""
    python = str(find_toolchain("cpu").python) if repository.backend == "lite" else sys.executable
    target = Path(tempfile.mkdtemp(dir=repository.root))
    fixed = [python, str(BARE), *(["--load"] if load else []), repository.backend]
    command = [*fixed, str(repository.root / "models" / "model.onnx"), str(target)]
    shapes = [f"1,3,48,{width}" for width in widths]
    groups = [shapes] if one_process else [[shape] for shape in shapes]
    cost = run([[*command, *group] for group in groups], repository.root)
    shutil.rmtree(target)
    return cost


def scenarios(repository: Repository, widths: list[int]) -> dict[str, Cost]:
    """Return the cost of every scenario."""
    found: dict[str, Cost] = {}
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


def overheads(repository: Repository, widths: list[int], rounds: int) -> dict[str, dict[str, float]]:
    """Return what cold builds cost beside each loop of bare calls: medians of ratios within a round."""
    ratios: dict[str, list[tuple[float, Cost, Cost]]] = {name: [] for name in LOOPS}
    for _ in range(rounds):
        loops = {name: bare(repository, widths, load=load, one_process=one) for name, (load, one) in LOOPS.items()}
        repository.forget()
        repository.configure(widths)
        built = repository.doit(1)
        for name, loop in loops.items():
            ratios[name].append((built.cpu / loop.cpu, loop, built))
    found = {}
    for name, each in ratios.items():
        ratio = statistics.median(ratio for ratio, _, _ in each)
        loop_cpu = statistics.median(loop.cpu for _, loop, _ in each)
        found[name] = {"cpu": loop_cpu, "wall": statistics.median(loop.wall for _, loop, _ in each), "ratio": ratio}
    return found


def sizes(directory: Path) -> tuple[int, int]:
    """Return the bytes of the artefacts as they lie on the disk, and as separate copies."""
    stats = [path.stat() for path in directory.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values()), sum(stat.st_size for stat in stats)


def measure(backend: str, count: int, rounds: int, root: Path) -> dict[str, Any]:
    """Return all figures of one backend."""
    repository = Repository(root / backend, backend)
    widths = [64 + 32 * index for index in range(count)]
    found = scenarios(repository, widths)
    loops = overheads(repository, widths, rounds)
    # Of a build by one process: two that place the same weights at once each place a copy.
    shared, separate = sizes(repository.root / "build")
    return {
        "scenarios": {name: asdict(cost) for name, cost in found.items()},
        "bare": loops,
        "bytes": shared,
        "bytes_separate": separate,
    }


def report(results: dict[str, dict[str, Any]], count: int) -> None:
    """Print the tables."""
    names = list(results)
    heads = " | ".join(f"{name}, {MODELS.get(name, DEFAULT_MODEL).split('_')[-2]}" for name in names)
    rule = "---|" * len(names)
    print(f"\n{count} buckets, {os.cpu_count()} cores; seconds / processor seconds (compilers run)\n")
    print(f"| `doit compile` | {heads} |\n|---|{rule}")
    for row in next(iter(results.values()))["scenarios"]:
        costs = [results[name]["scenarios"][row] for name in names]
        cells = (f"{cost['wall']:.1f} / {cost['cpu']:.1f} ({cost['compiled']})" for cost in costs)
        print(f"| {row} | {' | '.join(cells)} |")
    print(f"\n| bare calls in a loop: processor seconds (`doit -n 1` takes) | {heads} |\n|---|{rule}")
    for row in LOOPS:
        loops = [results[name]["bare"][row] for name in names]
        cells = (f"{loop['cpu']:.1f} ({(loop['ratio'] - 1) * 100:+.0f} %)" for loop in loops)
        print(f"| {row} | {' | '.join(cells)} |")
    print(f"\n| artefacts on disk | {heads} |\n|---|{rule}")
    for key, label in (("bytes", "MB as stored"), ("bytes_separate", "MB as separate copies")):
        print(f"| {label} | {' | '.join(f'{results[name][key] / 1e6:.1f}' for name in names)} |")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="openvino,onnxruntime,lite,nncase")
    parser.add_argument("--buckets", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="how often bare calls and a cold build take turns")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        backends = options.backends.split(",")
        results = {name: measure(name, options.buckets, options.rounds, Path(root)) for name in backends}
    report(results, options.buckets)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
