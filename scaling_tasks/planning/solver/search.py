"""A good choice: greedy addition and exchanges, alternating with the bound, which says where to look.

Few points are searched on tables of points times candidates (``exchange``), very many on the grid itself (``cells``,
from coarse to fine in ``refinement``). What the relaxation takes in part is put together anew and exchanged
(`repaired`): near its optimum the best whole choice is made of what it takes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.solver.bound import Relaxation, raise_bound
from scaling_tasks.planning.solver.branch import ExactSolution, solve_exactly
from scaling_tasks.planning.solver.candidates import Candidates
from scaling_tasks.planning.solver.cells import Cells, exchange_on_cells, lay_out
from scaling_tasks.planning.solver.effort import ONE_BY_ONE, Effort
from scaling_tasks.planning.solver.exchange import Pool, add_greedily, drop_useless, improve_by_exchange
from scaling_tasks.planning.solver.refinement import refined_choice

__all__ = ["Search", "shrunk"]

# Points of the grid on which what the relaxation takes in part is put together anew.
_REPAIR = 12_000
# Pairs of a point and a candidate that branching is through with sooner than a search.
_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class Search:
    """The search among some candidates.

    Attributes:
        candidates: The candidates and points.
        effort: Budgets.
    """

    candidates: Candidates
    effort: Effort

    def few(self, starts: Sequence[NDArray[np.int64]]) -> tuple[list[int], Relaxation, float]:
        """Return a choice, the last relaxation and the bound, for points that tables can hold.

        Args:
            starts: Known choices, int64 [k, d] each; the result is never worse.
        """
        candidates, total = self.candidates, self.candidates.total
        chosen = self._improve(self._spread(), [])
        for start in starts:
            chosen = self._better(chosen, self._from_shapes(start))
        relaxation = raise_bound(candidates, chosen, total(chosen), self.effort)
        exact = self._exact(chosen, relaxation, min(_AT_ONCE, self.effort.pairs))
        for turn in range(4 if exact is None else 0):
            if total(chosen) - relaxation.bound <= 1e-9 * total(chosen):
                break
            before = total(chosen)
            chosen = self._better(chosen, self._improve(self._promising(relaxation, before), chosen))
            chosen = self._better(chosen, self._improve(self._promising(relaxation, before), []))
            chosen = self._shake(chosen, self._promising(relaxation, total(chosen)), turn)
            chosen = self.repaired(chosen, relaxation, turn)
            # Where nothing is left to chance, another turn would do the same again.
            if (turn > 1 or not (self.effort.shakes or self.effort.repairs)) and total(chosen) >= before * (1 - 1e-9):
                break
        exact = exact or self._exact(chosen, relaxation, self.effort.pairs)
        if exact is None:
            return chosen, relaxation, relaxation.bound
        return self._better(chosen, exact.chosen), relaxation, exact.bound

    def _exact(self, chosen: list[int], relaxation: Relaxation, pairs: int) -> ExactSolution | None:
        """Return what branch and bound finds among at most so many pairs of a point and a candidate."""
        if self.candidates.thinned:
            return None
        return solve_exactly(self.candidates, relaxation, self.candidates.total(chosen), pairs, self.effort.nodes)

    def many(self, starts: Sequence[NDArray[np.int64]]) -> list[int]:
        """Return a choice without tables of points times candidates."""
        cells = lay_out(self.candidates)
        # What a shake costs grows with the square of the buckets.
        shakes = int(self.effort.shakes * min(4.0, (32 / self.candidates.most) ** 1.5))
        known = [self._from_shapes(start) for start in starts]
        known = [start for start in known if start and len(start) <= self.candidates.most]
        best = min(known, key=cells.total, default=[])
        if best and self.candidates.most > ONE_BY_ONE:
            return shrunk(self.candidates, best)
        chosen = shrunk(self.candidates, refined_choice(cells, self.candidates.most, shakes))
        return self._better(chosen, best) if best else chosen

    def repaired(self, chosen: list[int], relaxation: Relaxation, turn: int = 0) -> list[int]:
        """Return the choice improved on the coordinates of what the relaxation takes in part."""
        if relaxation.shares is None or not self.effort.repairs or not 2 <= len(chosen) <= ONE_BY_ONE:
            return chosen
        candidates, shape = self.candidates, self.candidates.costs.shape
        taken = np.flatnonzero(relaxation.shares > 1e-3)
        taken = taken[np.argsort(-relaxation.shares[taken], kind="stable")]
        corners = np.stack(np.unravel_index(np.asarray(chosen), shape), axis=1)
        kept = _coordinates(np.stack(np.unravel_index(taken, shape), axis=1), corners, shape)
        cells = lay_out(candidates).restrict(kept)
        found = _local(candidates, cells, kept, chosen)
        pool = [index for index in taken.tolist() if _within(index, kept, shape)]
        # Less likely ones too, so that attempts differ.
        odds = np.sqrt(relaxation.shares[pool])
        odds /= max(1e-300, float(odds.sum()))
        dealer, best = np.random.default_rng([len(chosen), turn]), exchange_on_cells(cells, found, candidates.most, 10)
        least = cells.total(best)
        for _ in range(self.effort.repairs if pool else 0):
            gone = int(dealer.integers(1, max(2, len(best) // 3 + 1)))
            rest = [best[index] for index in np.sort(dealer.permutation(len(best))[gone:]).tolist()]
            new = dealer.choice(len(pool), min(gone, len(pool)), replace=False, p=odds)
            added = _local(candidates, cells, kept, [pool[index] for index in new.tolist()])
            trial = [*dict.fromkeys([*cells.keep, cells.costs.size - 1, *rest, *added])][: candidates.most]
            trial = exchange_on_cells(cells, trial, candidates.most, 10)
            if (reached := cells.total(trial)) < least * (1 - 1e-12):
                best, least = trial, reached
        where = np.unravel_index(np.asarray(best), cells.costs.shape)
        back = np.ravel_multi_index(tuple(stay[index] for stay, index in zip(kept, where, strict=True)), shape)
        return self._better(chosen, shrunk(candidates, back.tolist()))

    def _pool(self, flat: NDArray[np.int64]) -> Pool:
        candidates = self.candidates
        costs, prices = candidates.costs.ravel()[flat], candidates.prices.ravel()[flat]
        return Pool.build(candidates.contained(flat), costs, candidates.weights, prices)

    def _improve(self, flat: NDArray[np.int64], start: list[int]) -> list[int]:
        """Return a choice out of the candidates ``flat``, starting from some of them, shrunk to joins."""
        forced, most = self.candidates.forced, self.candidates.most
        fixed = [*forced, self.candidates.last][: max(1, most)]
        flat = np.unique(np.concatenate([flat, np.asarray([*start, *fixed], dtype=np.int64)]))
        pool = self._pool(flat)
        keep = np.searchsorted(flat, np.asarray(forced, dtype=np.int64)).tolist()
        local = np.searchsorted(flat, np.asarray(start or fixed, dtype=np.int64)).tolist()
        local = add_greedily(pool, list(dict.fromkeys([*keep, *local])), most)
        local = improve_by_exchange(pool, local, 4 * most + 20, keep)
        local = add_greedily(pool, drop_useless(pool, local, keep), most)
        return shrunk(self.candidates, flat[local].tolist())

    def _room(self) -> int:
        """Return how many candidates a pool may have."""
        return max(64, 4 * self.candidates.most, self.effort.pool // len(self.candidates.weights))

    def _shakes(self) -> int:
        # Each goes over the pool about as often as a fraction of the buckets is chosen anew.
        work = self._room() * len(self.candidates.weights) * (20 + self.candidates.most // 8)
        return min(self.effort.shakes, 60 * self.effort.pool * 20 // work)

    def _shake(self, chosen: list[int], flat: NDArray[np.int64], turn: int) -> list[int]:
        """Take away some at random, fill up and exchange, over ``flat`` and what lies near the choice."""
        dealer = np.random.default_rng([len(chosen), turn])
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
        shape = self.candidates.costs.shape
        where = np.stack(np.unravel_index(np.asarray(chosen, dtype=np.int64), shape), axis=1)
        steps = _shifts(len(shape))[: max(2, room // len(chosen))]
        around = (where[:, None, :] + steps[None, :, :]).reshape(-1, len(shape))
        around = around[((around >= 0) & (around < np.asarray(shape))).all(axis=1)]
        return np.unique(np.ravel_multi_index(tuple(around.T), shape))

    def _spread(self) -> NDArray[np.int64]:
        """Return the whole grid, or a sub-grid at equal distances that the exchange table can hold."""
        candidates, room = self.candidates, self._room()
        if candidates.size <= room:
            return np.arange(candidates.size)
        share = (room / candidates.size) ** (1 / len(candidates.axes))
        picks = [
            np.unique(np.linspace(0, len(axis) - 1, max(2, int(len(axis) * share))).round().astype(np.int64))
            for axis in candidates.axes
        ]
        mesh = np.meshgrid(*picks, indexing="ij")
        spread: NDArray[np.int64] = np.ravel_multi_index(tuple(part.ravel() for part in mesh), candidates.costs.shape)
        return spread

    def _promising(self, relaxation: Relaxation, total: float) -> NDArray[np.int64]:
        """Return the candidates that a better choice may hold, those that earn most where they are too many."""
        flat = relaxation.survivors(total)
        room = self._room()
        if len(flat) > room:
            order = np.argsort(-relaxation.earned[flat], kind="stable")
            flat = np.sort(flat[order[:room]])
        return flat

    def _from_shapes(self, shapes: NDArray[np.int64]) -> list[int]:
        """Return the choice that serves the points as ``shapes`` do, shrunk to joins; empty where it does not."""
        chosen = list(dict.fromkeys([*self.candidates.forced, *self.candidates.located(shapes)]))
        if not chosen or len(chosen) > self.candidates.most or not np.isfinite(self.candidates.served(chosen)).all():
            return []
        return shrunk(self.candidates, chosen)

    def _better(self, first: list[int], second: list[int]) -> list[int]:
        if not second or len(second) > self.candidates.most:
            return first
        return second if self.candidates.total(second) < self.candidates.total(first) * (1 - 1e-12) else first


@functools.cache
def _shifts(dimensions: int) -> NDArray[np.int64]:
    """Return moves of one coordinate or two by growing steps, the shortest first, int64 [moves, dimensions]."""
    steps = [sign * step for step in (1, 2, 3, 5, 8, 13, 21, 34, 55) for sign in (-1, 1)]
    axes = np.eye(dimensions, dtype=np.int64)
    shifts = [axes[axis] * step for axis in range(dimensions) for step in steps]
    for first, second in itertools.combinations(range(dimensions), 2):
        shifts += [axes[first] * one + axes[second] * other for one, other in itertools.product(steps, repeat=2)]
    table = np.asarray(sorted(map(tuple, shifts), key=lambda shift: (sum(map(abs, shift)), shift)), dtype=np.int64)
    return table.reshape(-1, dimensions)


def shrunk(candidates: Candidates, chosen: list[int]) -> list[int]:
    """Return the choice with each candidate replaced by the join of the points it serves; forced ones stay.

    Where candidates have different prices, the smaller one could be the dearer one to have, so nothing is replaced.
    """
    if candidates.prices.min() < candidates.prices.max():
        return chosen
    best = np.full(len(candidates.position), np.inf)
    first = np.full(len(candidates.position), -1, dtype=np.int64)
    for index, flat in enumerate(chosen):
        inside = candidates.contained(np.asarray([flat]))[:, 0] & (candidates.costs.ravel()[flat] < best)
        first[inside], best[inside] = index, candidates.costs.ravel()[flat]
    free = [index for index in np.unique(first[first >= 0]).tolist() if chosen[index] not in candidates.forced]
    joins = [candidates.join(np.flatnonzero(first == index)) for index in free]
    return list(dict.fromkeys([*candidates.forced, *joins]))


def _coordinates(
    taken: NDArray[np.int64], corners: NDArray[np.int64], shape: tuple[int, ...]
) -> list[NDArray[np.int64]]:
    """Return the coordinates of ``corners`` and of as many of ``taken``, in their order, as a grid has room for."""
    low, high = 0, len(taken)
    while True:
        count = (low + high + 1) // 2
        kept = [
            np.unique(np.concatenate([part[:count], held, [length - 1]]))
            for part, held, length in zip(taken.T, corners.T, shape, strict=True)
        ]
        fits = np.prod([len(stay) for stay in kept], dtype=np.float64) <= _REPAIR
        if high <= low:
            return kept
        low, high = (count, high) if fits else (low, count - 1)


def _within(index: int, kept: Sequence[NDArray[np.int64]], shape: tuple[int, ...]) -> bool:
    where = np.unravel_index(index, shape)
    return all(place in stay for place, stay in zip(where, kept, strict=True))


def _local(candidates: Candidates, cells: Cells, kept: Sequence[NDArray[np.int64]], chosen: Sequence[int]) -> list[int]:
    where = np.unravel_index(np.asarray(chosen, dtype=np.int64), candidates.costs.shape)
    inside = tuple(np.searchsorted(stay, place) for stay, place in zip(kept, where, strict=True))
    found: list[int] = np.ravel_multi_index(inside, cells.costs.shape).tolist()
    return found
