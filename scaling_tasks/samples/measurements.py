"""What was measured in a data set: raw sizes before any preprocessing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.documents import canonical_json, document_text

__all__ = ["MOST_LISTED", "ColumnFault", "Measurements"]

MOST_LISTED = 20  # skipped files or lines named one by one; all are counted

_KIND, _VERSION = "scan", 1


@dataclass(frozen=True)
class ColumnFault:
    """The first cell of a column that is not a positive whole number; such cells are stored as 0."""

    line: int
    text: str


@dataclass(frozen=True, eq=False)
class Measurements:
    """Raw sizes of everything in a data set.

    Attributes:
        kind: ``images``, ``annotation`` or ``table``.
        columns: Names of the c columns; ``("H", "W")`` for images and boxes, those of the file for a table.
        values: int64 [m, c]; one row per image, box or table row (one per list element where rows hold lists).
        weights: float64 [m], None where every row counts once.
        offsets: int64 [r + 1], request i owns ``values[offsets[i]:offsets[i + 1]]``; None where rows stand alone.
        source: Counts of what was read and skipped.
        skipped: The first skipped files or lines, each with the reason.
        faults: Per table column, its first unusable cell.
    """

    kind: str
    columns: tuple[str, ...]
    values: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    offsets: NDArray[np.int64] | None = None
    source: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    faults: Mapping[str, ColumnFault] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what was measured, whatever the files' modification times and wherever the data set lies."""
        digest = hashlib.sha256(canonical_json(self.facts()).encode("utf-8", "surrogateescape"))
        for array in (self.values, self.weights, self.offsets):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return the ``scan`` document; its bytes change only when the measurements do."""
        return document_text(_KIND, _VERSION, {**self.facts(), "digest": self.digest})

    def facts(self) -> dict[str, Any]:
        """Return everything but the arrays as plain values."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "rows": len(self.values),
            "source": dict(self.source),
            "skipped": [text.encode("utf-8", "backslashreplace").decode() for text in self.skipped],
            "faults": {name: [fault.line, fault.text] for name, fault in self.faults.items()},
        }
