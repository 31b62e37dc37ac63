"""The rules of thumb that other systems choose sizes by, for comparison and migration.

Each rule takes the sizes of one variable in ascending order with their weights and returns at most ``count`` values,
the largest size among them, before rounding. Over several variables a rule makes a grid (``grids``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.strategies.segments import equal_parts, nncase_segments

__all__ = ["RULES", "Rule"]

Rule = Callable[[NDArray[np.int64], NDArray[np.float64], int, Mapping[str, float]], list[int]]


def _equal_parts(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Cut the observed range into equal parts."""
    return equal_parts(int(sizes[0]), int(sizes[-1]), count)


def _nncase(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Cut the observed range as nncase's ShapeBucket does."""
    return nncase_segments(int(sizes[0]), int(sizes[-1]), count)


def _quantiles(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Take the sizes at equal shares of samples (fairseq ``get_buckets``: lower percentiles)."""
    total = weights.cumsum()
    marks = np.linspace(0, 1, count + 1)[1:] * (total[-1] - weights.min())
    picks = np.minimum(np.searchsorted(total, marks, side="right"), len(sizes) - 1)
    return [*sizes[picks].tolist(), int(sizes[-1])]


def _powers_of_two(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Take the largest powers of two below the largest size, then that size (NeuronX ``generate_buckets``)."""
    high = int(sizes[-1])
    low = int(options.get("min_size") or sizes[0])
    powers = [2**power for power in range(max(0, int(math.log2(low))), max(0, math.ceil(math.log2(high))))]
    return [*powers[max(0, len(powers) - count + 1) :], high] if count > 1 else [high]


def _geometric(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Take sizes at equal ratios from ``min_size`` to the largest (vLLM for Gaudi, exponential strategy)."""
    step, high = int(options.get("step") or 1), int(sizes[-1])
    low = min(high, max(step, int(options.get("min_size") or sizes[0])))
    if count == 1:
        return [high]
    ratios = (low * (high / low) ** (index / (count - 1)) for index in range(count - 1))
    return [*(min(high, math.ceil(ratio / step - 1e-9) * step) for ratio in ratios), high]


def _padding_limited(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Walk by steps and keep a size where the next would pad too much (vLLM for Gaudi, padding-aware strategy).

    Without ``pad_percent`` the least percentage that gives at most ``count`` sizes is taken.
    """
    step, high = int(options.get("step") or 1), int(sizes[-1])
    low = max(1, min(high, int(options.get("min_size") or sizes[0])))
    pad_max = int(options.get("pad_max") or high)
    if options.get("pad_percent") is not None:
        values = _walk(low, step, high, pad_max, float(options["pad_percent"]), high)
        if len(values) > count:
            raise PlanError(f"it makes {len(values)} sizes, more than {count}", where="pad_percent", fix="Raise it.")
        return values
    walks = (_walk(low, step, high, high, percent, count) for percent in range(101))
    return next((values for values in walks if len(values) <= count), [high])


def _walk(low: int, step: int, high: int, pad_max: int, percent: float, most: int) -> list[int]:
    """Return the sizes, or the first ones where there are more than ``most``."""
    values, current = [], low
    while current < step and current < high:
        values.append(current)
        current *= 2
    last = values[-1] if values else 0
    current = -(-max(low, step) // step) * step
    while current < high and len(values) <= most:
        following = min(current + step, high)
        padding = following - last - 1
        if padding / following > percent / 100 or padding > pad_max:
            values.append(current)
            last = current
        current += step
    return [*values, high]


def _equal_mass(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], count: int, options: Mapping[str, float]
) -> list[int]:
    """Cut where the running sum of sizes passes equal shares (Lhotse ``estimate_duration_buckets``)."""
    mass = (sizes * weights).cumsum()
    marks = mass[-1] * np.arange(1, count) / count
    return [*sizes[np.minimum(np.searchsorted(mass, marks, side="right"), len(sizes) - 1)].tolist(), int(sizes[-1])]


RULES: Mapping[str, Rule] = {
    "equal_parts": _equal_parts,
    "nncase": _nncase,
    "quantiles": _quantiles,
    "powers_of_two": _powers_of_two,
    "geometric": _geometric,
    "padding_limited": _padding_limited,
    "equal_mass": _equal_mass,
}
