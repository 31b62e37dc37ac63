"""Distinct samples with their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_tasks.errors import DatasetError

__all__ = ["ShapeHistogram"]


@dataclass(frozen=True, eq=False)
class ShapeHistogram:
    """Distinct samples in lexicographic order, each with its weight.

    Attributes:
        variables: Names of the d columns.
        samples: Distinct sizes, int64 [n, d], all positive.
        weights: How often each was seen, float64 [n], all positive.
    """

    variables: tuple[str, ...]
    samples: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def from_samples(
        cls, samples: ArrayLike, weights: ArrayLike | None = None, variables: Sequence[str] = ()
    ) -> ShapeHistogram:
        """Count raw samples.

        Args:
            samples: Sizes, integers [n, d] (or [n] for one variable), in any order, repeated at will.
            weights: One non-negative weight per sample; 1 each by default. Samples of weight 0 are dropped.
            variables: One name per column; ``("H", "W")`` style. ``v0, v1, …`` by default.

        Raises:
            DatasetError: No samples, sizes that are not positive whole numbers, or unusable weights.
        """
        table = _as_sizes(samples, len(variables))
        names = tuple(variables) or tuple(f"v{column}" for column in range(table.shape[1]))
        if table.shape[1] != len(names) or len(set(names)) != len(names):
            raise DatasetError(f"samples have {table.shape[1]} columns for the variables {list(names)}")
        mass = _as_weights(weights, len(table))
        table, mass = table[mass > 0], mass[mass > 0]
        if not len(table):
            raise DatasetError("there is no sample to count", fix="Check the data set's path and contents.")
        distinct, totals = _count(table, mass)
        return cls(names, distinct, totals)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self.weights.sum())

    def project(self, variables: Sequence[str]) -> ShapeHistogram:
        """Return the histogram of some of the variables, in the order given."""
        columns = [self.variables.index(name) for name in variables]
        return ShapeHistogram.from_samples(self.samples[:, columns], self.weights, tuple(variables))

    def to_payload(self) -> dict[str, Any]:
        """Return plain lists for a JSON document."""
        return {
            "variables": list(self.variables),
            "samples": self.samples.tolist(),
            "weights": self.weights.tolist(),
        }


def _as_sizes(samples: ArrayLike, columns: int) -> NDArray[np.int64]:
    try:
        table = np.asarray(samples)
    except ValueError as cause:
        raise DatasetError(f"samples are not a table of numbers ({cause})") from cause
    if table.size == 0:
        raise DatasetError("there is no sample to count", fix="Check the data set's path and contents.")
    if table.ndim == 1:
        table = table[:, None] if columns in (0, 1) else table[None, :]
    if table.ndim != 2 or table.dtype.kind not in "iuf":
        raise DatasetError(f"samples are {table.dtype} of shape {table.shape}, not whole numbers [n, d]")
    with np.errstate(invalid="ignore"):
        sizes = table.astype(np.int64)
    if (sizes != table).any() or (sizes <= 0).any():
        bad = table[((sizes != table) | (sizes <= 0)).any(axis=1)][0]
        raise DatasetError(f"sample {bad.tolist()} is not made of positive whole numbers")
    return sizes


def _as_weights(weights: ArrayLike | None, count: int) -> NDArray[np.float64]:
    mass = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if mass.shape != (count,):
        raise DatasetError(f"{mass.size} weights were given for {count} samples")
    if not math.isfinite(mass.sum()) or (mass < 0).any():
        raise DatasetError("weights and their sum must be finite, and none negative")
    return mass


def _count(table: NDArray[np.int64], mass: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sum the weights of equal rows; rows come out in lexicographic order."""
    extent = [int(side) + 1 for side in table.max(axis=0)]
    if math.prod(extent) < 2**62 and (mass == 1).all():
        # Raw samples are counted as one number each.
        keys, counts = np.unique(np.ravel_multi_index(tuple(table.T), extent), return_counts=True)
        return np.stack(np.unravel_index(keys, extent), axis=1), counts.astype(np.float64)
    order = np.lexsort(table.T[::-1])
    rows = table[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    # Equal rows are summed in sorted order of weight so that the order of the input cannot change the last bit.
    group = np.cumsum(first) - 1
    by_weight = np.lexsort((mass[order], group))
    totals = np.add.reduceat(mass[order][by_weight], np.flatnonzero(first))
    return rows[first], totals
