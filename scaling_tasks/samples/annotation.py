r"""The det annotation kind: text boxes per image, one line ``file\t[{"transcription", "points"}, …]`` each."""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import numpy as np

from scaling_tasks.det_annotation import MOST_POINTS, parse_line, parse_points
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.boxes import box_sides, polygon_sides
from scaling_tasks.samples.limits import LARGEST_SIZE
from scaling_tasks.samples.lines import read_lines
from scaling_tasks.samples.measurements import MOST_LISTED, Measurements
from scaling_tasks.shapes.signature import HEIGHT, WIDTH

__all__ = ["read_annotation"]

_FORM = 'Write one line per image: file name, tab, JSON list of {"points": [[x, y], ...]}.'


def read_annotation(path: str) -> tuple[Measurements, str]:
    """Measure every box; return the measurements and the SHA-256 of the file.

    A box's sides are the larger of its two widths and of its two heights, cut to whole pixels. Boxes whose points
    cannot be read, that have a side below one pixel or above `LARGEST_SIZE`, or more than `MOST_POINTS` corners are
    skipped and counted, as are lines of another form.

    Raises:
        DatasetError: A line is too long, or there is no box.
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    boxes = _Boxes()
    for number, line in read_lines(path):
        digest.update(line)
        boxes.add_line(number, line)
    return boxes.measurements(path), digest.hexdigest()


class _Boxes:
    """Boxes gathered line by line: the sides, and how many each line has."""

    def __init__(self) -> None:
        self._corners = array("d")  # x0 y0 … x3 y3 per box
        self._replaced: dict[int, tuple[float, float]] = {}  # box number -> height, width of a larger polygon
        self._counts = array("q")
        self._bad_boxes = 0
        self._bad_lines = 0
        self._listed: list[str] = []

    def add_line(self, number: int, line: bytes) -> None:
        if not line.strip():
            return
        try:
            _, boxes = parse_line(line)
        except ValueError as cause:
            self._bad_lines += 1
            self._list(f"line {number}: {cause}")
            return
        self._counts.append(sum(self._add_box(number, box) for box in boxes))

    def _add_box(self, number: int, box: Any) -> bool:
        try:
            points = parse_points(box)
        except ValueError:
            self._bad_boxes += 1
            self._list(f"line {number}: a box without four points, or with more than {MOST_POINTS}")
            return False
        if len(points) > 4:
            self._replaced[len(self._corners) // 8] = polygon_sides(points)
        for point in points[:4]:
            self._corners.extend(point)
        return True

    def _list(self, text: str) -> None:
        if len(self._listed) < MOST_LISTED:
            self._listed.append(text)

    def measurements(self, where: str) -> Measurements:
        if not self._counts:
            raise DatasetError("no line has the det annotation form", where=where, fix=_FORM)
        sides = box_sides(np.frombuffer(self._corners, dtype=np.float64).reshape(-1, 4, 2))
        for place, side in self._replaced.items():
            sides[place] = side
        good = ((sides >= 1) & (sides <= LARGEST_SIZE)).all(axis=1)  # false for NaN too
        if not good.any():
            raise DatasetError("no box has a height and a width", where=where, fix=_FORM)
        starts = np.concatenate([[0], np.cumsum(np.frombuffer(self._counts, dtype=np.int64))])
        offsets = np.concatenate([[0], np.cumsum(good)])[starts]
        values = sides[good].astype(np.int64)
        bad_boxes = self._bad_boxes + int((~good).sum())
        if not good.all():
            self._list(f"{int((~good).sum())} boxes with a side below one pixel or above {LARGEST_SIZE}")
        source = {"lines": len(self._counts), "boxes": len(values), "skipped": self._bad_lines + bad_boxes}
        source |= {"skipped_boxes": bad_boxes, "skipped_lines": self._bad_lines}
        return Measurements(
            "annotation", (HEIGHT, WIDTH), values, offsets=offsets.astype(np.int64), source=source,
            skipped=tuple(self._listed),
        )  # fmt: skip
