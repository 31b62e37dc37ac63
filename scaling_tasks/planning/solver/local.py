"""Moving a choice made among some coordinates to where it is best among all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.candidates import Candidates, lay_on
from scaling_tasks.planning.solver.cells import exchange_on_cells, lay_out
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.planning.solver.problem import Problem

__all__ = ["moved"]

_STEPS = np.array([-13, -8, -5, -3, -2, -1, 0, 1, 2, 3, 5, 8, 13])
_ROOM = 80_000


def moved(problem: Problem, candidates: Candidates, chosen: list[int], effort: Effort) -> tuple[Candidates, list[int]]:
    """Return candidates near the chosen ones and the best choice found among them.

    One axis at a time gets all coordinates near the chosen ones'; the others keep those that are chosen.
    """
    full = problem.coordinates()
    shapes, total = candidates.chosen_shapes(chosen), candidates.total(chosen)
    for _ in range(effort.rounds):
        before = total
        for axis in range(problem.dimensions):
            near = lay_on(problem, _axes(full, shapes, axis))
            if near.size > _ROOM:
                continue
            found = exchange_on_cells(lay_out(near), near.located(shapes), problem.most, 20)
            if (reached := near.total(found)) < total * (1 - 1e-12):
                candidates, chosen, total = near, found, reached
                shapes = near.chosen_shapes(found)
        if total >= before * (1 - 1e-6):
            break
    return candidates, chosen


def _axes(full: list[NDArray[np.int64]], shapes: NDArray[np.int64], wide: int) -> list[NDArray[np.int64]]:
    axes = []
    for axis, (sizes, column) in enumerate(zip(full, shapes.T, strict=True)):
        at = np.searchsorted(sizes, np.unique(column))
        if axis == wide:
            at = np.clip((at[:, None] + _STEPS).ravel(), 0, len(sizes) - 1)
        axes.append(sizes[np.unique(np.append(at, len(sizes) - 1))])
    return axes
