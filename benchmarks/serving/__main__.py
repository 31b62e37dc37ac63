"""Crops per second, latency per page, and lines read right, of every way of serving text recognition.

    python -m benchmarks.serving [--rounds 3] [--pages 16] [--rows rapidocr,ours16]

All rows run in one process on the same pages, page by page in turn, so that whatever else the machine does hits all of
them alike. The first round is cold in shapes: it is what a dynamic engine gives for widths that it has not seen. The
median of the other rounds is warm.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import systems
from benchmarks.serving.bundles import build_bundle, build_measured, planned_widths, with_batches
from benchmarks.serving.crops import ROOT, Page, Work, find_work
from examples.ocr.line_accuracy import same_text
from examples.ocr.ocr import decode, read_letters

MODEL = ROOT / "models/ppocr_rec.onnx"
BUILD = ROOT / "build/benchmarks/serving"
REFERENCE = "onnxruntime one by one"


def rows(work: Work) -> dict[str, Callable[[], systems.Serve]]:
    """Return how to make each row, in the order of the table."""
    widths, cores = work.widths, os.cpu_count() or 1
    widest = int(-(-widths.samples.max() // 8) * 8)

    def ours(buckets: int, in_flight: int) -> Callable[[], systems.Serve]:
        def make() -> systems.Serve:
            shapes = with_batches(planned_widths(widths, buckets), [1])
            directory = build_bundle(MODEL, shapes, BUILD / f"{work.name}-{buckets}")
            return systems.bundle(directory, threads=1 if in_flight > 1 else cores, in_flight=in_flight)

        return make

    def batched() -> systems.Serve:
        shapes = with_batches(planned_widths(widths, 8), [1, 2, 4, 8])
        directory = build_measured(MODEL, shapes, BUILD / f"{work.name}-8-batches")
        return systems.bundle(directory, threads=cores, in_flight=1)

    def mindocr() -> systems.Serve:
        gears = planned_widths(widths, 16, strategy="mean_std", interval=32)
        return systems.mindocr_rule(MODEL, gears, [1, 4, 8])

    return {
        "RapidOCR's rule on onnxruntime": lambda: systems.rapidocr_rule(MODEL),
        REFERENCE: lambda: systems.onnxruntime_singles(MODEL),
        "OpenVINO dynamic one by one": lambda: systems.openvino_singles(MODEL),
        "OpenVINO dynamic batches of 6": lambda: systems.openvino_sixes(MODEL),
        "OpenVINO dynamic, one per core": lambda: systems.openvino_parallel(MODEL),
        "MindOCR's plan and matching": mindocr,
        "pad to maximum": lambda: systems.pad_to_maximum(MODEL, widest),
        "ours, 8 buckets, one at a time": ours(8, 1),
        "ours, 8 widths x batch 1 2 4 8": batched,
        "ours, 8 buckets": ours(8, cores),
        "ours, 16 buckets": ours(16, cores),
        "ours, 32 buckets": ours(32, cores),
    }


def time_rows(
    serving: Mapping[str, systems.Serve], pages: Sequence[Page], rounds: int
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, list[list[Any]]]]:
    """Return seconds [rounds, pages] and the answers of the last round per row."""
    seconds = {name: np.zeros((rounds, len(pages))) for name in serving}
    answers: dict[str, list[list[Any]]] = {name: [[] for _ in pages] for name in serving}
    names = list(serving)
    for turn in range(rounds):
        for number, page in enumerate(pages):
            # Another row begins each time: none always follows the same one.
            for name in np.roll(names, turn + number):
                begin = time.perf_counter()
                found = serving[str(name)](page.pixels)
                seconds[str(name)][turn, number] = time.perf_counter() - begin
                answers[str(name)][number] = found
    return seconds, answers


def summary(
    seconds: np.ndarray[Any, Any], texts: Sequence[str], exact: Sequence[str], truth: Sequence[str]
) -> dict[str, float]:
    """Return the figures of one row."""
    warm = np.median(seconds[1:] if len(seconds) > 1 else seconds, axis=0)
    return {
        "crops per second": len(truth) / float(warm.sum()),
        "cold": len(truth) / float(seconds[0].sum()),
        "page p50 ms": 1e3 * float(np.quantile(warm, 0.5)),
        "page p99 ms": 1e3 * float(np.quantile(warm, 0.99)),
        "right %": 100 * float(np.mean([same_text(a, b) for a, b in zip(texts, truth, strict=True)])),
        "same as exact %": 100 * float(np.mean([a == b for a, b in zip(texts, exact, strict=True)])),
    }


def main() -> None:
    """Run and print the table; write it to ``build/benchmarks/serving/result.json``."""
    parser = argparse.ArgumentParser(description="Compare ways of serving text recognition.")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pages", type=int, default=None)
    parser.add_argument("--rows", default="", help="comma-separated parts of row names; all by default")
    options = parser.parse_args()
    work = find_work(options.pages)
    makers = rows(work)
    parts = [part for part in options.rows.split(",") if part]
    chosen = {n: make() for n, make in makers.items() if n == REFERENCE or not parts or any(p in n for p in parts)}
    seconds, answers = time_rows(chosen, work.pages, options.rounds)
    letters = read_letters(MODEL)
    truth = [text for page in work.pages for text in page.texts]
    texts = {name: [decode(scores, letters) for page in pages for scores in page] for name, pages in answers.items()}
    table = {name: summary(seconds[name], texts[name], texts[REFERENCE], truth) for name in chosen}
    print(f"{work.name}: {len(truth)} lines on {len(work.pages)} pages, {os.cpu_count()} cores, {platform.processor()}")
    heads = list(next(iter(table.values())))
    print(f"{'':34}" + "".join(f"{head:>17}" for head in heads))
    for name, figures in table.items():
        print(f"{name:34}" + "".join(f"{figures[head]:17.1f}" for head in heads))
    BUILD.mkdir(parents=True, exist_ok=True)
    Path(BUILD / "result.json").write_text(json.dumps({"work": work.name, "rows": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
