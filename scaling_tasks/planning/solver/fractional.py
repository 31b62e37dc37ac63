"""What a fractional choice costs: no bound by the relaxation can be above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates
from scaling_tasks.planning.solver.cells import lay_out

__all__ = ["fractional_total"]

# Candidates taken in part, and points of the grid of their coordinates, that are looked at.
_MOST, _ROOM = 1_000, 60_000


def fractional_total(candidates: Candidates, shares: NDArray[np.float64]) -> float:
    """Return what the points cost when each is served by the cheapest candidates until their shares sum to 1.

    Where they do not, shares are lowered and the last candidate, which contains every point, is taken for the rest.

    Args:
        candidates: The candidates and points.
        shares: By how much each is taken, flat, summing to at most ``most``.
    """
    taken = np.argsort(-shares, kind="stable")[:_MOST]
    taken = taken[shares[taken] > 1e-4]
    corners = np.stack(np.unravel_index(taken, candidates.costs.shape), axis=1)
    while len(taken) and np.prod([len(np.unique(column)) + 1 for column in corners.T], dtype=np.float64) > _ROOM:
        taken, corners = taken[: len(taken) * 4 // 5], corners[: len(taken) * 4 // 5]
    kept = [
        np.unique(np.append(column, length - 1))
        for column, length in zip(corners.T, candidates.costs.shape, strict=True)
    ]
    cells = lay_out(candidates).restrict(kept)
    local = np.ravel_multi_index(
        tuple(np.searchsorted(stay, column) for stay, column in zip(kept, corners.T, strict=True)), cells.costs.shape
    )
    part = np.zeros(cells.costs.size)
    part[local] = shares[taken]
    part[list(cells.keep)] = 1.0
    part *= min(1.0, candidates.most / max(part.sum(), 1e-300))
    used = cells.weights > 0
    missing = float(np.max(np.where(used, 1.0 - _beyond(part.reshape(cells.costs.shape)), 0.0), initial=0.0))
    if missing > 0:
        part *= max(0.0, 1.0 - missing / candidates.most)
        part[-1] += missing
        missing = float(np.max(np.where(used, 1.0 - _beyond(part.reshape(cells.costs.shape)), 0.0), initial=0.0))
        part[-1] += max(0.0, missing)
        if part.sum() > candidates.most * (1 + 1e-9):
            return float("inf")
    return _greedy(part, cells.costs, cells.weights) + float((part * cells.prices.ravel()).sum())


def _beyond(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the shares of the candidates that contain each point."""
    for axis in range(part.ndim):
        part = np.flip(np.cumsum(np.flip(part, axis), axis=axis), axis)
    return part


def _greedy(part: NDArray[np.float64], costs: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    open_share = np.ones(costs.shape)
    paid = np.zeros(costs.shape)
    taken = np.flatnonzero(part)
    for index in taken[np.argsort(costs.ravel()[taken], kind="stable")].tolist():
        box = tuple(slice(0, int(end) + 1) for end in np.unravel_index(index, costs.shape))
        used = np.minimum(open_share[box], part[index])
        paid[box] += used * costs.ravel()[index]
        open_share[box] -= used
    if float(np.max(np.where(weights > 0, open_share, 0.0))) > 1e-6:
        return float("inf")
    # The last 1e-6 of a point at most is served by the dearest.
    return float((weights * (paid + open_share * costs.ravel()[-1])).sum())
