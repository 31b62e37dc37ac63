"""Which columns of the measurements are which variables of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.columns import EMPTY
from scaling_tasks.samples.limits import LARGEST_SIZE
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.shapes.signature import HEIGHT, WIDTH, Signature, is_batch

__all__ = ["Matched", "match_columns"]

_ALIASES = {HEIGHT: ("height",), WIDTH: ("width",)}
_MOST_NAMED = 20
_NEVER_SIZES = frozenset({"file", "filename", "file_name", "path", "image", "id", "name", "index", "time", "timestamp"})


@dataclass(frozen=True, eq=False)
class Matched:
    """The rows in terms of the model.

    Attributes:
        columns: Raw values per name, int64 [m]; the model's variables, and both of ``H`` and ``W`` if known.
        weights: float64 [m] or None.
        offsets: Which rows form a request, int64 [r + 1] or None.
    """

    columns: dict[str, NDArray[np.int64]]
    weights: NDArray[np.float64] | None
    offsets: NDArray[np.int64] | None


def match_columns(found: Measurements, signature: Signature, dataset: DatasetSpec) -> Matched:
    """Find a column for every variable.

    A column is found by the variable's name; for ``H`` and ``W`` also by ``height``, ``width``, for the batch by any
    name of it. A model with a single size variable may take the only column of numbers, whatever its name. A batch
    variable without a column counts 1 per row.

    Raises:
        DatasetError: A variable has no column, or its column holds something else than positive whole numbers.
    """
    sources = {name: _find(name, found.columns) for name in dict.fromkeys((*signature.variables, HEIGHT, WIDTH))}
    missing = [name for name in signature.variables if sources[name] is None and not is_batch(name)]
    if missing:
        sources[missing[0]] = _only_column(missing, found, signature, dataset)
    used = {name: column for name, column in sources.items() if column is not None}
    empty = signature.may_be_empty
    _check_cells(found, {used[name]: name in empty for name in signature.variables if name in used}, dataset)
    columns = {name: found.values[:, found.columns.index(column)] for name, column in used.items()}
    # The least bucket holds what is empty too.
    columns |= {name: np.maximum(columns[name], 1) for name in empty}
    for name in signature.size_variables:
        if name not in columns:
            columns[name] = np.ones(len(found.values), dtype=np.int64)
    return _drop_weightless(Matched(columns, found.weights, found.offsets), dataset.path)


def _find(variable: str, columns: Sequence[str]) -> str | None:
    if variable in columns:
        return variable
    lowered = {column.lower(): column for column in reversed(columns)}
    if is_batch(variable):
        return next((column for column in columns if is_batch(column)), None)
    for alias in (*_ALIASES.get(variable, ()), variable.lower()):
        if alias in lowered:
            return lowered[alias]
    return None


def _only_column(missing: list[str], found: Measurements, signature: Signature, dataset: DatasetSpec) -> str:
    sizes = [name for name in signature.variables if not is_batch(name)]
    free = [name for name in found.columns if name.lower() not in _NEVER_SIZES and not is_batch(name)]
    if found.kind == "table" and len(sizes) == 1 and len(free) == 1:
        return free[0]
    if found.kind != "table":
        raise DatasetError(
            f"images and boxes have no size for the variable {missing[0]!r}",
            where=dataset.path,
            fix="Give a .csv or .jsonl with a column per variable, or fix that dimension in input_shape.",
        )
    raise DatasetError(
        f"no column for the variable {missing[0]!r}; its columns of numbers are {_listed(found.columns)}",
        where=dataset.path,
        fix=f"Name a column {_ALIASES.get(missing[0], (missing[0],))[0]!r}, or fix that dimension in input_shape.",
    )


def _listed(columns: Sequence[str]) -> str:
    shown = [name if name.isprintable() else repr(name) for name in columns[:_MOST_NAMED]]
    return ", ".join(shown) + (", …" if len(columns) > _MOST_NAMED else "")


def _check_cells(found: Measurements, columns: Mapping[str, bool], dataset: DatasetSpec) -> None:
    """Refuse what is no size; the columns say whether 0 is one."""
    for column, may_be_empty in columns.items():
        fault = found.faults.get(column)
        if fault is not None and not (may_be_empty and fault.text == EMPTY):
            span = f"from {0 if may_be_empty else 1} to {LARGEST_SIZE}"
            holds = f"holds {fault.text!r}, which is no whole number {span}" if fault.text else "is empty"
            raise DatasetError(
                f"column {column!r} {holds}",
                where=f"{dataset.path}, line {fault.line}",
                fix="Correct or remove the line, or give it the weight 0.",
            )


def _drop_weightless(matched: Matched, where: str) -> Matched:
    weights = matched.weights
    if weights is None or (weights > 0).all():
        return matched
    kept = weights > 0
    columns = {name: column[kept] for name, column in matched.columns.items()}
    offsets = None if matched.offsets is None else np.concatenate([[0], np.cumsum(kept)])[matched.offsets]
    if not kept.any():
        raise DatasetError("every row has the weight 0", where=where, fix="Give at least one row a positive weight.")
    return Matched(columns, weights[kept], offsets)
