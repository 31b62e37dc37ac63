"""Several variables: free rectangles with a proven bound.

The candidates are all joins of samples (``grid``). A greedy choice improved by exchanges gives a solution, a Lagrangian
relaxation gives a bound, the gap between them rules out most candidates, and what is left is improved again and,
when small, solved exactly by branch and bound (``exact``). Very many samples are laid out on the grid instead
(``cells``), searched from coarse to fine (``refinement``), and bounded within a budget (``proof``). Work is limited by
counts, never by the clock, so that results repeat.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.cells import lay_out
from scaling_tasks.planning.costs import CostFunction, CostModel, prices_of
from scaling_tasks.planning.exact import solve_exactly
from scaling_tasks.planning.exchange import Pool, add_greedily, drop_useless, improve_by_exchange
from scaling_tasks.planning.grid import build_grid
from scaling_tasks.planning.lagrangian import Problem, Relaxation, maximise_bound
from scaling_tasks.planning.proof import bound_on_cells
from scaling_tasks.planning.refinement import refined_choice

__all__ = ["EFFORTS", "Effort", "RectangleChoice", "choose_rectangles"]


@dataclass(frozen=True)
class Effort:
    """How much work may be done.

    Attributes:
        candidates: Most candidates in the grid; more joins are thinned.
        pool: Most entries (samples times candidates) of the table that exchanges work on.
        shakes: Most attempts to leave a solution that no exchange improves.
        passes: Most passes of the relaxation over the grid.
        exact: Most sample-candidate pairs handed to branch and bound; 0 for never.
    """

    candidates: int = 400_000
    pool: int = 1_000_000
    passes: int = 80
    shakes: int = 30
    exact: int = 8_000


# More samples than this are searched on cells, and the work of one pass of their proof is limited.
_MANY, _PROOF, _PROOF_CANDIDATES = 1_500, 20_000_000, 60_000

EFFORTS = {
    "quick": Effort(candidates=40_000, pool=600_000, passes=0, shakes=0, exact=0),
    "normal": Effort(),
    "thorough": Effort(candidates=1_000_000, pool=4_000_000, passes=400, shakes=300, exact=60_000),
}


@dataclass(frozen=True, eq=False)
class RectangleChoice:
    """Chosen buckets with their proof.

    Attributes:
        buckets: int64 [k, d].
        total: Σ w·cost(bucket chosen) plus prices.
        bound: Proven lower bound of ``total``.
        thinned: Whether the candidates were thinned.
    """

    buckets: NDArray[np.int64]
    total: float
    bound: float
    thinned: bool


def choose_rectangles(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most: int,
    *,
    price: float | CostFunction = 0.0,
    top: Sequence[int] | None = None,
    starts: Sequence[NDArray[np.int64]] = (),
    effort: Effort | None = None,
) -> RectangleChoice:
    """Return at most ``most`` buckets of little total cost, and a bound.

    Args:
        samples: Distinct samples, int64 [n, d].
        weights: Positive weights, float64 [n].
        model: The cost model.
        most: Largest number of buckets.
        price: Price of each bucket, in the unit of Σ w·cost: one number, or a function of shapes.
        top: A bucket that must be chosen; it contains every sample.
        starts: Other solutions to improve upon, so that the result is never worse than any of them.
        effort: How much work may be done.
    """
    effort = effort or Effort()
    problem = _problem(samples, weights, model, most, price, top, effort.candidates)
    search = _Search(problem, effort)
    if len(samples) <= _MANY:
        return search.run(starts)
    proof = problem
    if problem.grid.work > _PROOF:
        proof = _problem(samples, weights, model, most, price, top, _PROOF_CANDIDATES)
    return search.run_on_cells(starts, proof)


def _problem(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most: int,
    price: float | CostFunction,
    top: Sequence[int] | None,
    candidates: int,
) -> Problem:
    grid = build_grid(samples, weights, model, candidates, top)
    prices = prices_of(price, grid.shapes(np.arange(grid.size)))
    return Problem(grid, prices, most, (grid.size - 1,) if top is not None else ())


@dataclass(frozen=True, eq=False)
class _Search:
    problem: Problem
    effort: Effort

    def run_on_cells(self, starts: Sequence[NDArray[np.int64]], proof: Problem) -> RectangleChoice:
        """Search without tables of samples times candidates, and bound within a budget, for very many samples.

        Args:
            starts: Other solutions.
            proof: The same problem, or one thinned further, which a pass over all candidates is affordable for.
        """
        problem, shakes = self.problem, self.effort.shakes
        cells = lay_out(problem.grid, problem.prices, problem.forced)
        # What a shake costs grows with the square of the buckets.
        chosen = self._shrink(refined_choice(cells, problem.most, int(shakes * min(4.0, (32 / problem.most) ** 1.5))))
        for start in starts:
            chosen = self._better(chosen, self._from_buckets(start))
        total = self._total(chosen)
        bound = bound_on_cells(proof, cells, problem.grid, chosen, total, self.effort.passes)
        return self._result(chosen, total, bound)

    def run(self, starts: Sequence[NDArray[np.int64]]) -> RectangleChoice:
        """Alternate between solutions and bounds."""
        grid, problem = self.problem.grid, self.problem
        chosen = self._improve(self._spread(), [])
        for start in starts:
            chosen = self._better(chosen, self._from_buckets(start))
        total = self._total(chosen)
        relaxation = maximise_bound(problem, self._served(chosen), total, self._passes())
        for _ in range(2):
            if total - relaxation.bound <= 1e-9 * total:
                break
            before = total
            chosen = self._better(chosen, self._improve(self._promising(relaxation, total), chosen))
            chosen = self._better(chosen, self._improve(self._promising(relaxation, total), []))
            chosen = self._shake(chosen, self._promising(relaxation, self._total(chosen)))
            total = self._total(chosen)
            if total >= before * (1 - 1e-9):
                break
            relaxation = maximise_bound(problem, relaxation.limits, total, self._passes() // 4)
        exact = solve_exactly(problem, relaxation, total, self.effort.exact)
        if exact is not None:
            chosen, relaxed = self._better(chosen, exact.chosen), exact.bound
        else:
            relaxed = relaxation.bound
        total = self._total(chosen)
        bound = self._outer_bound(relaxation, total) if grid.thinned else relaxed
        return self._result(chosen, total, bound)

    def _result(self, chosen: list[int], total: float, bound: float) -> RectangleChoice:
        grid = self.problem.grid
        buckets = grid.shapes(np.asarray([grid.attained(flat) for flat in chosen], dtype=np.int64))
        return RectangleChoice(buckets, total, min(bound, total), grid.thinned)

    def _passes(self) -> int:
        # A pass costs about one operation per line and sample, and one per candidate.
        grid = self.problem.grid
        work = 30 * grid.size + (grid.size // grid.costs.shape[-1]) * (len(grid.weights) * 12 + 3000)
        return int(np.clip(3_000_000_000 // work, min(10, self.effort.passes), self.effort.passes))

    def _outer_bound(self, relaxation: Relaxation, total: float) -> float:
        return maximise_bound(self.problem, relaxation.limits, total, self._passes() // 2, outer=True).bound

    def _pool(self, flat: NDArray[np.int64]) -> Pool:
        grid = self.problem.grid
        return Pool.build(grid.contained(flat), grid.costs.ravel()[flat], grid.weights, self.problem.prices[flat])

    def _improve(self, flat: NDArray[np.int64], start: list[int]) -> list[int]:
        """Return a solution out of the candidates ``flat``, starting from some of them, shrunk to joins."""
        fixed = [*self.problem.forced] or [self.problem.grid.size - 1]
        flat = np.unique(np.concatenate([flat, np.asarray([*start, *fixed], dtype=np.int64)]))
        pool, most = self._pool(flat), self.problem.most
        keep = np.searchsorted(flat, np.asarray(self.problem.forced, dtype=np.int64)).tolist()
        local = np.searchsorted(flat, np.asarray(start or fixed, dtype=np.int64)).tolist()
        local = add_greedily(pool, list(dict.fromkeys([*keep, *local])), most)
        local = improve_by_exchange(pool, local, 4 * most + 20, keep)
        local = add_greedily(pool, drop_useless(pool, local, keep), most)
        return self._shrink(flat[local].tolist())

    def _room(self) -> int:
        """Return how many candidates a pool may have."""
        return max(64, 4 * self.problem.most, self.effort.pool // len(self.problem.grid.weights))

    def _shakes(self) -> int:
        # Each goes over the pool about as often as a fraction of the buckets is chosen anew.
        work = self._room() * len(self.problem.grid.weights) * (20 + self.problem.most // 8)
        return min(self.effort.shakes, 60 * self.effort.pool * 20 // work)

    def _shake(self, chosen: list[int], flat: NDArray[np.int64]) -> list[int]:
        """Take away some buckets at random, fill up and exchange, over ``flat`` and what lies near the solution."""
        dealer = np.random.default_rng(len(chosen))
        room = self._room()
        for _ in range(self._shakes() if len(chosen) > 1 else 0):
            near = self._near(chosen, room // 2)
            pool = np.union1d(flat if len(flat) <= room // 2 else dealer.choice(flat, room // 2, replace=False), near)
            count = int(dealer.integers(1, max(2, len(chosen) // 4 + 1)))
            gone = set(dealer.choice(len(chosen), min(count, len(chosen) - 1), replace=False).tolist())
            rest = [flat_index for index, flat_index in enumerate(chosen) if index not in gone]
            chosen = self._better(chosen, self._improve(pool, rest))
        return chosen

    def _near(self, chosen: list[int], room: int) -> NDArray[np.int64]:
        """Return candidates around each chosen one: the same but for one coordinate or two, moved by growing steps."""
        shape = self.problem.grid.costs.shape
        where = np.stack(np.unravel_index(np.asarray(chosen, dtype=np.int64), shape), axis=1)
        moves = [0, *(sign * step for step in (1, 2, 3, 5, 8, 13, 21, 34, 55) for sign in (-1, 1))]
        shifts = [
            shift for shift in itertools.product(moves, repeat=len(shape)) if sum(step != 0 for step in shift) in (1, 2)
        ]
        shifts.sort(key=lambda shift: (sum(map(abs, shift)), shift))
        steps = np.asarray(shifts[: max(2, room // len(chosen))], dtype=np.int64).reshape(-1, len(shape))
        around = (where[:, None, :] + steps[None, :, :]).reshape(-1, len(shape))
        around = around[((around >= 0) & (around < np.asarray(shape))).all(axis=1)]
        return np.unique(np.ravel_multi_index(tuple(around.T), shape))

    def _shrink(self, chosen: list[int]) -> list[int]:
        """Replace each bucket by the join of the samples it serves."""
        grid = self.problem.grid
        flat = np.asarray(chosen, dtype=np.int64)
        costs = np.where(grid.contained(flat), grid.costs.ravel()[flat], np.inf)
        first = costs.argmin(axis=1)
        free = [index for index in np.unique(first).tolist() if chosen[index] not in self.problem.forced]
        joins = [grid.join(np.flatnonzero(first == index)) for index in free]
        return list(dict.fromkeys([*self.problem.forced, *joins]))

    def _spread(self) -> NDArray[np.int64]:
        """Return the whole grid, or a sub-grid at equal distances that the exchange table can hold."""
        grid = self.problem.grid
        room = self._room()
        if grid.size <= room:
            return np.arange(grid.size)
        share = (room / grid.size) ** (1 / len(grid.axes))
        picks = [_equal_steps(len(axis), max(2, int(len(axis) * share))) for axis in grid.axes]
        mesh = np.meshgrid(*picks, indexing="ij")
        return np.ravel_multi_index(tuple(part.ravel() for part in mesh), grid.costs.shape)

    def _promising(self, relaxation: Relaxation, total: float) -> NDArray[np.int64]:
        """Return the candidates that a better solution may hold, those that earn most where they are too many."""
        flat = relaxation.survivors(total)
        room = self._room()
        if len(flat) > room:
            order = np.argsort(-relaxation.earned[flat], kind="stable")
            flat = np.sort(flat[order[:room]])
        return flat

    def _from_buckets(self, buckets: NDArray[np.int64]) -> list[int]:
        """Return the solution that serves the samples as ``buckets`` do, shrunk to joins."""
        grid = self.problem.grid
        chosen = []
        for bucket in buckets:
            index = [
                int(np.searchsorted(axis, size, side="right")) - 1 for axis, size in zip(grid.axes, bucket, strict=True)
            ]
            if min(index) >= 0:
                chosen.append(int(np.ravel_multi_index(tuple(index), grid.costs.shape)))
        chosen = list(dict.fromkeys([*self.problem.forced, *chosen]))
        if not chosen or not grid.contained(np.asarray(chosen)).any(axis=1).all():
            return []
        return self._shrink(chosen)

    def _served(self, chosen: list[int]) -> NDArray[np.float64]:
        grid, flat = self.problem.grid, np.asarray(chosen, dtype=np.int64)
        served: NDArray[np.float64] = np.where(grid.contained(flat), grid.costs.ravel()[flat], np.inf).min(axis=1)
        return served

    def _total(self, chosen: list[int]) -> float:
        return float(self.problem.grid.weights @ self._served(chosen)) + float(self.problem.prices[chosen].sum())

    def _better(self, first: list[int], second: list[int]) -> list[int]:
        if not second or len(second) > self.problem.most:
            return first
        return second if self._total(second) < self._total(first) * (1 - 1e-12) else first


def _equal_steps(count: int, picks: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, picks).round().astype(np.int64))
