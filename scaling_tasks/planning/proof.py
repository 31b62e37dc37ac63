"""A proven lower bound for very many samples, within a budget.

Any multipliers give a bound. Good ones come cheaply from the same problem with few coordinates, those of a good
solution among them; they are carried over to all samples, and what is left of the budget improves them there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.cells import Cells
from scaling_tasks.planning.grid import CandidateGrid
from scaling_tasks.planning.lagrangian import Problem, ascend, maximise_bound
from scaling_tasks.planning.refinement import coarse_coordinates

__all__ = ["bound_on_cells"]

_COARSE, _PASSES = 256, 10
# Comparisons (samples times lines of the grid) per pass that the effort allows on a small grid.
_WORK = 600_000


def bound_on_cells(
    proof: Problem, cells: Cells, grid: CandidateGrid, chosen: list[int], total: float, passes: int
) -> float:
    """Return a proven lower bound of Σ w·cost plus prices.

    Args:
        proof: The problem to bound, over all samples.
        cells: The candidates that the solution is out of.
        grid: The same candidates.
        chosen: The solution, flat indices.
        total: What the solution costs.
        passes: Most passes over all candidates; fewer where they are much work.
    """
    table = (proof.grid.outer_costs if proof.grid.thinned else proof.grid.costs).ravel()
    at = np.ravel_multi_index(tuple(proof.grid.position.T), proof.grid.costs.shape)
    # No sample is served for less than what a bucket of its own size costs.
    least = float(proof.grid.weights @ table[at])
    limits = _limits(proof, cells, grid, chosen, passes)
    steps = min(passes, max(2, passes * _WORK // max(1, proof.grid.work)))
    return max(least, ascend(proof, limits, total, steps, outer=proof.grid.thinned).bound)


def _limits(proof: Problem, cells: Cells, grid: CandidateGrid, chosen: list[int], passes: int) -> NDArray[np.float64]:
    """Return multipliers for the samples of ``proof``: those of the least coordinates that their sizes round up to."""
    corners = np.unravel_index(np.asarray(chosen, dtype=np.int64), grid.costs.shape)
    kept = [
        np.union1d(stay, column)
        for stay, column in zip(coarse_coordinates(grid.costs.shape, _COARSE), corners, strict=True)
    ]
    coarse = cells.restrict(kept)
    where = np.argwhere(coarse.weights > 0)
    axes = tuple(axis[stay] for axis, stay in zip(grid.axes, kept, strict=True))
    mass = coarse.weights[tuple(where.T)]
    few = CandidateGrid(axes, where, mass, coarse.costs, coarse.costs, coarse.costs)
    solution = np.ravel_multi_index(
        tuple(np.searchsorted(stay, column) for stay, column in zip(kept, corners, strict=True)), coarse.costs.shape
    )
    first, _ = coarse.choices(solution.tolist())
    values = coarse.costs.ravel()[solution][first].reshape(coarse.costs.shape)
    if passes:
        problem = Problem(few, coarse.prices.ravel(), proof.most, coarse.keep)
        start = values[tuple(where.T)]
        upper = coarse.total(solution.tolist())
        values[tuple(where.T)] = maximise_bound(problem, start, upper, min(passes, _PASSES)).limits
    sizes = [axis[column] for axis, column in zip(proof.grid.axes, proof.grid.position.T, strict=True)]
    limits: NDArray[np.float64] = values[
        tuple(np.searchsorted(axis, size) for axis, size in zip(axes, sizes, strict=True))
    ]
    return limits
