"""The pages that are served: labelled text lines, prepared for recognition, and the widths that plans are made for."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import scaling_tasks as st
from examples.ocr.line_accuracy import labelled_lines
from scaling_tasks.config.specs import AutoScalingSpec, DatasetSpec
from scaling_tasks.samples.compute_statistics import compute_statistics
from scaling_tasks.samples.scan import scan
from scaling_tasks.shapes.dataset_statistics import ItemRequests
from scaling_tasks.shapes.signature import name_dimensions

ROOT = Path(__file__).resolve().parents[2]
INPUTS = {"x": [-1, 3, 48, -1]}
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Page:
    """The lines of one image: model inputs, float32 [3, 48, W] each, and what they say."""

    pixels: list[Pixels]
    texts: list[str]


@dataclass(frozen=True)
class Work:
    """What is served, and the widths that were known when planning, which are more than those; by page in requests."""

    name: str
    pages: list[Page]
    widths: st.ShapeHistogram
    requests: ItemRequests


def find_work(limit: int | None = None) -> Work:
    """Return the labelled receipts where they are present, else the worked example's pages."""
    data = Path(os.environ.get("SCALING_TASKS_DATA", "no data")) / "sroie"
    if (data / "text_gt.txt").exists():
        return _work("receipts", data / "text_gt.txt", data / "det_gt.txt", limit)
    example = ROOT / "datasets/receipts/det_gt.txt"
    return _work("example", example, example, limit or 16)


def _work(name: str, labelled: Path, planned: Path, limit: int | None) -> Work:
    records = [line for line in labelled.read_text(encoding="utf-8").splitlines() if line][:limit]
    pages = []
    for record in records:
        lines = labelled_lines(labelled, only=record.partition("\t")[0])
        pages.append(Page([pixels for pixels, _ in lines], [text for _, text in lines]))
    widths = st.scan_dataset(planned, {"x": [1, 3, 48, -1]}, preprocessing="ppocr_rec")
    return Work(name, pages, widths, _requests(planned))


def _requests(planned: Path) -> ItemRequests:
    dataset, signature = DatasetSpec(path=str(planned), preprocessing="ppocr_rec"), name_dimensions(INPUTS)
    with tempfile.TemporaryDirectory() as directory:
        seen = scan(dataset, Path(directory) / "scan.cache")
        requests = compute_statistics(seen, signature, AutoScalingSpec(interval=8), dataset).requests
    assert requests is not None  # An annotation always has them.
    return requests
