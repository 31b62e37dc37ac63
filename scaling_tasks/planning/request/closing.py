"""Which sizes beside the samples' own a bucket could do better with: where a cost falls, or prices differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import CostModel, cost_of
from scaling_tasks.planning.request.lattice import AllowedSizes, Lattice

__all__ = ["Closing", "closing_sizes"]

# Shapes that are looked at one by one, and sizes of one variable.
_SHAPES, _SIZES = 200_000, 4_000

Closing = tuple[tuple[NDArray[np.int64], ...] | None, bool]


def closing_sizes(model: CostModel, uneven: bool, lattice: Lattice, samples: NDArray[np.int64]) -> Closing:
    """Return the further sizes per variable, None where there are none to look at, and whether bounds hold.

    Where the cost never falls and all buckets have one price, the samples' own sizes are enough. Otherwise every
    allowed size counts, up to the largest allowed one, or up to twice the largest sample where there is no limit and
    the cost can say what it is. Where those are too many and the cost is seen to fall, no bound can be claimed.

    Args:
        model: The cost model.
        uneven: Whether buckets may have prices that fall as sizes grow.
        lattice: What sizes are allowed.
        samples: Those that must be covered, rounded up, int64 [n, d].
    """
    if getattr(model, "nondecreasing", False) and not uneven:
        return None, True
    near = [_sizes(allowed, column, 1) for allowed, column in zip(lattice.allowed, samples.T, strict=True)]
    if _count(near) > _SHAPES or max(map(len, near)) > _SIZES:
        return None, not uneven and not any(_falls(model, line) for line in _lines(near, samples))
    wide = [_sizes(allowed, column, 2) for allowed, column in zip(lattice.allowed, samples.T, strict=True)]
    axes = wide if _count(wide) <= _SHAPES and _defined(model, wide) else near
    if not uneven and not _falls(model, axes):
        return None, True
    return tuple(axes), True


def _sizes(allowed: AllowedSizes, column: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Return the allowed sizes from the least of ``column`` on; without a limit, up to ``reach`` times its largest."""
    low, high = int(column.min()), int(column.max())
    if allowed.choices:
        return np.asarray([size for size in allowed.choices if size >= low], dtype=np.int64)
    end = high * reach if allowed.largest is None else max(high, allowed.largest)
    last = [] if allowed.end is None else [allowed.end]
    return np.union1d(np.arange(low, end + 1, allowed.interval, dtype=np.int64), [*np.unique(column), *last])


def _count(axes: Sequence[NDArray[np.int64]]) -> float:
    return float(np.prod([len(axis) for axis in axes], dtype=np.float64))


def _table(model: CostModel, axes: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return cost_of(model, mesh).reshape([len(axis) for axis in axes])


def _falls(model: CostModel, axes: Sequence[NDArray[np.int64]]) -> bool:
    table = _table(model, axes)
    return any(bool((np.diff(table, axis=axis) < 0).any()) for axis in range(table.ndim))


def _lines(near: Sequence[NDArray[np.int64]], samples: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
    """Return, for each variable, lines of all its sizes through a few samples."""
    some = samples[np.unique(np.linspace(0, len(samples) - 1, 8).astype(np.int64))]
    return [
        [axis[:_SIZES] if index == column else row[index : index + 1] for index, axis in enumerate(near)]
        for row in some
        for column in range(len(near))
    ]


def _defined(model: CostModel, axes: Sequence[NDArray[np.int64]]) -> bool:
    try:
        _table(model, axes)
    except PlanError:
        return False
    return True
