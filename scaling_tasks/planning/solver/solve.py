"""The story: exact on a line; in several dimensions a choice, a bound, what the bound shows, the rest by branching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.bound import Relaxation, raise_bound
from scaling_tasks.planning.solver.candidates import Candidates, lay_candidates
from scaling_tasks.planning.solver.effort import NORMAL, ONE_BY_ONE, Effort
from scaling_tasks.planning.solver.line import solve_line
from scaling_tasks.planning.solver.local import moved
from scaling_tasks.planning.solver.problem import Problem, Solution
from scaling_tasks.planning.solver.search import Search
from scaling_tasks.planning.solver.strips import striped

__all__ = ["solve"]


def solve(problem: Problem, effort: Effort = NORMAL, starts: Sequence[NDArray[np.int64]] = ()) -> Solution:
    """Return a choice and its proof.

    Args:
        problem: What is to be chosen.
        effort: Budgets; with more than the usual one the result is never worse than with the usual one.
        starts: Known choices, int64 [k, d] each; the result is never worse than any of them.
    """
    if problem.dimensions == 1:
        return solve_line(problem)
    if effort.ascent > NORMAL.ascent:
        usual = solve(problem, NORMAL, starts)
        more = _solve(problem, effort, [*starts, usual.chosen])
        return _tighter(more if more.total <= usual.total else usual, usual, more)
    return _solve(problem, effort, starts)


def _solve(problem: Problem, effort: Effort, starts: Sequence[NDArray[np.int64]]) -> Solution:
    many = problem.most > ONE_BY_ONE
    if many and problem.dimensions == 2 and problem.price is None:
        starts = [*starts, striped(problem)]
    held = np.vstack(starts) if len(starts) else None
    candidates = lay_candidates(problem, effort.candidates, held)
    search = Search(candidates, effort)
    few = len(problem.points) <= effort.many and not many
    if few and not candidates.thinned:
        chosen, relaxation, bound = search.few(starts)
        return _solution(problem, candidates, chosen, relaxation, bound)
    chosen = search.few(starts)[0] if few else search.many(starts)
    if candidates.thinned:
        candidates, chosen = moved(problem, candidates, chosen, effort)
    shapes, total = candidates.shapes(chosen), candidates.total(chosen)
    proof = lay_candidates(problem, effort.proof_candidates if effort.ascent else effort.candidates, shapes, outer=True)
    relaxation = raise_bound(proof, proof.located(shapes), total, effort)
    if not proof.thinned:
        candidates, chosen = proof, Search(proof, effort).repaired(proof.located(shapes), relaxation)
    return _solution(problem, candidates, chosen, relaxation, relaxation.bound)


def _solution(
    problem: Problem, candidates: Candidates, chosen: Sequence[int], relaxation: Relaxation, bound: float
) -> Solution:
    shapes = candidates.chosen_shapes(chosen)
    total = candidates.total(chosen)
    relaxed = relaxation.fraction if np.isfinite(relaxation.fraction) else None
    # A bound over some coordinates rests on costs that do not fall between them.
    falls = bool((candidates.own_costs > candidates.costs).any())
    known = None if falls and candidates.thinned else min(bound, total)
    return Solution(shapes, total, known, relaxed, candidates.thinned)


def _tighter(best: Solution, *others: Solution) -> Solution:
    bounds = [other.bound for other in others if other.bound is not None]
    return replace(best, bound=min(best.total, max(bounds)) if bounds else None)
