"""From a coarse grid of coordinates to a fine one: a good choice for very many points in little time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.cells import Cells, exchange_on_cells

__all__ = ["coarse_coordinates", "refined_choice"]

# Points of the coarse grid, and of a grid around a solution.
_COARSE, _AROUND = 1_600, 60_000
_ROUNDS = 40


def refined_choice(cells: Cells, most: int, shakes: int) -> list[int]:
    """Return at most ``most`` buckets, flat indices.

    They are chosen on a grid of few coordinates, improved there by taking some away at random and filling up again,
    and then moved on grids of the coordinates near them, at half the distance each time.

    Args:
        cells: All candidates and points.
        most: Largest number of buckets.
        shakes: Attempts to leave a solution that no exchange improves.
    """
    kept = coarse_coordinates(cells.costs.shape, max(_COARSE, 4 * most))
    coarse = cells.restrict(kept)
    chosen = exchange_on_cells(coarse, [coarse.costs.size - 1], most, _ROUNDS)
    corners = _corners(coarse, kept, _shaken(coarse, chosen, most, shakes))
    shape = cells.costs.shape
    steps = [max(1, length // len(stay)) for length, stay in zip(shape, kept, strict=True)]
    total = np.inf
    while True:
        steps = [(step + 1) // 2 for step in steps]
        kept = [_near(column, step, length) for column, step, length in zip(corners.T, steps, shape, strict=True)]
        if np.prod([len(stay) for stay in kept], dtype=np.float64) > _AROUND:
            break
        around = cells.restrict(kept)
        chosen = exchange_on_cells(around, _located(around, kept, corners), most, _ROUNDS)
        corners, before, total = _corners(around, kept, chosen), total, around.total(chosen)
        if max(steps) == 1 and total >= before * (1 - 1e-5):
            break
    flat: list[int] = np.ravel_multi_index(tuple(corners.T), shape).tolist()
    return flat


def coarse_coordinates(shape: Sequence[int], points: int) -> list[NDArray[np.int64]]:
    """Return coordinates at equal distances on each axis, the last one among them, at most ``points`` together."""
    counts = list(shape)
    while np.prod(counts, dtype=np.float64) > points and max(counts) > 1:
        longest = int(np.argmax(counts))
        counts[longest] = max(1, counts[longest] * 19 // 20)
    return [
        np.unique((np.arange(1, count + 1) * length // count) - 1) for length, count in zip(shape, counts, strict=True)
    ]


def _shaken(cells: Cells, chosen: list[int], most: int, shakes: int) -> list[int]:
    """Take away some buckets at random, put others in, and exchange; keep what is better."""
    dealer, total = np.random.default_rng(len(chosen)), cells.total(chosen)
    for _ in range(shakes if len(chosen) > 1 else 0):
        count = int(dealer.integers(1, max(2, len(chosen) // (2 if len(chosen) <= 8 else 4) + 1)))
        gone = set(dealer.choice(len(chosen), count, replace=False).tolist())
        rest = [candidate for index, candidate in enumerate(chosen) if index not in gone]
        strangers = dealer.choice(cells.costs.size, count // 2).tolist()
        # Whatever was taken away, the dearest candidate serves every point.
        trial = exchange_on_cells(cells, [cells.costs.size - 1, *rest, *strangers][:most], most, _ROUNDS)
        if (reached := cells.total(trial)) < total * (1 - 1e-12):
            chosen, total = trial, reached
    return chosen


def _near(column: NDArray[np.int64], step: int, length: int) -> NDArray[np.int64]:
    """Return the coordinates ``column`` with those ``step`` below and above, and the last one."""
    near = (np.unique(column)[:, None] + step * np.array([-1, 0, 1])).ravel()
    return np.unique(np.append(near[(near >= 0) & (near < length)], length - 1))


def _corners(cells: Cells, kept: Sequence[NDArray[np.int64]], chosen: list[int]) -> NDArray[np.int64]:
    where = np.unravel_index(np.asarray(chosen, dtype=np.int64), cells.costs.shape)
    return np.stack([stay[index] for stay, index in zip(kept, where, strict=True)], axis=1)


def _located(cells: Cells, kept: Sequence[NDArray[np.int64]], corners: NDArray[np.int64]) -> list[int]:
    where = tuple(np.searchsorted(stay, column) for stay, column in zip(kept, corners.T, strict=True))
    flat: list[int] = np.ravel_multi_index(where, cells.costs.shape).tolist()
    return flat
