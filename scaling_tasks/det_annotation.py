r"""One line of a det annotation: ``file\t[{"transcription", "points"}, …]``."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MOST_POINTS", "parse_line", "parse_points"]

MOST_POINTS = 1024
"""Corners of one polygon in an annotation."""


def parse_line(line: bytes) -> tuple[str, list[Any]]:
    """Return the file's name and the boxes, as they are, of one line.

    Raises:
        ValueError: It has another form.
    """
    try:
        name, *rest = line.decode("utf-8-sig").split("\t")
        boxes = json.loads(rest[0])
    except IndexError as cause:
        raise ValueError("no tab between file name and boxes") from cause
    except RecursionError as cause:
        raise ValueError("lists within lists without end") from cause
    except ValueError as cause:
        raise ValueError(f"no JSON list of boxes ({cause})") from cause
    if not isinstance(boxes, list):
        raise ValueError("no JSON list of boxes (not a list of boxes)")  # noqa: TRY004 - as of every other line
    return name, boxes


def parse_points(box: Any) -> list[tuple[float, float]]:
    """Return the corners of a box; they may be NaN or infinite.

    Raises:
        ValueError: It has too few of them, or too many, or is none.
    """
    try:
        points = [(float(point[0]), float(point[1])) for point in box["points"]]
    except (TypeError, LookupError, OverflowError) as cause:
        raise ValueError("no box") from cause
    if not 4 <= len(points) <= MOST_POINTS:
        raise ValueError(f"{len(points)} points")
    return points
