"""The sides of text boxes, in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_sides", "least_rectangle", "polygon_sides"]


def box_sides(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return height and width of quadrilaterals, whole numbers [n, 2], from their corners [n, 4, 2].

    ``width = int(max(|p0 - p1|, |p2 - p3|))`` and ``height = int(max(|p0 - p3|, |p1 - p2|))``, the rule by which
    MindOCR and PP-OCR crop a box before recognition.
    """
    with np.errstate(all="ignore"):
        edges = np.sqrt(((corners - np.roll(corners, -1, axis=1)) ** 2).sum(axis=2))
        sides: NDArray[np.float64] = np.trunc(np.maximum(edges[:, [1, 0]], edges[:, [3, 2]]))
    return sides


def polygon_sides(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return height and width of a polygon's minimum-area rectangle, whole numbers; 0 where it has no area."""
    with np.errstate(all="ignore"):
        height, width = least_rectangle(points)
    return float(np.trunc(height + _SLACK)), float(np.trunc(width + _SLACK))


# A rectangle of exactly 30 pixels must not become 29 by the last bit of a rotation.
_SLACK = 1e-6


def least_rectangle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the exact height and width of the minimum-area rectangle.

    The width is the side that spans more columns, so that two corners lie to its left and two to its right, as
    PaddleOCR orders the corners of ``cv2.minAreaRect``. The least rectangle has a side along an edge of the convex
    hull (Freeman and Shapira 1975), so every edge is tried.
    """
    hull = _convex_hull(np.asarray(points, dtype=np.float64))
    if len(hull) < 3:
        return 0.0, 0.0
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    lengths = np.ptp(hull @ along.T, axis=0)
    depths = np.ptp(hull @ across.T, axis=0)
    best = int(np.argmin(lengths * depths))
    level = lengths[best] * abs(along[best, 0]) >= depths[best] * abs(across[best, 0])
    height, width = (depths[best], lengths[best]) if level else (lengths[best], depths[best])
    return float(height), float(width)


def _convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull in order (Andrew's monotone chain)."""
    if not np.isfinite(points).all():
        return points[:0]
    ordered = np.unique(points, axis=0)
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return np.array(lower[:-1] + upper[:-1])


def _chain(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    chain: list[NDArray[np.float64]] = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(first: NDArray[np.float64], middle: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    return float((middle[0] - first[0]) * (last[1] - first[1]) - (middle[1] - first[1]) * (last[0] - first[0]))
