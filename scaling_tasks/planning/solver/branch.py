"""Solving what the bound left over exactly, by branch and bound (HiGHS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.bound import Relaxation
from scaling_tasks.planning.solver.candidates import Candidates

__all__ = ["ExactSolution", "solve_exactly"]


@dataclass(frozen=True)
class ExactSolution:
    """What branch and bound found.

    Attributes:
        chosen: Candidates, flat indices; empty where nothing beats the known solution.
        bound: Proven lower bound of every solution.
    """

    chosen: list[int]
    bound: float


def solve_exactly(
    candidates: Candidates, relaxation: Relaxation, upper: float, most_pairs: int, nodes: int
) -> ExactSolution | None:
    """Return the best solution below ``upper`` and the bound, None where the rest is too large.

    Candidates and point-candidate pairs that no solution below ``upper`` can hold are left out; every solution
    therefore costs at least the smaller of ``upper`` and the bound of the rest.
    """
    if upper - relaxation.bound <= 1e-9 * abs(upper):
        return ExactSolution([], relaxation.bound)
    flat = relaxation.survivors(upper)
    if len(flat) * len(candidates.weights) > 20_000_000:
        return None
    inside = candidates.contained(flat)
    flat, inside = _joins_only(candidates, flat, inside)
    pairs = inside & (_pair_loss(candidates, relaxation, flat) <= (upper - relaxation.bound) + 1e-9 * abs(upper))
    if pairs.sum() > most_pairs or not pairs.any(axis=1).all():
        return None
    return _branch_and_bound(candidates, flat, pairs, upper, nodes)


def _joins_only(
    candidates: Candidates, flat: NDArray[np.int64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Leave out candidates that are not the join of the points in them: a smaller one serves the same."""
    if candidates.prices.min() < candidates.prices.max():
        return flat, inside
    touched = np.ones(len(flat), dtype=bool)
    for column, index in enumerate(np.unravel_index(flat, candidates.costs.shape)):
        touched &= (inside & (candidates.position[:, column, None] == index[None, :])).any(axis=0)
    touched |= np.isin(flat, candidates.forced)
    return flat[touched], inside[:, touched]


def _pair_loss(candidates: Candidates, relaxation: Relaxation, flat: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the relaxation gives up at least when point i is served by candidate c, [n, len(flat)]."""
    costs = candidates.costs.ravel()[flat]
    dearer = np.maximum(costs[None, :] - relaxation.limits[:, None], 0) * candidates.weights[:, None]
    loss: NDArray[np.float64] = dearer + np.maximum(relaxation.threshold - relaxation.earned[flat], 0)[None, :]
    return loss


def _branch_and_bound(
    candidates: Candidates,
    flat: NDArray[np.int64],
    pairs: NDArray[np.bool_],
    upper: float,
    nodes: int,
) -> ExactSolution | None:
    import highspy

    solver = _silent_solver(highspy, nodes)
    # Totals are scaled so that the known solution costs 1000: the solver's tolerances are absolute.
    scale = 1000.0 / upper
    model = _model(highspy, candidates, flat, pairs, scale)
    solver.setOptionValue("objective_bound", 1000.0)
    solver.passModel(model)
    solver.run()
    return _read_solution(highspy, solver, flat, upper, scale)


def _silent_solver(highspy: Any, nodes: int) -> Any:
    # The class below `Highs`, which prints a banner before it can be told not to.
    solver = highspy._Highs()
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 1),
        ("mip_max_nodes", nodes),
        ("mip_rel_gap", 1e-9),
    ):
        solver.setOptionValue(option, value)
    return solver


def _model(
    highspy: Any, candidates: Candidates, flat: NDArray[np.int64], pairs: NDArray[np.bool_], scale: float
) -> Any:
    """Build: x_c binary, y_ic <= x_c, each point served once, at most k candidates; columns x, then y by pair."""
    count, pair = len(flat), np.argwhere(pairs)
    samples, links, columns = len(pairs), len(pair), count + len(pair)
    cost = candidates.costs.ravel()[flat][pair[:, 1]] * candidates.weights[pair[:, 0]]
    own = count + np.arange(links)
    rows = np.concatenate(
        [pair[:, 0], samples + np.arange(links), samples + np.arange(links), np.full(count, samples + links)]
    )
    cols = np.concatenate([own, own, pair[:, 1], np.arange(count)])
    data = np.concatenate([np.ones(links), np.ones(links), -np.ones(links), np.ones(count)])
    order = np.lexsort((cols, rows))
    heights = samples + links + 1
    low = np.concatenate([np.ones(samples), np.full(links, -highspy.kHighsInf), [0.0]])
    high = np.concatenate([np.ones(samples), np.zeros(links), [float(candidates.most)]])
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = columns, heights
    model.col_cost_ = np.concatenate([candidates.prices.ravel()[flat], cost]) * scale
    model.col_lower_ = np.concatenate([np.isin(flat, candidates.forced).astype(np.float64), np.zeros(links)])
    model.col_upper_ = np.ones(columns)
    model.row_lower_, model.row_upper_ = low, high
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.searchsorted(rows[order], np.arange(heights + 1)).astype(np.int32)
    model.a_matrix_.index_ = cols[order].astype(np.int32)
    model.a_matrix_.value_ = data[order]
    model.integrality_ = [highspy.HighsVarType.kInteger] * count + [highspy.HighsVarType.kContinuous] * links
    return model


def _read_solution(
    highspy: Any, solver: Any, flat: NDArray[np.int64], upper: float, scale: float
) -> ExactSolution | None:
    status, info = solver.getModelStatus(), solver.getInfo()
    finished = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kSolutionLimit)
    if status == highspy.HighsModelStatus.kInfeasible:
        return ExactSolution([], upper)
    if status not in finished:
        return None
    # The solver works to tolerances: what it proves is trusted to one part in a million.
    bound = min(upper, info.mip_dual_bound / scale * (1 - 1e-6))
    values = np.asarray(solver.getSolution().col_value[: len(flat)])
    chosen = flat[values > 0.5].tolist() if len(values) else []
    return ExactSolution(chosen, bound)
