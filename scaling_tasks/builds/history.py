"""How long compiles took before, to tell how long the next ones will take."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.documents import canonical_json
from scaling_tasks.store.records import stored_seconds

if TYPE_CHECKING:
    from scaling_tasks.store.records import Record

__all__ = ["CompileHistory"]


class _Options(msgspec.Struct, frozen=True):
    backend: str | None = None


class _Parameters(msgspec.Struct, frozen=True):
    options: _Options = _Options()
    unit: Any = None


class _Compile(msgspec.Struct):
    inputs: dict[str, str] = {}
    parameters: _Parameters = _Parameters()


class CompileHistory:
    """Compile times by how much a compile has in common with earlier ones.

    Args:
        records: The store's records, the most recently used last.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._seconds: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for record in records:
            if "seconds" not in record.details or record.components.get("stage") != "compile":
                continue
            with contextlib.suppress(ValueError):  # Of a compile that no version of this does.
                for likeness in _likenesses(record.components):
                    self._seconds[likeness].append(stored_seconds(record.details))

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
    compiled = msgspec.convert(components, _Compile)
    backend, unit = compiled.parameters.options.backend, canonical_json(compiled.parameters.unit)
    models = sorted(digest for name, digest in compiled.inputs.items() if name.startswith("model/"))
    return [(backend, unit), (backend, "model", *models), (backend,)]
