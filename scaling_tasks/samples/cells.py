"""What the cells of a table mean: whole numbers that are sizes, weights, and what is neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.limits import LARGEST_SIZE, LARGEST_WEIGHT, LEAST_WEIGHT

__all__ = [
    "NOT_A_NUMBER",
    "OUT_OF_RANGE",
    "Cells",
    "TextCells",
    "ends_no_number",
    "shown",
    "size_of",
    "sizes_of",
    "weight_of",
]

NOT_A_NUMBER, OUT_OF_RANGE = -2, -1
_LARGEST_FLOAT = 2**53  # beyond it a float is not a whole number any more
_NUMBERS_END = frozenset("0123456789._")


class TextCells(Sequence[str]):
    """Cells of which none is a number, as they lie in a text.

    Args:
        text: UTF-8.
        starts: Where each begins.
        ends: Where each ends.
    """

    def __init__(self, text: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        self._text, self._starts, self._ends = text, starts, ends

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> TextCells: ...
    def __getitem__(self, place: int | slice) -> str | TextCells:
        if isinstance(place, slice):
            return TextCells(self._text, self._starts[place], self._ends[place])
        return self._text[self._starts[place] : self._ends[place]].decode()


Cells = Sequence[Any] | NDArray[Any]
"""One column's cells of some rows: Python values as they stand in the file, or numbers as an array."""


def ends_no_number(last: str) -> bool:
    """Return whether no number ends in a letter, as those of names of files do."""
    return last.isascii() and last not in _NUMBERS_END and not last.isspace()


def size_of(cell: Any) -> int:
    """Return the size in a cell; `NOT_A_NUMBER` or `OUT_OF_RANGE` where there is none."""
    if type(cell) is int:
        return cell if 0 <= cell <= LARGEST_SIZE else OUT_OF_RANGE
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
        return NOT_A_NUMBER
    return number if 0 <= number <= LARGEST_SIZE else OUT_OF_RANGE


def sizes_of(cells: Cells) -> NDArray[np.int64]:
    """Return what `size_of` says of every cell, int64 [n]."""
    if isinstance(cells, TextCells):
        return np.full(len(cells), NOT_A_NUMBER, dtype=np.int64)
    if isinstance(cells, np.ndarray):
        return _sizes_of_floats(cells) if cells.dtype.kind == "f" else _within(cells)
    numbers = _numbers(cells)
    return _within(numbers) if numbers is not None else np.fromiter(map(_quick_size, cells), np.int64, len(cells))


def weight_of(cell: Any, file: str, line: int) -> float:
    """Return the weight in a cell of a file's line.

    Raises:
        DatasetError: It is none.
    """
    try:
        weight = float(cell)
    except (TypeError, ValueError, ArithmeticError):
        weight = math.nan
    if weight != 0 and not LEAST_WEIGHT <= weight <= LARGEST_WEIGHT:
        raise DatasetError(
            f"weight is {shown(cell)!r}",
            where=f"{file}, line {line}",
            fix=f"Write 0, or a number from {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}.",
        )
    return weight


def shown(cell: Any) -> str:
    """Return the beginning of what a cell holds, as it can be shown and stored."""
    if isinstance(cell, (list, tuple, dict)):
        return f"a {type(cell).__name__}"
    return str(cell)[:40].encode("utf-8", "backslashreplace").decode()


def _numbers(cells: Sequence[Any]) -> NDArray[np.int64] | None:
    """Return cells that are plain decimal digits as numbers; None where one is anything else."""
    try:
        joined = "".join(cells)
        if not (joined.isascii() and joined.isdigit()):
            return None
        # One call for all: an eighth of the time of a step per cell.
        numbers = np.fromiter(map(int, cells), np.int64, len(cells))
    except (TypeError, ValueError, OverflowError):  # one is no text, or empty, or beyond 64 bits
        return None
    return numbers


def _quick_size(cell: Any) -> int:
    """Return what `size_of` does; names of files, which are most of what is no number, are told by their ends."""
    return NOT_A_NUMBER if type(cell) is str and cell and ends_no_number(cell[-1]) else size_of(cell)


def _within(numbers: NDArray[Any]) -> NDArray[np.int64]:
    inside = (numbers >= 0) & (numbers <= LARGEST_SIZE)
    return np.where(inside, numbers, OUT_OF_RANGE).astype(np.int64)


def _sizes_of_floats(numbers: NDArray[Any]) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        whole = (np.floor(numbers) == numbers) & (np.abs(numbers) < _LARGEST_FLOAT)
        inside = whole & (numbers >= 0) & (numbers <= LARGEST_SIZE)
        sizes = np.where(inside, numbers, 0).astype(np.int64)
    return np.where(inside, sizes, np.where(whole, OUT_OF_RANGE, NOT_A_NUMBER)).astype(np.int64)


def _whole_float(number: float) -> int | None:
    return int(number) if number.is_integer() and abs(number) < _LARGEST_FLOAT else None
