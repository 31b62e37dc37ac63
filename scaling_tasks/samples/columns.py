"""Gathering the number columns of a table, row by row, in little memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.limits import (
    LARGEST_SIZE,
    LARGEST_WEIGHT,
    LEAST_WEIGHT,
    LONGEST_NAME,
    MOST_CELLS,
    MOST_CELLS_MADE,
    MOST_COLUMNS,
)
from scaling_tasks.samples.measurements import ColumnFault, Measurements

__all__ = ["EMPTY", "WEIGHT", "ColumnReader"]

WEIGHT = "weight"
EMPTY = "0"
"""The fault of a column in which nothing is wrong but that sizes of 0 occur."""


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

    def add(self, line: int, row: Mapping[str, Any], read: int = MOST_CELLS) -> None:
        """Take one row; a row with lists becomes one item per element.

        Args:
            line: Where it stands.
            row: Cells by the names of their columns.
            read: Bytes read so far, where those say how much a table can hold.

        Raises:
            DatasetError: Naming the line: the weight is none, lists differ in length, or a limit is passed.
        """
        weight = _weight(row.get(WEIGHT, 1), f"{self._where}, line {line}")
        self._note_weight(weight, WEIGHT in row)
        lists = {name: cell for name, cell in row.items() if isinstance(cell, list)}
        length = self._length(line, lists)
        cells = (self._items + length) * max(len(row), len(self._columns))
        if cells > MOST_CELLS_MADE and cells > min(MOST_CELLS, MOST_CELLS_MADE + read):
            raise self._too_large(line, cells)
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

    def _too_large(self, line: int, cells: int) -> DatasetError:
        return DatasetError(
            f"the table comes to {cells} numbers so far, which is too many",
            where=f"{self._where}, line {line}",
            fix="Leave out columns that are no sizes, and give equal rows once, with a column `weight`.",
        )

    def _check_name(self, name: str, line: int) -> None:
        where = f"{self._where}, line {line}"
        if len(self._columns) >= MOST_COLUMNS:
            raise DatasetError(f"there are more than {MOST_COLUMNS} columns", where=where, fix="Leave some out.")
        if len(name) > LONGEST_NAME or not _is_text(name):
            raise DatasetError(f"{name[:40]!r}… cannot name a column", where=where, fix="Give it a short name.")

    def _extend(self, name: str, cells: list[Any], line: int, weight: float) -> None:
        column = self._columns.get(name)
        if column is None:
            self._check_name(name, line)
            column = self._columns[name] = array("q", bytes(8 * self._items))
            if self._items:
                self._faults[name] = ColumnFault(line - 1, "")
        for cell in cells:
            size = _whole(cell)
            column.append(size if size > 0 else 0)
            if size != _NOT_A_NUMBER:
                self._numeric.add(name)
            if size <= 0 and weight > 0:
                self._note_fault(name, ColumnFault(line, "" if cell is None else EMPTY if not size else _shown(cell)))

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


_NOT_A_NUMBER, _OUT_OF_RANGE = -2, -1
_LARGEST_FLOAT = 2**53  # beyond it a float is not a whole number any more


def _whole(cell: Any) -> int:
    """Return the size in a cell; negative where there is none."""
    if type(cell) is int:
        return cell if 0 <= cell <= LARGEST_SIZE else _OUT_OF_RANGE
    try:
        number = int(cell) if isinstance(cell, str) else _whole_float(float(cell))
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        number = None
    if number is None and isinstance(cell, str):
        try:
            number = _whole_float(float(cell))
        except ValueError:
            number = None
    if number is None:
        return _NOT_A_NUMBER
    return number if 0 <= number <= LARGEST_SIZE else _OUT_OF_RANGE


def _whole_float(number: float) -> int | None:
    return int(number) if number.is_integer() and abs(number) < _LARGEST_FLOAT else None


def _shown(cell: Any) -> str:
    """Return the beginning of what a cell holds, as it can be shown and stored."""
    if isinstance(cell, (list, tuple, dict)):
        return f"a {type(cell).__name__}"
    return str(cell)[:40].encode("utf-8", "backslashreplace").decode()


def _is_text(name: str) -> bool:
    return name.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _weight(cell: Any, where: str) -> float:
    try:
        weight = float(cell)
    except (TypeError, ValueError, ArithmeticError):
        weight = math.nan
    if weight != 0 and not LEAST_WEIGHT <= weight <= LARGEST_WEIGHT:
        raise DatasetError(
            f"weight is {_shown(cell)!r}",
            where=where,
            fix=f"Write 0, or a number from {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}.",
        )
    return weight
