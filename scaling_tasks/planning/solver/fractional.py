"""What a fractional choice costs: no bound by the relaxation can be above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates

__all__ = ["fractional_total"]

# Candidates taken in part, times points of the grid, that are looked at; and points that are mended one by one.
_ROOM, _MENDED = 600_000_000, 1_500
_LEAST = 1e-6


def fractional_total(candidates: Candidates, shares: NDArray[np.float64]) -> float | None:
    """Return what the points cost when each is served by the cheapest candidates until their shares sum to 1.

    None where that is too much work, where shares leave too many points unserved, or where costs are not real ones.

    Args:
        candidates: The candidates and points.
        shares: By how much each is taken, flat, summing to at most ``most``.
    """
    part = np.where(shares > _LEAST, shares, 0.0)
    if candidates.outer or np.count_nonzero(part) * candidates.size > _ROOM:
        return None
    mended = _mended(part, candidates)
    if mended is None or mended.sum() > candidates.most * (1 + 1e-9):
        return None
    return _greedy(mended, candidates) + float((mended * candidates.prices.ravel()).sum())


def _mended(part: NDArray[np.float64], candidates: Candidates) -> NDArray[np.float64] | None:
    """Return shares that serve every point whole: where one misses some, a candidate nearby grows by that much of it.

    It is the one whose growth costs least on what lies in it.
    """
    shape, position = candidates.costs.shape, candidates.position
    covered = _beyond(part.reshape(shape))[tuple(position.T)]
    mass: NDArray[np.float64] = np.zeros(shape)
    np.add.at(mass, tuple(position.T), candidates.weights)
    for axis in range(mass.ndim):
        mass = mass.cumsum(axis=axis)
    for _ in range(_MENDED):
        point = int(covered.argmin())
        missing = 1.0 - float(covered[point])
        if missing <= 1e-9:
            return part
        taken = np.setdiff1d(np.flatnonzero(part), candidates.forced)
        corners = np.stack(np.unravel_index(taken, shape), axis=1)
        outside = ~(corners >= position[point]).all(axis=1)
        taken, corners = taken[outside], corners[outside]
        if not len(taken):
            return None
        grown = np.maximum(corners, position[point])
        flat = np.ravel_multi_index(tuple(grown.T), shape)
        costs = candidates.costs.ravel()
        best = int(np.argmin((costs[flat] - costs[taken]) * mass.ravel()[taken]))
        moved = min(missing, float(part[taken[best]]))
        part[taken[best]] -= moved
        part[flat[best]] += moved
        gained = (position <= grown[best]).all(axis=1) & ~(position <= corners[best]).all(axis=1)
        covered[gained] += moved
    return None


def _beyond(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the shares of the candidates that contain each point."""
    for axis in range(part.ndim):
        part = np.flip(np.cumsum(np.flip(part, axis), axis=axis), axis)
    return part


def _greedy(part: NDArray[np.float64], candidates: Candidates) -> float:
    still, paid = np.ones(candidates.costs.shape), np.zeros(candidates.costs.shape)
    taken, costs = np.flatnonzero(part), candidates.costs.ravel()
    for index in taken[np.argsort(costs[taken], kind="stable")].tolist():
        box = tuple(slice(0, int(end) + 1) for end in np.unravel_index(index, candidates.costs.shape))
        used = np.minimum(still[box], part[index])
        paid[box] += used * costs[index]
        still[box] -= used
    at = tuple(candidates.position.T)
    # What is left by rounding is served by the dearest.
    return float((candidates.weights * (paid[at] + np.maximum(still[at], 0) * costs[-1])).sum())
