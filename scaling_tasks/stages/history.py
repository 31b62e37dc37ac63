"""How long compiles took before, to tell how long the next ones will take."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scaling_tasks.documents import canonical_json

if TYPE_CHECKING:
    from scaling_tasks.store.records import Record

__all__ = ["CompileHistory"]


class CompileHistory:
    """Compile times by how much a compile has in common with earlier ones.

    Args:
        records: The store's records, the most recently used last.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._seconds: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for record in records:
            seconds = record.details.get("seconds")
            if isinstance(seconds, int | float) and record.components.get("stage") == "compile":
                for likeness in _likenesses(record.components):
                    self._seconds[likeness].append(float(seconds))

    def expected_seconds(self, components: Mapping[str, Any]) -> float | None:
        """Return how long the compile with these key components will take.

        It is what the same unit took last, whatever of its model or toolchain has changed since; else the median of the
        same model with the same backend; else the median of that backend. None where there is nothing to go by.
        """
        same_unit, *others = _likenesses(components)
        if known := self._seconds.get(same_unit):
            return known[-1]
        for likeness in others:
            if known := self._seconds.get(likeness):
                return statistics.median(known)
        return None


def _likenesses(components: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return what two compiles may have in common, the most telling first."""
    parameters = components.get("parameters") or {}
    backend = (parameters.get("options") or {}).get("backend")
    unit = canonical_json(parameters.get("unit"))
    models = sorted(digest for name, digest in components.get("inputs", {}).items() if name.startswith("model/"))
    return [(backend, unit), (backend, "model", *models), (backend,)]
