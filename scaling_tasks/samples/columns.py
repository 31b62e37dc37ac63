"""Gathering the number columns of a table, row by row, in little memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.measurements import ColumnFault, Measurements

__all__ = ["EMPTY", "WEIGHT", "ColumnReader"]

WEIGHT = "weight"
EMPTY = "0"
"""The fault of a column in which nothing is wrong but that sizes of 0 occur."""
_LARGEST = 2**53  # beyond it a float is not a whole number any more


class ColumnReader:
    """Columns of sizes; a column is one if any of its cells holds a whole number."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._columns: dict[str, array[int]] = {}
        self._faults: dict[str, ColumnFault] = {}
        self._numeric: set[str] = set()
        self._weights: array[float] | None = None
        self._counts = array("q")
        self._items = 0
        self._has_lists = False

    def add(self, line: int, row: Mapping[str, Any]) -> None:
        """Take one row; a row with lists becomes one item per element."""
        weight = _weight(row.get(WEIGHT, 1), f"{self._where}, line {line}")
        self._note_weight(weight, WEIGHT in row)
        lists = {name: cell for name, cell in row.items() if isinstance(cell, list)}
        length = self._length(line, lists)
        for name, cell in row.items():
            if name is not None and name != WEIGHT:
                self._extend(name, cell if name in lists else [cell] * length, line, weight)
        self._items += length
        self._counts.append(length)
        for name, column in self._columns.items():
            if len(column) < self._items:
                self._extend(name, [None] * (self._items - len(column)), line, weight)

    def measurements(self) -> Measurements:
        """Return everything gathered.

        Raises:
            DatasetError: There is no row, or no column of numbers.
        """
        names = tuple(name for name in self._columns if name in self._numeric)
        if not self._counts:
            raise DatasetError("there is no row", where=self._where, fix="Check dataset.path and its contents.")
        if not names:
            raise DatasetError("no column holds whole numbers", where=self._where, fix="Name columns after variables.")
        values = np.column_stack([np.frombuffer(self._columns[name], dtype=np.int64) for name in names])
        counts = np.frombuffer(self._counts, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64) if self._has_lists else None
        faults = {name: fault for name, fault in self._faults.items() if name in self._numeric}
        weights = None if self._weights is None else np.repeat(np.frombuffer(self._weights), counts)
        return Measurements("table", names, values, weights, offsets, {"rows": len(counts)}, faults=faults)

    def _length(self, line: int, lists: Mapping[str, list[Any]]) -> int:
        lengths = {len(cell) for cell in lists.values()}
        if len(lengths) > 1:
            raise DatasetError(
                f"the lists of one row differ in length ({', '.join(lists)})", where=f"{self._where}, line {line}"
            )
        self._has_lists = self._has_lists or bool(lists)
        return lengths.pop() if lengths else 1

    def _extend(self, name: str, cells: list[Any], line: int, weight: float) -> None:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = array("q", bytes(8 * self._items))
            if self._items:
                self._faults[name] = ColumnFault(line - 1, "")
        for cell in cells:
            size = _whole(cell)
            column.append(size if size > 0 else 0)
            if size != _NOT_A_NUMBER:
                self._numeric.add(name)
            if size <= 0 and weight > 0:
                self._note_fault(name, ColumnFault(line, "" if cell is None else EMPTY if not size else str(cell)[:40]))

    def _note_fault(self, name: str, fault: ColumnFault) -> None:
        """Remember a column's first fault; zeros, which some variables may be, are told where there is nothing else."""
        known = self._faults.get(name)
        if known is None or (known.text == EMPTY and fault.text != EMPTY):
            self._faults[name] = fault

    def _note_weight(self, weight: float, given: bool) -> None:
        if given and self._weights is None:
            self._weights = array("d", [1.0] * len(self._counts))
        if self._weights is not None:
            self._weights.append(weight)


_NOT_A_NUMBER = -(2**60)


def _whole(cell: Any) -> int:
    """Return the whole number in a cell; `_NOT_A_NUMBER` where there is none."""
    if type(cell) is int:
        return cell if abs(cell) < _LARGEST else _NOT_A_NUMBER
    try:
        return int(cell) if isinstance(cell, str) else _whole_float(float(cell))
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return _whole_float(float(cell)) if isinstance(cell, str) else _NOT_A_NUMBER
    except ValueError:
        return _NOT_A_NUMBER


def _whole_float(number: float) -> int:
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < _LARGEST else _NOT_A_NUMBER


def _weight(cell: Any, where: str) -> float:
    try:
        weight = float(cell)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise DatasetError(f"weight is {cell!r}", where=where, fix="Write a number that is not negative.")
    return weight
