"""Very many candidates of two dimensions: strips along one axis, each cut exactly along the other.

One axis is cut into strips at least cost; within a strip all buckets share its largest coordinate, so that the best cut
along the other axis is a programme on a line, convex in the number of buckets. Buckets go, one at a time, to the strip
where one more saves most, which is the best share for these strips. Both axes and several numbers of strips are tried.
"""

from __future__ import annotations

import heapq
import itertools

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.line import LineCuts, cut_layers, cut_line
from scaling_tasks.planning.solver.problem import Problem

__all__ = ["striped"]

# Numbers of strips that are tried, as powers of the number of buckets; how many equal shares a strip may have.
_POWERS, _LAYERS = (0.48, 0.54), 3


def striped(problem: Problem) -> NDArray[np.int64]:
    """Return a choice for a problem of two dimensions without prices that differ, int64 [k, 2]."""
    forced = problem.points[:0] if problem.forced is None else problem.forced
    best, found = np.inf, problem.points.max(axis=0)[None, :]
    most = max(1, problem.most - len(forced))
    for axis in (0, 1):
        for count in sorted({max(1, round(most**power)) for power in _POWERS}):
            chosen, total = _in_strips(problem, axis, count, most)
            if total < best:
                best, found = total, chosen
    return np.unique(np.vstack([found, forced]), axis=0)


def _in_strips(problem: Problem, axis: int, count: int, most: int) -> tuple[NDArray[np.int64], float]:
    order = np.argsort(problem.points[:, axis], kind="stable")
    points, weights = problem.points[order], problem.weights[order]
    ends = _strip_ends(points, weights, problem, axis, count)
    strips = [_Strip(points[a:b], weights[a:b], problem, axis, _LAYERS * most // count + 1) for a, b in ends]
    layers = [1] * len(strips)
    gains = [(-strip.gain(1), index) for index, strip in enumerate(strips)]
    heapq.heapify(gains)
    for _ in range(most - len(strips)):
        gain, index = heapq.heappop(gains)
        if gain >= 0:
            break
        layers[index] += 1
        heapq.heappush(gains, (-strips[index].gain(layers[index]), index))
    total = sum(strip.total(layer) for strip, layer in zip(strips, layers, strict=True))
    return np.vstack([strip.buckets(layer) for strip, layer in zip(strips, layers, strict=True)]), total


def _strip_ends(
    points: NDArray[np.int64], weights: NDArray[np.float64], problem: Problem, axis: int, count: int
) -> list[tuple[int, int]]:
    """Return where strips of the points begin and end: an optimal cut, the other coordinate at its mean."""
    sizes, first = np.unique(points[:, axis], return_index=True)
    mass = np.add.reduceat(weights, first)
    middle = np.full(len(sizes), int(np.average(points[:, 1 - axis], weights=weights)))
    columns = (sizes, middle) if axis == 0 else (middle, sizes)
    costs = np.maximum.accumulate(problem.cost(np.stack(columns, axis=1)))
    cut = cut_line(mass, costs, count)
    last = cut.ends(len(cut.curve))
    stops = [*first[last[:-1] + 1].tolist(), len(points)]
    return list(zip([0, *stops[:-1]], stops, strict=True))


class _Strip:
    """One strip and the best cuts of it, worked out for as many buckets as are asked about."""

    def __init__(
        self, points: NDArray[np.int64], weights: NDArray[np.float64], problem: Problem, axis: int, layers: int
    ) -> None:
        self._axis, self._wide = axis, int(points[:, axis].max())
        self._sizes, inverse = np.unique(points[:, 1 - axis], return_inverse=True)
        mass = np.bincount(inverse.ravel(), weights, len(self._sizes)).astype(np.float64)
        costs = np.maximum.accumulate(problem.cost(self._shapes(self._sizes)))
        self._layers = itertools.islice(cut_layers(mass, costs), max(1, min(layers, len(self._sizes))))
        self._curve: list[float] = []
        self._choices: list[NDArray[np.int32]] = []

    def total(self, layer: int) -> float:
        """Return what serving the strip costs with ``layer`` buckets, or as many as it may have."""
        for total, choices in itertools.islice(self._layers, max(0, layer - len(self._curve))):
            self._curve.append(min([total, *self._curve[-1:]]))
            self._choices.append(choices)
        return self._curve[min(layer, len(self._curve)) - 1]

    def gain(self, layer: int) -> float:
        """Return what one bucket more than ``layer`` saves."""
        return self.total(layer) - self.total(layer + 1)

    def buckets(self, layer: int) -> NDArray[np.int64]:
        """Return the best ``layer`` buckets, int64 [layer, 2]."""
        return self._shapes(self._sizes[LineCuts(np.asarray(self._curve), np.stack(self._choices)).ends(layer)])

    def _shapes(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        wide = np.full(len(sizes), self._wide)
        return np.stack((wide, sizes) if self._axis == 0 else (sizes, wide), axis=1)
