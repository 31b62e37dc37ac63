"""Whole pages, from the image to its text: bundles beside RapidOCR with its onnxruntime and its OpenVINO engine.

    python -m benchmarks.serving.pipeline [--pages 16] [--turns 3] [--many 0]

Detection, direction and recognition are the same PP-OCRv4 models everywhere; RapidOCR is its own code at its defaults
(``pip install --no-deps rapidocr-openvino==1.4.4`` for the second of its engines), ours is ``examples/ocr``. Each is a
process of its own; they take turns page by page. *Start* is from the beginning of the process to the first page's text,
*cold* the first pass over all pages, the rest is of the best of the later passes. *Right* are labelled lines whose text
is among those read on their page, case and spaces ignored; *worse* are those that RapidOCR's default reads and the row
does not, *better* the other way round. ``--many`` reads so many pages more, each scaled a little differently, and tells
the memory after them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.rows import BUILD, ROOT
from benchmarks.serving.systems import THREADS
from scaling_tasks.process_memory import process_memory

DEFAULT = "RapidOCR, onnxruntime"
OURS, OURS_ONE = "ours, an engine per bucket", "ours, an engine for all buckets"
PLACE = BUILD / "pipeline"
Read = Callable[[Any], list[str]]


def find_data() -> tuple[Path, Path, Path, Path]:
    """Return the images, their labelled lines, and the sizes of pages and lines that are planned for."""
    data = Path(os.environ.get("SCALING_TASKS_DATA", "no data")) / "sroie"
    if (data / "text_gt.txt").exists():
        return data / "images", data / "text_gt.txt", data / "sizes.csv", data / "det_gt.txt"
    example = ROOT / "datasets/receipts"
    return example / "images", example / "det_gt.txt", example / "images", example / "det_gt.txt"


def build(names: Collection[str]) -> None:
    """Build the bundles in a repository of their own, as the worked example does."""
    from scaling_tasks.config.load import parse_target
    from scaling_tasks.doit_plugin.run_targets import run_targets
    from scaling_tasks.stages.target import Target

    _, _, sizes, lines = find_data()
    forms = {OURS: ("", {}), OURS_ONE: ("-one", {"dynamic": True})}
    specs: list[dict[str, Any]] = [
        {
            "name": "det",
            "model": str(ROOT / "models/ppocr_det.onnx"),
            "input_shape": {"x": [1, 3, -1, -1]},
            "dataset": {"path": str(sizes)},
            "auto_scaling": {"limit_side_len": 960, "interval": 32, "max_scaling_num": 16},
            "runtime": {"multiples": {"H": 32, "W": 32}},
        },
        {
            "name": "rec",
            "model": str(ROOT / "models/ppocr_rec.onnx"),
            "input_shape": {"x": [1, 3, 48, -1]},
            "dataset": {"path": str(lines), "preprocessing": "ppocr_rec"},
            "auto_scaling": {"interval": 8, "max_scaling_num": 24},
        },
        {
            "name": "cls",
            "model": str(ROOT / "models/ppocr_cls.onnx"),
            "input_shape": {"x": [-1, 3, 48, 192]},
            "auto_scaling": {"strategy": "explicit", "buckets": [{"N": 1}, {"N": 4}, {"N": 16}]},
        },
    ]
    PLACE.mkdir(parents=True, exist_ok=True)
    os.chdir(PLACE)
    targets = [
        {**spec, "name": spec["name"] + ending, "compile": {"backend": "openvino", "options": own}}
        for ending, own in (forms[name] for name in names if name in forms)
        for spec in specs
    ]
    if run_targets([Target(parse_target(target)) for target in targets], jobs=THREADS) != 0:
        raise SystemExit("the bundles could not be built")
    os.chdir(ROOT)


def ours(ending: str = "", copies: int = 1) -> Read:
    """Return the example's pipeline: one thread per core in detection, one line per core in recognition."""
    from examples.ocr.ocr import read_image, read_letters
    from scaling_tasks.runtime.bundle import load_bundle

    built, each = PLACE / "build", {"threads": 1, "in_flight": THREADS, "copies": copies}
    detection = load_bundle(built / f"det{ending}", threads=THREADS, warm_up="background")
    recognition = load_bundle(built / f"rec{ending}", warm_up="background", **each)
    direction = load_bundle(built / f"cls{ending}", warm_up="background", **each)
    letters = read_letters(ROOT / "models/ppocr_rec.onnx")
    return lambda image: [line.text for line in read_image(image, detection, recognition, letters, direction)]


def rapidocr(package: str) -> Read:
    """Return RapidOCR at its defaults."""
    import openvino

    # Its OpenVINO engine imports OpenVINO by the name that it had until 2025.
    sys.modules.setdefault("openvino.runtime", openvino)
    engine = __import__(package).RapidOCR()
    return lambda image: [text for _, text, _ in engine(image)[0] or ()]


