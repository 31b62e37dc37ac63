"""What a fractional choice costs: no bound by the relaxation can be above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates

__all__ = ["fractional_total"]

# Candidates taken in part, times points of the grid, that are looked at.
_ROOM = 600_000_000
_LEAST = 1e-6


def fractional_total(candidates: Candidates, shares: NDArray[np.float64]) -> float | None:
    """Return what the points cost when each is served by the cheapest candidates until their shares sum to 1.

    Where they do not, the last candidate, which contains every point, is taken for what is missing, and the others in
    proportion less. None where it is too much work.

    Args:
        candidates: The candidates and points.
        shares: By how much each is taken, flat, summing to at most ``most``.
    """
    part = np.where(shares > _LEAST, shares, 0.0)
    taken = np.flatnonzero(part)
    if len(taken) * candidates.size > _ROOM:
        return None
    forced = list(candidates.forced)
    for _ in range(40):
        covered = _beyond(part.reshape(candidates.costs.shape))[tuple(candidates.position.T)]
        missing = float(max(0.0, 1.0 - covered.min()))
        part[-1] = min(1.0, part[-1] + missing)
        fixed = np.zeros(len(part), dtype=bool)
        fixed[[*forced, candidates.last]] = True
        rest = float(part[~fixed].sum())
        if rest > 0:
            part[~fixed] *= min(1.0, max(0.0, candidates.most - float(part[fixed].sum())) / rest)
    covered = _beyond(part.reshape(candidates.costs.shape))[tuple(candidates.position.T)]
    if covered.min() < 1 - 1e-9 or part.sum() > candidates.most * (1 + 1e-9):
        return None
    return _greedy(part, candidates) + float((part * candidates.prices.ravel()).sum())


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
