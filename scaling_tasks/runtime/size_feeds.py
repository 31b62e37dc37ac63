"""The extra inputs of a cleaned model for the sizes of a run, made once per combination of sizes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.requests import Arrays

__all__ = ["RowShapes", "SizeFeeds"]

RowShapes = tuple[tuple[int, ...], int]
"""An exact shape, one value per variable, and how many rows have it."""

# Beyond this many combinations of sizes the memory of what was made starts again.
_MOST_REMEMBERED = 1 << 10


class SizeFeeds:
    """Makes what a cleaned model must be told of exact sizes.

    Args:
        manifest: Of the bundle.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._behaviour, self._variables = manifest.behaviour, manifest.variables
        self._buckets = [bucket for artefact in manifest.artefacts for bucket in artefact.buckets]
        self._made: dict[tuple[int, tuple[RowShapes, ...]], Arrays] = {}
        self._lock = threading.Lock()

    def feeds(self, bucket: int, shapes: Sequence[RowShapes]) -> Arrays:
        """Return the extra inputs; they are shared and must not be changed.

        Args:
            bucket: Index over all buckets in the order of the manifest.
            shapes: Of the rows from the first on; rows that are not used repeat the last.
        """
        if not self._behaviour.size_inputs:
            return {}
        key = (bucket, tuple(shapes))
        with self._lock:
            found = self._made.get(key)
        if found is None:
            found = self._make(self._buckets[bucket], shapes)
            with self._lock:
                if len(self._made) >= _MOST_REMEMBERED:
                    self._made.clear()
                self._made[key] = found
        return found

    def _make(self, bucket: tuple[int, ...], shapes: Sequence[RowShapes]) -> Arrays:
        full = dict(zip(self._variables, bucket, strict=True))
        rows = self._behaviour.rows
        lines = [shape for shape, count in shapes for _ in range(count if rows is not None else 1)]
        lines += [lines[-1] if lines else bucket] * ((full[rows] if rows is not None else 1) - len(lines))
        columns = np.array(lines, np.int64).reshape(len(lines), len(bucket)).T
        return self._behaviour.feeds(full, dict(zip(self._variables, columns, strict=True)))
