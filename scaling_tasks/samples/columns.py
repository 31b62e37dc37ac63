"""Gathering the number columns of a table, row by row or many rows at once, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.cells import NOT_A_NUMBER, Cells, shown, size_of, sizes_of, weight_of
from scaling_tasks.samples.limits import (
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
        weight = weight_of(row.get(WEIGHT, 1), self._where, line)
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

    def add_columns(self, lines: Sequence[int], columns: Mapping[str, Cells]) -> None:
        """Take many rows without lists at once, as if each were given to `add`.

        Args:
            lines: Where each stands.
            columns: Cells of these rows by the names of their columns.

        Raises:
            DatasetError: Naming the line: a weight is none, or a limit is passed.
        """
        count = len(lines)
        width = max(len(columns), len(self._columns))
        fitting = max(0, MOST_CELLS // width - self._items) if width else count
        if fitting < count:
            if fitting:
                self.add_columns(lines[:fitting], {name: cells[:fitting] for name, cells in columns.items()})
            raise self._too_large(lines[fitting], (self._items + 1) * width)
        weights = self._add_weights(lines, columns.get(WEIGHT))
        for name, cells in columns.items():
            if name != WEIGHT:
                self._extend_by(name, cells, lines, weights)
        self._items += count
        self._counts.frombytes(np.ones(count, dtype=np.int64).tobytes())
        for name, column in self._columns.items():
            if len(column) < self._items:
                self._extend_by(name, [None] * count, lines, weights)

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
            size = size_of(cell)
            column.append(size if size > 0 else 0)
            if size != NOT_A_NUMBER:
                self._numeric.add(name)
            if size <= 0 and weight > 0:
                self._note_fault(name, ColumnFault(line, "" if cell is None else EMPTY if not size else shown(cell)))

    def _extend_by(self, name: str, cells: Cells, lines: Sequence[int], weights: NDArray[np.float64] | None) -> None:
        column = self._columns.get(name)
        if column is None:
            self._check_name(name, lines[0])
            column = self._columns[name] = array("q", bytes(8 * self._items))
            if self._items:
                self._faults[name] = ColumnFault(lines[0] - 1, "")
        sizes = sizes_of(cells)
        column.frombytes(np.maximum(sizes, 0).tobytes())
        if name not in self._numeric and (sizes != NOT_A_NUMBER).any():
            self._numeric.add(name)
        for wrong in (sizes < 0, sizes == 0):
            counted = wrong if weights is None else wrong & (weights > 0)
            place = int(counted.argmax()) if len(counted) else 0
            if len(counted) and counted[place]:
                cell = cells[place]
                text = "" if cell is None else EMPTY if not sizes[place] else shown(cell)
                self._note_fault(name, ColumnFault(lines[place], text))

    def _add_weights(self, lines: Sequence[int], cells: Cells | None) -> NDArray[np.float64] | None:
        """Note the rows' weights, and return them; None where every row counts once."""
        if cells is None:
            if self._weights is not None:
                self._weights.frombytes(np.ones(len(lines)).tobytes())
            return None
        if isinstance(cells, np.ndarray):
            found = cells.astype(np.float64)
            wrong = (found != 0) & ~((found >= LEAST_WEIGHT) & (found <= LARGEST_WEIGHT))
            if wrong.any():
                weight_of(cells[wrong.argmax()], self._where, lines[int(wrong.argmax())])
        else:
            pairs = zip(cells, lines, strict=True)
            found = np.array([weight_of(cell, self._where, line) for cell, line in pairs])
        if self._weights is None:
            self._weights = array("d", [1.0] * len(self._counts))
        self._weights.frombytes(found.tobytes())
        return found

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


def _is_text(name: str) -> bool:
    return name.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in name)
