"""Exchanging whole buckets of requests that are cut into batches (one size variable): every other one is tried at once.

Moving a bucket to neighbouring sizes ends where no small step saves; the best sets are often a batch size and half the
sizes away. Here one bucket is taken out and every candidate put in its place: the cuts of all requests are computed for
all candidates of one batch size together, over positions from the end of each request. Several starts, drawn by a fixed
seed, are exchanged until nothing saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import Price, prices_of
from scaling_tasks.planning.request.serving import Side
from scaling_tasks.shapes.partition import RunTable

__all__ = ["exchange_buckets"]

# Entries (items times candidates times batch sizes) that may be looked at in all, and in one exchange.
_WORK, _TRIAL = 150_000_000, 3_000_000
_STARTS, _SWEEPS, _LEAST = 12, 12, 24


def exchange_buckets(
    runs: RunTable, side: Side, choices: NDArray[np.int64], price: Price, buckets: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Return sets of as many buckets, int64 [k, 2] each, that no exchange of one bucket improved.

    Args:
        runs: The requests, over one size variable.
        side: Where the batch is, and costs.
        choices: The batch sizes that buckets may have.
        price: What having a bucket costs.
        buckets: The set to begin with; the others begin at random.
    """
    sizes = np.unique(runs.items[:, 0])
    count = int(np.clip(_TRIAL // max(1, len(runs.items) * len(choices) * 3), _LEAST, len(sizes)))
    known = np.unique(side.split(buckets)[1][:, 0])
    kept = np.unique(np.concatenate([sizes[np.linspace(0, len(sizes) - 1, count).astype(int)], known]))
    trials = _Trials(runs, side, np.repeat(choices, len(kept)), np.tile(kept, len(choices)), price)
    random, found, spent = np.random.default_rng(20240311), [], 0
    for start in range(_STARTS):
        if start and spent > _WORK:
            break
        batches, widths = side.split(buckets)[0].copy(), side.split(buckets)[1][:, 0].copy()
        if start:
            batches, widths = random.choice(choices, len(buckets)), random.choice(kept, len(buckets))
            widths[0] = sizes[-1]
        spent += trials.exchanged(batches, widths)
        found.append(side.join(batches, widths[:, None]))
    return found


@dataclass(frozen=True, eq=False)
class _Trials:
    """Candidates, their batches and sizes int64 [c]."""

    runs: RunTable
    side: Side
    batches: NDArray[np.int64]
    sizes: NDArray[np.int64]
    price: Price

    def exchanged(self, batches: NDArray[np.int64], widths: NDArray[np.int64]) -> int:
        """Exchange the buckets of these batches and sizes in place until nothing saves; return the work done."""
        total, spent = np.inf, 0
        for _ in range(_SWEEPS):
            before = total
            for row in range(len(batches)):
                rest = np.arange(len(batches)) != row
                totals = self.totals(batches[rest], widths[rest])
                spent += len(self.runs.items) * len(totals) * (1 + len(np.unique(batches[rest])))
                best = int(totals.argmin())
                if totals[best] < total * (1 - 1e-9):
                    total, batches[row], widths[row] = float(totals[best]), self.batches[best], self.sizes[best]
            if not total < before * (1 - 1e-6):
                break
        return spent

    def totals(self, batches: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what requests cost with the given buckets and each candidate, float64 [c]; infinite if unserved."""
        others = self.side.join(batches, widths[:, None])
        costs = self.side.costs(others)
        mine = self.side.join(self.batches, self.sizes[:, None])
        totals = prices_of(self.price, mine) + float(prices_of(self.price, others).sum())
        own = self.side.costs(mine)
        given = {}
        for other in np.unique(batches).tolist():
            # What a run of so many costs in the cheapest of the given buckets, by the item it begins at.
            fits = (batches >= other)[None, :] & (self.runs.items[:, :1] <= widths[None, :])
            given[other] = np.where(fits, costs[None, :], np.inf).min(axis=1)
        for batch in np.unique(self.batches).tolist():
            which = np.flatnonzero(self.batches == batch)
            totals[which] += self._cut(given, batch, self.sizes[which], own[which])
        return totals

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """The requests, longest first."""
        return np.argsort(-self.runs.lengths, kind="stable")

    def _cut(
        self, given: Mapping[int, NDArray[np.float64]], batch: int, sizes: NDArray[np.int64], own: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Cut all requests with some buckets and, in turn, each candidate of one batch size.

        Args:
            given: What a run costs in those buckets, by its length and the item it begins at.
            batch: Of the candidates.
            sizes: Of the candidates.
            own: What each of them costs.
        """
        runs, order = self.runs, self._order
        lengths, ends = runs.lengths[order], (runs.starts + runs.lengths)[order]
        alive = np.searchsorted(-lengths, -np.arange(int(lengths[0])), side="left").tolist()
        least = [np.zeros((len(order), len(sizes)))]
        total = np.zeros(len(sizes))
        for distance, many in enumerate(alive):
            at = ends[:many] - 1 - distance
            fits = runs.items[at] <= sizes[None, :]
            back = least[max(0, distance + 1 - batch)][:many]
            best = np.where(fits, own + back, np.inf)
            for other, paid in given.items():
                np.minimum(best, paid[at][:, None] + least[max(0, distance + 1 - other)][:many], out=best)
            least.append(best)
            done = int(np.searchsorted(-lengths, -(distance + 1), side="left"))
            if done < many:
                # A request of no weight has to be served as well: what is infinite stays so.
                mass = np.maximum(runs.weights[order[done:many], None], 1e-300)
                total += (best[done:] * mass).sum(axis=0)
        return total
