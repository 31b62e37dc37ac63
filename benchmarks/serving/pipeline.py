"""Whole pages, from the image to its text: bundles beside RapidOCR with its onnxruntime and its OpenVINO engine.

    python -m benchmarks.serving.pipeline [--pages 16] [--turns 3] [--many 0] [--rows ours,OpenVINO]

Detection, direction and recognition are the same PP-OCRv4 models everywhere; RapidOCR is its own code at its defaults
(``pip install --no-deps rapidocr-openvino==1.4.4`` for the second of its engines). *Our engines* is that code too, with
three bundles in place of its sessions, so that the images are prepared and cut, and the answers read, as it does; ours
is ``examples/ocr``. Each is a process of its own; they take turns page by page. *Start* is from the beginning of the
process to the first page's text, *cold* the first pass over all pages, the rest is of the best of the later passes.
*Right* are labelled lines whose text is among those read on their page, case and spaces ignored; *worse* are those that
the first row, RapidOCR's default, reads and the row does not, *better* the other way round; *other* are lines of text,
labelled or not, that the row has and the first has not. ``--many`` reads so many pages more, each scaled a little
differently, and tells the memory after them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.rows import BUILD, ROOT
from benchmarks.serving.systems import THREADS
from scaling_tasks.process_memory import process_memory
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.model import BucketedModel

DEFAULT = "RapidOCR, onnxruntime"
OWN_CODE, OWN_CODE_SHORT = "RapidOCR, our engines", "RapidOCR, our engines in bfloat16"
OURS, OURS_ONE = "ours, an engine per bucket", "ours, an engine for all buckets"
OURS_SHORT = "ours, an engine per bucket, bfloat16"
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
    forms: dict[str, tuple[str, list[dict[str, Any]], dict[str, Any]]] = {
        OURS: ("", specs(sizes, lines), {}),
        OURS_SHORT: ("-bf16", specs(sizes, lines), {"inference_precision": "bf16"}),
        OURS_ONE: ("-one", specs(sizes, lines), {"dynamic": True}),
        OWN_CODE: ("-own", own_code_specs(sizes, lines), {}),
        OWN_CODE_SHORT: ("-own-bf16", own_code_specs(sizes, lines), {"inference_precision": "bf16"}),
    }
    PLACE.mkdir(parents=True, exist_ok=True)
    os.chdir(PLACE)
    targets = [
        {
            **spec,
            "name": spec["name"] + ending,
            "compile": {"backend": "openvino", "options": {**spec.get("compile", {}), **options}},
            # In bfloat16 scores of random pictures differ by a fifth, which has to be said to be wanted.
            "verify": {"absolute": 0.3} if "inference_precision" in options else {},
        }
        for ending, chosen, options in (forms[name] for name in names if name in forms)
        for spec in chosen
    ]
    if targets and run_targets([Target(parse_target(target)) for target in targets], jobs=THREADS) != 0:
        raise SystemExit("the bundles could not be built")
    os.chdir(ROOT)


def specs(sizes: Path, lines: Path) -> list[dict[str, Any]]:
    """Return the targets of detection, recognition and direction for pages of these sizes and these lines."""
    return [
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


def own_code_specs(sizes: Path, lines: Path) -> list[dict[str, Any]]:
    """Return the same for the sizes that RapidOCR's preparation makes of them; others the original serves."""
    detection, recognition, direction = specs(sizes, lines)
    prepared = {"kind": "ppocr_det", "limit_type": "min", "limit_side_len": 736}
    detection["dataset"]["preprocessing"] = prepared
    detection["runtime"]["oversize"], recognition["runtime"] = "fallback", {"oversize": "fallback"}
    recognition["dataset"]["preprocessing"] = {"kind": "ppocr_rec", "min_width": 320}
    # Pages are up to four times as large as ours: an engine for each of 16 sizes takes more than 10 GB in all.
    detection["compile"] = {"dynamic": True}
    return [detection, recognition, direction]


