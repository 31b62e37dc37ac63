"""MindOCR's samples (its documentation's preprocessing), computed by themselves for the golden cases."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scaling_tasks.shapes.dataset_statistics import DatasetStatistics, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import Signature


def _boxes(path: Path) -> list[list[tuple[int, int]]]:
    """Return (height, width) of every box, per line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        boxes = []
        for box in json.loads(line.split("\t")[1]):
            p = box["points"]
            width = int(max(math.dist(p[0], p[1]), math.dist(p[2], p[3])))
            height = int(max(math.dist(p[0], p[3]), math.dist(p[1], p[2])))
            boxes.append((height, width))
        lines.append(boxes)
    return lines


def _limit_side(height: int, width: int, limit: int, interval: int) -> tuple[int, int]:
    ratio = limit / max(height, width) if max(height, width) > limit else 1.0
    sides = (round(int(side * ratio) / interval) * interval for side in (height, width))
    # A side rounded to 0 counts as 1: neither the mean nor the least moves to another multiple by it.
    return max(1, next(sides)), max(1, next(sides))


def mindocr_statistics(path: Path, signature: Signature, scaling: Mapping[str, object]) -> DatasetStatistics:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            lines = [[(int(row["height"]), int(row["width"]))] for row in csv.DictReader(file)]
    else:
        lines = _boxes(path)
    variables = signature.size_variables
    limit, interval = int(str(scaling["limit_side_len"])), int(str(scaling["interval"]))
    rows: list[tuple[int, ...]] = []
    counts = []
    for boxes in lines:
        counts.append(len(boxes))
        for height, width in boxes:
            if variables == ("H",):
                rows.append((int(height * (signature.fixed_side("W") or 0) / width),))
            elif variables == ("W",):
                rows.append((int(width * (signature.fixed_side("H") or 0) / height),))
            else:
                rows.append(_limit_side(height, width, limit, interval) if variables else ())
    items = np.asarray(rows, dtype=np.int64).reshape(len(rows), len(variables))
    requests = None
    if "N" in signature.variables:
        requests = ItemRequests(variables, items, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
        histogram = ShapeHistogram.from_samples(requests.batches(), variables=("N", *variables))
    else:
        histogram = ShapeHistogram.from_samples(np.maximum(items, 1), variables=variables)
    return DatasetStatistics(histogram, None, requests)
