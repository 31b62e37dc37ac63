"""The strategies ``mean_std`` and ``max_min``: MindOCR's documented statistics, a range per side cut into equal steps.

The formulas are those of the tool's documentation; what its code does wrong is left out: sides are not swapped, no
sample is made up, no value is 0, and the number of values never exceeds the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.request.request import Choice, PlanRequest
from scaling_tasks.planning.solver.product import product_of
from scaling_tasks.shapes.dataset_statistics import Column
from scaling_tasks.shapes.signature import is_batch

__all__ = ["batch_values", "choose_max_min", "choose_mean_std", "cut_evenly", "side_range"]

Interval = tuple[float, float]


def choose_mean_std(request: PlanRequest, most: int) -> Choice:
    """Return the product of lists between mean ± n_std·σ of each variable."""
    return Choice(_lists(request, "mean_std", most))


def choose_max_min(request: PlanRequest, most: int) -> Choice:
    """Return the product of lists between the widened ends of each variable."""
    return Choice(_lists(request, "max_min", most))


def _lists(request: PlanRequest, strategy: str, most: int) -> NDArray[np.int64]:
    """Cut each variable's range evenly; the limit is on the product of all but the batch."""
    options, names = request.options, request.variables
    columns = [request.columns.get(name) or Column.of(request.original, name) for name in names]
    bounds = [side_range(column, strategy, options.n_std, options.expand_ratio) for column in columns]
    allowed = [(sizes.low, math.inf if sizes.high is None else sizes.high) for sizes in request.lattice.allowed]
    steps = [sizes.interval for sizes in request.lattice.allowed]
    sides = [
        index for index, name in enumerate(names) if not (is_batch(name) and request.lattice.allowed[index].choices)
    ]
    lists: dict[int, list[int]] = {}
    if len(sides) == 2 and steps[sides[0]] == steps[sides[1]]:
        first, second = sides
        pair = two_side_values((bounds[first], bounds[second]), (allowed[first], allowed[second]), steps[first], most)
        lists = dict(zip(sides, pair, strict=True))
    else:
        share = max(1, int(most ** (1 / max(1, len(sides))) + 1e-9))
        lists = {index: side_values(bounds[index], allowed[index], steps[index], share) for index in sides}
    for index in set(range(len(names))) - set(sides):
        lists[index] = batch_values(columns[index], bounds[index], request.lattice.allowed[index].choices)
    return product_of(
        [sizes.within(np.asarray(lists[index], dtype=np.int64)) for index, sizes in enumerate(request.lattice.allowed)]
    )


def side_range(column: Column, strategy: str, n_std: float, expand_ratio: float) -> Interval:
    """Return the range of one variable.

    ``mean_std``: mean ± n_std·σ with the population σ. ``max_min``: the observed range, widened on both ends by
    ``expand_ratio``/2 of its width.

    Args:
        column: Sizes of one variable, 0 where MindOCR's rounding gives it.
        strategy: ``mean_std`` or ``max_min``.
        n_std: For ``mean_std``.
        expand_ratio: For ``max_min``.
    """
    sizes, weights = column.sizes.astype(np.float64), column.weights
    if strategy == "max_min":
        low, high = float(sizes.min()), float(sizes.max())
        widening = (high - low) * expand_ratio / 2
        return low - widening, high + widening
    mean = float(np.average(sizes, weights=weights))
    deviation = math.sqrt(float(np.average((sizes - mean) ** 2, weights=weights)))
    return mean - n_std * deviation, mean + n_std * deviation


def _aligned(bounds: Interval, allowed: Interval, interval: int) -> tuple[int, int, int]:
    """Clip a range, round both ends up to the interval, and count the multiples in it."""
    low = math.ceil(max(allowed[0], bounds[0]) / interval) * interval
    high = max(low, math.ceil(min(allowed[1], bounds[1]) / interval) * interval)
    return low, high, (high - low) // interval + 1


def _steps(low: int, high: int, count: int, interval: int, most: int) -> list[int]:
    """Return ``count`` equidistant values rounded up to the interval, without repetitions.

    A single value brings its lower neighbour along (platforms want two) where there is one and room for it.
    """
    if count == 1:
        return [high - interval, high] if most >= 2 and high > interval else [high]
    step = (high - low) / (count - 1)
    inner = (math.ceil((low + index * step) / interval) * interval for index in range(count - 1))
    return list(dict.fromkeys([*inner, high]))


def side_values(bounds: Interval, allowed: Interval, interval: int, most: int) -> list[int]:
    """Return at most ``most`` values for the only dynamic side, ascending."""
    low, high, count = _aligned(bounds, allowed, interval)
    return _steps(low, high, min(count, most), interval, most)


def two_side_values(
    bounds: tuple[Interval, Interval], allowed: tuple[Interval, Interval], interval: int, most: int
) -> tuple[list[int], list[int]]:
    """Return values for height and width whose product has at most ``most`` members."""
    height, width = (_aligned(*pair, interval) for pair in zip(bounds, allowed, strict=True))
    rows, columns = height[2], width[2]
    if rows * columns > most:
        rows = min(most, max(1, math.floor(rows * math.sqrt(most / (rows * columns)))))
        columns = min(columns, max(1, most // rows))
    heights = _steps(height[0], height[1], rows, interval, most // columns)
    widths = _steps(width[0], width[1], columns, interval, most // len(heights))
    return heights, widths


def batch_values(column: Column, bounds: Interval, choices: Sequence[int]) -> list[int]:
    """Return the batch choices inside the range.

    Where none lies inside, the smallest choice that holds the largest observed batch is returned, or else the largest.
    """
    inside = [choice for choice in sorted(set(choices)) if bounds[0] <= choice <= bounds[1]]
    if inside:
        return inside
    most = int(column.sizes.max())
    return [min((choice for choice in choices if choice >= most), default=max(choices))]


def cut_evenly(values: Sequence[int] | NDArray[np.int64], most: int) -> list[int]:
    """Return at most ``most`` of ``values`` at equal distances in the list; the last one always stays."""
    count = len(values)
    if count <= most:
        return [int(value) for value in values]
    picks = sorted({count - 1 - round(index * (count - 1) / max(1, most - 1)) for index in range(most)})
    return [int(values[pick]) for pick in picks]