SYSTEMS: dict[str, Callable[[], Read]] = {
    DEFAULT: lambda: rapidocr("rapidocr_onnxruntime"),
    "RapidOCR, OpenVINO": lambda: rapidocr("rapidocr_openvino"),
    OURS: ours,
    OURS_ONE: lambda: ours("-one", copies=THREADS),
}


def serve(name: str, pages: list[Path], begun: float, connection: Connection) -> None:
    """Answer questions for a page's text, or for so many pages of other sizes, until there are no more."""
    import cv2

    images = [cv2.imread(str(page)) for page in pages]
    read = SYSTEMS[name]()
    read(images[0])
    connection.send(time.time() - begun)
    generator = np.random.default_rng(0)
    while (question := connection.recv()) is not None:
        kind, number = question
        begin = time.perf_counter()
        if kind == "page":
            texts: list[str] = read(images[number])
        else:
            texts = []
            for turn in range(number):
                scale = generator.uniform(0.7, 1.0)
                read(cv2.resize(images[turn % len(images)], None, fx=scale, fy=scale))
        connection.send((time.perf_counter() - begin, texts, process_memory()))


class System:
    """One of the systems, in a process of its own."""

    def __init__(self, name: str, pages: list[Path]) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, other = context.Pipe()
        self._process = context.Process(target=serve, args=(name, pages, time.time(), other), daemon=True)
        self._process.start()
        self.start = float(self._end.recv())

    def ask(self, kind: str, number: int) -> tuple[float, list[str], int]:
        """Return seconds, texts and the memory then."""
        self._end.send((kind, number))
        answer: tuple[float, list[str], int] = self._end.recv()
        return answer

    def close(self) -> None:
        """End the process."""
        self._end.send(None)
        self._process.join()


def labelled(annotation: Path, limit: int) -> dict[str, list[str]]:
    """Return the texts of each page."""
    records = [line for line in annotation.read_text(encoding="utf-8").splitlines() if line][:limit]
    pairs = (record.split("\t") for record in records)
    return {file: [box["transcription"] for box in json.loads(boxes)] for file, boxes in pairs}


def found(texts: list[str], truth: list[str]) -> list[bool]:
    """Return which of the labelled lines are among the texts, each text for one line."""
    left = Counter(plain(text) for text in texts)
    marks = []
    for text in map(plain, truth):
        marks.append(left[text] > 0)
        left[text] -= 1
    return marks


def plain(text: str) -> str:
    """Return a text without case and spaces."""
    return "".join(text.split()).casefold()


def main() -> None:
    """Print the table as Markdown; write it to ``build/benchmarks/serving/pipeline.json``."""
    parser = argparse.ArgumentParser(description="Compare whole pipelines.")
    parser.add_argument("--pages", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--rows", default="", help="comma-separated parts of row names; all by default")
    options = parser.parse_args()
    parts = options.rows.split(",")
    names = [name for name in SYSTEMS if name == DEFAULT or any(part in name for part in parts)]
    build(names)
    images, annotation, _, _ = find_data()
    truth = labelled(annotation, options.pages)
    pages = [images / Path(file).name for file in truth]
    systems = {name: System(name, pages) for name in names}
    seconds = {name: np.zeros((options.turns, len(pages))) for name in systems}
    texts: dict[str, list[list[str]]] = {name: [[] for _ in pages] for name in systems}
    memory = dict.fromkeys(systems, 0)
    for turn in range(options.turns):
        for page in range(len(pages)):
            for name in np.roll(list(systems), turn + page):
                took, read, memory[name] = systems[name].ask("page", page)
                seconds[name][turn, page], texts[name][page] = took, read
    marks = {
        name: [mark for read, lines in zip(texts[name], truth.values(), strict=True) for mark in found(read, lines)]
        for name in systems
    }
    total = len(marks[DEFAULT])
    print(f"{len(pages)} pages, {total} labelled lines, {THREADS} cores, load {os.getloadavg()[0]:.1f}\n")
    heads = "pages/s | cold | page p50 s | p99 s | start s | lines | right | worse | better | memory MB"
    print(f"| | {heads} | after {options.many} more |\n" + "|---" * 12 + "|")
    rows = {}
    for name, system in systems.items():
        warm = (seconds[name][1:] if options.turns > 1 else seconds[name]).min(axis=0)
        pairs = list(zip(marks[name], marks[DEFAULT], strict=True))
        rows[name] = [
            len(pages) / float(warm.sum()),
            len(pages) / float(seconds[name][0].sum()),
            *(float(np.quantile(warm, q)) for q in (0.5, 0.99)),
            system.start,
            sum(map(len, texts[name])),
            sum(marks[name]),
            sum(default and not own for own, default in pairs),
            sum(own and not default for own, default in pairs),
            memory[name] / (1 << 20),
            system.ask("many", options.many)[2] / (1 << 20),
        ]
        print(f"| {name} | " + " | ".join(f"{cell:.2f}".removesuffix(".00") for cell in rows[name]) + " |", flush=True)
    for system in systems.values():
        system.close()
    (BUILD / "pipeline.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