def ours(ending: str = "") -> Read:
    """Return the example's pipeline: one thread per core in detection, one line per core in recognition."""
    from examples.ocr.ocr import read_image, read_letters

    detection, recognition, direction = opened(ending)
    letters = read_letters(ROOT / "models/ppocr_rec.onnx")
    return lambda image: [line.text for line in read_image(image, detection, recognition, letters, direction)]


def opened(ending: str) -> tuple[BucketedModel, BucketedModel, BucketedModel]:
    """Return detection with all threads, and recognition and direction with one thread per core."""
    built, each = PLACE / "build", {"threads": 1, "in_flight": THREADS, "copies": THREADS}
    detection = load_bundle(built / f"det{ending}", threads=THREADS, warm_up="background")
    recognition = load_bundle(built / f"rec{ending}", warm_up="background", **each)
    return detection, recognition, load_bundle(built / f"cls{ending}", warm_up="background", **each)


def rapidocr(package: str) -> Any:
    """Return RapidOCR at its defaults."""
    import openvino

    # Its OpenVINO engine imports OpenVINO by the name that it had until 2025.
    sys.modules.setdefault("openvino.runtime", openvino)
    return __import__(package).RapidOCR()


def texts_of(engine: Any) -> Read:
    """Return what reads a page with RapidOCR."""
    return lambda image: [text for _, text, _ in engine(image)[0] or ()]


def own_code(ending: str) -> Read:
    """Return RapidOCR's own code, with bundles in place of its three sessions."""
    detection, recognition, direction = opened(ending)
    engine = rapidocr("rapidocr_onnxruntime")
    engine.text_det.infer = lambda batch: [only(detection.run({"x": batch}))]
    engine.text_cls.infer = lambda batch: [only(direction.run({"x": batch}))]
    # The rows of a batch are as wide as each other: a core serves one at a time.
    engine.text_rec.session = lambda batch: [
        np.concatenate([only(answer) for answer in recognition.run_many([{"x": row[None]} for row in batch])])
    ]
    return texts_of(engine)


def only(answer: Mapping[str, Any]) -> Any:
    """Return the one output."""
    (output,) = answer.values()
    return output


SYSTEMS: dict[str, Callable[[], Read]] = {
    DEFAULT: lambda: texts_of(rapidocr("rapidocr_onnxruntime")),
    "RapidOCR, OpenVINO": lambda: texts_of(rapidocr("rapidocr_openvino")),
    OWN_CODE: lambda: own_code("-own"),
    OWN_CODE_SHORT: lambda: own_code("-own-bf16"),
    OURS: ours,
    OURS_SHORT: lambda: ours("-bf16"),
    OURS_ONE: lambda: ours("-one"),
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
    names = [name for name in SYSTEMS if any(part in name for part in parts)]
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
    first = names[0]
    total = len(marks[first])
    print(f"{len(pages)} pages, {total} labelled lines, {THREADS} cores, load {os.getloadavg()[0]:.1f}\n")
    heads = "pages/s | cold | page p50 s | p99 s | start s | lines | right | worse | better | other | memory MB"
    print(f"| | {heads} | after {options.many} more |\n" + "|---" * 13 + "|")
    rows = {}
    for name, system in systems.items():
        warm = (seconds[name][1:] if options.turns > 1 else seconds[name]).min(axis=0)
        pairs = list(zip(marks[name], marks[first], strict=True))
        others = (
            Counter(map(plain, a)) - Counter(map(plain, b)) for a, b in zip(texts[name], texts[first], strict=True)
        )
        rows[name] = [
            len(pages) / float(warm.sum()),
            len(pages) / float(seconds[name][0].sum()),
            *(float(np.quantile(warm, q)) for q in (0.5, 0.99)),
            system.start,
            sum(map(len, texts[name])),
            sum(marks[name]),
            sum(reference and not own for own, reference in pairs),
            sum(own and not reference for own, reference in pairs),
            sum(each.total() for each in others),
            memory[name] / (1 << 20),
            system.ask("many", options.many)[2] / (1 << 20),
        ]
        print(f"| {name} | " + " | ".join(f"{cell:.2f}".removesuffix(".00") for cell in rows[name]) + " |", flush=True)
    for system in systems.values():
        system.close()
    (BUILD / "pipeline.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
