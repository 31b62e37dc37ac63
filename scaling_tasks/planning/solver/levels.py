"""Coarse grids to climb on first: fewer coordinates, and limits carried from one grid to the next."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates, equal_steps, thin_axis

__all__ = ["Level", "levels_of"]

# Candidates of the coarser grids; each needs fewer steps than the one before.
_SIZES = (1_600, 8_000, 40_000, 200_000)


def levels_of(candidates: Candidates, corners: NDArray[np.int64]) -> list[Level]:
    """Return grids from coarse to fine, the last of them all of ``candidates``; each has the coordinates ``corners``.

    Args:
        candidates: The grid.
        corners: Where a known choice lies, int64 [k, d].
    """
    coarser = [size for size in _SIZES if 3 * size <= candidates.size and len(candidates.weights) > 400]
    return [*(_coarsened(candidates, size, corners) for size in coarser), _whole(candidates)]


@dataclass(frozen=True, eq=False)
class Level:
    """A grid of some of the coordinates, and what limits are carried over by.

    Attributes:
        candidates: The grid and the points rounded up to it.
        owner: The level's point that each of the original points became part of, int64 [n].
        centres: Centre of mass of the points that round up to each coordinate, per axis.
    """

    candidates: Candidates
    owner: NDArray[np.int64]
    centres: list[NDArray[np.float64]]

    def start(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the largest of the original points' limits for each of the level's."""
        found: NDArray[np.float64] = np.zeros(len(self.candidates.weights))
        np.maximum.at(found, self.owner, limits)
        return found

    def interpolate(self, limits: NDArray[np.float64], finer: Level) -> NDArray[np.float64]:
        """Return limits for the points of a finer level, linear between centres of mass along every axis.

        Where there is no point, the cell's own limit counts. So each candidate of this level goes on earning what it
        earned, to first order.
        """
        table, known = np.zeros(self.candidates.costs.shape), np.zeros(self.candidates.costs.shape)
        table[tuple(self.candidates.position.T)] = limits
        known[tuple(self.candidates.position.T)] = 1.0
        mine = np.zeros(len(finer.candidates.weights), dtype=np.int64)
        mine[finer.owner] = self.owner
        whole = limits[mine]
        places = [
            _between(centres, theirs[column])
            for centres, theirs, column in zip(self.centres, finer.centres, finer.candidates.position.T, strict=True)
        ]
        result: NDArray[np.float64] = np.zeros(len(whole))
        missing = np.ones(len(whole))
        for corner in itertools.product((0, 1), repeat=table.ndim):
            part = np.ones(len(whole))
            for side, (_, share) in zip(corner, places, strict=True):
                part *= share if side else 1 - share
            at = tuple(low + side for side, (low, _) in zip(corner, places, strict=True))
            result += part * table[at]
            missing -= part * known[at]
        result += missing * whole
        return result


def _between(
    centres: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the index of the centre before each value, and how far it is on the way to the next, 0 … 1."""
    if len(centres) == 1:
        return np.zeros(len(values), dtype=np.int64) - 1, np.ones(len(values))
    low = np.clip(np.searchsorted(centres, values), 1, len(centres) - 1) - 1
    span = np.maximum(centres[low + 1] - centres[low], 1e-9)
    return low, np.clip((values - centres[low]) / span, 0, 1)


def _centres(candidates: Candidates, axis: int, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    sizes = candidates.axes[axis].astype(np.float64)
    mass = np.bincount(candidates.position[:, axis], candidates.weights, len(sizes))
    heads = np.concatenate([[0], kept[:-1] + 1])
    heavy, moment = np.add.reduceat(mass, heads), np.add.reduceat(mass * sizes, heads)
    return np.where(heavy > 0, moment / np.maximum(heavy, 1e-300), sizes[kept])


def _whole(candidates: Candidates) -> Level:
    kept = [np.arange(len(axis)) for axis in candidates.axes]
    centres = [_centres(candidates, axis, stay) for axis, stay in enumerate(kept)]
    return Level(candidates, np.arange(len(candidates.weights)), centres)


def _coarsened(candidates: Candidates, most: int, corners: NDArray[np.int64]) -> Level:
    """Return the grid of at most about ``most`` candidates, those at the coordinates of ``corners`` among them."""
    shape = candidates.costs.shape
    held = np.vstack([corners, *(np.stack(np.unravel_index([index], shape), axis=1) for index in candidates.forced)])
    kept = []
    for axis, (sizes, count) in enumerate(zip(candidates.axes, equal_steps(shape, most), strict=True)):
        mass = np.bincount(candidates.position[:, axis], candidates.weights, len(sizes)).astype(np.float64)
        stay = np.arange(len(sizes)) if count == len(sizes) else thin_axis(sizes, mass, count)
        kept.append(np.unique(np.concatenate([stay, held[:, axis]])))
    where = tuple(np.searchsorted(stay, column) for stay, column in zip(kept, candidates.position.T, strict=True))
    points = np.ix_(*kept)
    costs = np.ascontiguousarray(candidates.costs[points])
    flat, owner = np.unique(np.ravel_multi_index(where, costs.shape), return_inverse=True)
    forced = tuple(
        int(np.ravel_multi_index([np.searchsorted(s, w) for s, w in zip(kept, corner, strict=True)], costs.shape))
        for corner in (np.unravel_index(index, shape) for index in candidates.forced)
    )
    level = Candidates(
        tuple(axis[stay] for axis, stay in zip(candidates.axes, kept, strict=True)),
        np.stack(np.unravel_index(flat, costs.shape), axis=1),
        np.bincount(owner.ravel(), candidates.weights, len(flat)).astype(np.float64),
        costs, costs, np.ascontiguousarray(candidates.prices[points]), forced, candidates.most, True, candidates.outer,
    )  # fmt: skip
    centres = [_centres(candidates, axis, stay) for axis, stay in enumerate(kept)]
    return Level(level, owner.ravel(), centres)
