"""Batch and width planned together against planned apart, on the receipts' text lines.

Usage: python -m benchmarks.planning.batches --data DIR [--model REC.onnx] [--counts 4 8 16 32]

Each receipt is one request of all its lines, cut into batches at least cost by both. Apart: for every subset of the
batch choices the widths are planned exactly for what is left of the number of buckets, and the cheapest product is
taken. Two machines: a CPU with latencies measured here by onnxruntime on the model, and an accelerator with a fixed
launch cost per run plus a cost per area.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.planning.datasets import receipt_statistics
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.planning.costs import CallableCost, CostModel
from scaling_tasks.planning.measured import MeasuredCost
from scaling_tasks.planning.planner import plan_requests
from scaling_tasks.planning.request.options import make_options
from scaling_tasks.planning.request.serving import score_requests
from scaling_tasks.shapes.dataset_statistics import ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["main", "many_requests", "print_all", "print_many"]

_CHOICES = (1, 4, 8, 16, 32, 64)
_INTERVAL = 8
_VARIABLES = ("N", "W")


def main() -> None:
    """Print one Markdown table per machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 8, 16, 32])
    options = parser.parse_args()
    print_all(options.data, options.model, options.counts)


def print_all(data: Path, recogniser: Path | None, counts: Sequence[int]) -> None:
    """Print one table per machine; the measured one only with a recogniser's model."""
    with tempfile.TemporaryDirectory() as directory:
        requests = receipt_statistics(data, Path(directory) / "cache", _INTERVAL).requests
    if requests is None:
        raise SystemExit("the annotation holds no requests")
    machines: dict[str, CostModel] = {"accelerator: 0.3 ms + 10 ns per column": CallableCost(_accelerator)}
    if recogniser is not None:
        machines["CPU, measured by onnxruntime"] = measure_cpu(recogniser)
    for name, model in machines.items():
        print(f"\n### {name}\n\n| k | together | above its bound | apart | apart costs more by | processor |")
        print("|---" * 6 + "|")
        for count in counts:
            print(_line(requests, model, count), flush=True)


def _accelerator(shapes: NDArray[np.int64]) -> NDArray[np.float64]:
    # A launch costs as much as 30,000 columns of pixels, 94 crops of width 320.
    return 3e-4 + 1e-8 * shapes[:, 0] * shapes[:, 1]


def print_many(count: int, most: int) -> None:
    """Print what planning many generated requests takes, on the accelerator."""
    print(f"… {count} requests", file=sys.stderr, flush=True)
    requests = many_requests(count)
    print(f"\n### {count} requests of {len(requests.items)} items, accelerator\n")
    print("| k | padding ratio | above its bound | processor |\n|---|---|---|---|")
    plan, seconds = _planned(requests, CallableCost(_accelerator), most)
    print(f"| {most} | {plan.padding_ratio:.4f} | {_gap(plan)} | {seconds:.0f} s |", flush=True)


def many_requests(count: int) -> ItemRequests:
    """Return generated requests: 1 + Poisson(7) lines each, lognormal widths, those of one request alike."""
    random = np.random.default_rng(11)
    lengths = 1 + random.poisson(7, count)
    scale = np.repeat(random.lognormal(0, 0.3, count), lengths)
    widths = np.clip(random.lognormal(5.5, 0.6, int(lengths.sum())) * scale, 16, 4000).astype(np.int64)
    return ItemRequests(("W",), widths[:, None], np.concatenate([[0], lengths.cumsum()]))


def _planned(requests: ItemRequests, model: CostModel, count: int) -> tuple[BucketPlan, float]:
    options = make_options(count, {"interval": {"W": _INTERVAL}, "choices": {"N": _CHOICES}})
    begin = time.process_time()
    plan = plan_requests(requests, _VARIABLES, count, model, options)
    return plan, time.process_time() - begin


def _gap(plan: BucketPlan) -> str:
    return "-" if plan.lower_bound is None else f"{plan.padding_ratio / plan.lower_bound - 1:.1%}"


def _line(requests: ItemRequests, model: CostModel, count: int) -> str:
    print(f"… {len(requests.counts)} receipts, k = {count}", file=sys.stderr, flush=True)
    plan, seconds = _planned(requests, model, count)
    together = score_requests(requests, _VARIABLES, plan.buckets, model, _CHOICES)
    apart = min(_apart(requests, model, count))
    more = apart / together.padding_ratio - 1
    return f"| {count} | {together.padding_ratio:.3f} | {_gap(plan)} | {apart:.3f} | {more:.1%} | {seconds:.0f} s |"


def _apart(requests: ItemRequests, model: CostModel, count: int) -> list[float]:
    widths = ShapeHistogram.from_samples(requests.items, variables=("W",))
    ratios = []
    for size in range(1, min(count, len(_CHOICES)) + 1):
        lists = plan_buckets(widths, max_buckets=count // size, interval=_INTERVAL).buckets[:, 0]
        for batches in itertools.combinations(_CHOICES, size):
            product = np.asarray(list(itertools.product(batches, lists)), dtype=np.int64)
            ratios.append(score_requests(requests, _VARIABLES, product, model, _CHOICES).padding_ratio)
    return ratios


def measure_cpu(path: Path) -> MeasuredCost:
    """Return median latencies of the recogniser at a grid of batches and widths, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shapes = list(itertools.product((1, 4, 16), (32, 96, 320, 960)))
    seconds = []
    for batch, width in shapes:
        feed = {name: np.zeros((batch, 3, 48, width), dtype=np.float32)}
        session.run(None, feed)
        seconds.append(statistics.median(_timed(lambda feed=feed: session.run(None, feed)) for _ in range(5)))
    return MeasuredCost(_VARIABLES, shapes, seconds)


def _timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
