"""The cost model ``measured``: latencies of some buckets, completed to every shape without ever falling.

Three steps. A measurement is lowered to the least one among the buckets that contain it, since those can serve instead
(suffix minimum). A formula a + b·batch + c·elements with non-negative a, b and c is fitted
by least squares of the relative error. At any shape the formula is clipped between the largest measurement it
contains and the smallest that contains it; both limits never fall as the shape grows, so neither does the result,
and measured shapes keep theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_tasks.errors import PlanError, one_line
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["MeasuredCost"]

# Seconds that an inference can take; what is beyond has no reciprocal, or nobody has waited for it.
_SHORTEST, _LONGEST = 1e-12, 1e9


class MeasuredCost:
    """Latency in seconds at any shape, from latencies measured at some.

    Args:
        variables: Names of the columns.
        shapes: Measured shapes, positive, int [m, d]; the least of repeated ones counts.
        seconds: Their latencies, positive, float [m].

    Raises:
        PlanError: Nothing was measured, or a value is unusable.
    """

    def __init__(self, variables: Sequence[str], shapes: ArrayLike, seconds: ArrayLike) -> None:
        self.variables = tuple(variables)
        try:
            table = np.asarray(shapes, dtype=np.int64).reshape(-1, len(self.variables))
            times = np.asarray(seconds, dtype=np.float64)
        except (TypeError, ValueError) as cause:
            raise PlanError(f"not a table of latencies ({cause})", where="latencies") from cause
        if not len(table) or times.shape != (len(table),):
            raise PlanError(f"{times.size} latencies were given for {len(table)} shapes", where="latencies")
        if not ((times >= _SHORTEST) & (times <= _LONGEST)).all() or (table < 1).any():
            what = f"latencies and sizes must be positive numbers, latencies from {_SHORTEST} to {_LONGEST} s"
            raise PlanError(what, where="latencies")
        self.shapes = np.unique(table, axis=0)
        self.seconds = np.asarray([times[(table >= shape).all(axis=1)].min() for shape in self.shapes])
        self._weights = self._fit()

    @classmethod
    def read(cls, path: Path, variables: Sequence[str]) -> MeasuredCost:
        """Return the table at ``path`` with its columns in the order of ``variables``.

        Raises:
            PlanError: The file is missing, is no latency table, or is over other variables.
        """
        found = LatencyTable.load(path)
        if set(found.variables) != set(variables) or len(found.variables) != len(variables):
            what = f"it is over {one_line(list(found.variables))}, not over {list(variables)}"
            raise PlanError(what, where=str(path), fix="Measure again.")
        columns = [found.variables.index(name) for name in variables]
        table = [[shape[column] for column in columns] for shape in found.seconds]
        try:
            return cls(variables, table, list(found.seconds.values()))
        except PlanError as cause:
            raise PlanError(cause.what, where=str(path), fix="Measure again.") from cause

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> MeasuredCost:
        """Return the model that ``describe`` described."""
        return cls(description["variables"], description["shapes"], description["seconds"])

    nondecreasing = True

    def describe(self) -> dict[str, Any]:
        """Return the whole table, so that a plan read from JSON can still be evaluated."""
        return {
            "kind": "measured",
            "variables": list(self.variables),
            "shapes": self.shapes.tolist(),
            "seconds": self.seconds.tolist(),
        }

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the latency at each shape [n, d], seconds, float64 [n]."""
        table = np.asarray(shapes, dtype=np.int64).reshape(-1, len(self.variables))
        low, high = np.zeros(len(table)), np.full(len(table), np.inf)
        for shape, seconds in zip(self.shapes, self.seconds, strict=True):
            low = np.where((table >= shape).all(axis=1), np.maximum(low, seconds), low)
            high = np.where((table <= shape).all(axis=1), np.minimum(high, seconds), high)
        fitted: NDArray[np.float64] = self._features(table) @ self._weights
        clipped: NDArray[np.float64] = np.minimum(np.maximum(fitted, low), high)
        return clipped

    def _features(self, table: NDArray[np.int64]) -> NDArray[np.float64]:
        columns = [np.ones(len(table)), table.astype(np.float64).prod(axis=1)]
        batch = batch_variable(self.variables)
        if batch is not None and len(self.variables) > 1:
            columns.append(table[:, self.variables.index(batch)].astype(np.float64))
        return np.stack(columns, axis=1)

    def _fit(self) -> NDArray[np.float64]:
        """Return non-negative weights of the features by relative least squares, over all choices of features."""
        features = self._features(self.shapes) / self.seconds[:, None]
        count = features.shape[1]
        best, least = np.zeros(count), np.inf
        for size in range(1, count + 1):
            for chosen in itertools.combinations(range(count), size):
                part = np.linalg.lstsq(features[:, chosen], np.ones(len(features)), rcond=None)[0]
                error = float(((features[:, chosen] @ part - 1) ** 2).sum())
                if (part >= 0).all() and error < least - 1e-12:
                    best, least = np.zeros(count), error
                    best[list(chosen)] = part
        return best
