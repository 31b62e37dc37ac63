"""Many lines at once, whose columns are plain whole numbers or plainly none: a fifth of the general reader's time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.samples.cells import Cells, TextCells, ends_no_number
from scaling_tasks.samples.limits import LARGEST_SIZE

__all__ = ["plain_columns"]

_ZERO, _LINE_FEED = ord("0"), ord("\n")
_MOST_DIGITS = 18
_LONGEST_CELL = 1 << 16  # the general reader knows what is too long
_ENDS_NO_NUMBER = np.array([code < 128 and ends_no_number(chr(code)) for code in range(256)])


def plain_columns(text: bytes, width: int, delimiter: str) -> list[Cells] | None:
    """Return the cells of lines of ``width`` cells each, column by column.

    None where that takes the general reader: there are quotes, an empty cell, a line of another number of cells, or a
    column that is neither numbers up to `LARGEST_SIZE` throughout, nor text that is no number throughout.
    """
    text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
    text = text if text.endswith(b"\n") else text + b"\n"
    if any(mark in text for mark in (b'"', b"\r", b"\0")) or not _is_utf8(text):
        return None
    letters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero((letters == ord(delimiter)) | (letters == _LINE_FEED))
    if not width or len(ends) != text.count(b"\n") * width:
        return None
    marks = letters[ends].reshape(-1, width)
    if (marks[:, :-1] != ord(delimiter)).any() or (marks[:, -1] != _LINE_FEED).any():
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    if lengths.min() < 1 or lengths.max() > _LONGEST_CELL:
        return None
    digits = letters - np.uint8(_ZERO)  # what stands before "0" wraps around
    others = np.concatenate([[0], np.cumsum(digits > 9)])
    plain = (others[ends] == others[starts]).reshape(-1, width)
    columns: list[Cells] = []
    for place in range(width):
        mine = slice(place, None, width)
        if plain[:, place].all():
            numbers = _numbers(digits, ends[mine], lengths[mine])
            if numbers is None:
                return None
            columns.append(numbers)
        elif _ENDS_NO_NUMBER[letters[ends[mine] - 1]].all():
            columns.append(TextCells(text, starts[mine], ends[mine]))
        else:
            return None
    return columns


def _numbers(
    digits: NDArray[np.uint8], ends: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    if lengths.max() > _MOST_DIGITS:
        return None
    numbers = digits[ends - 1].astype(np.int64)
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] += digits[ends[longer] - 1 - place].astype(np.int64) * 10**place
    return numbers if numbers.max() <= LARGEST_SIZE else None


def _is_utf8(text: bytes) -> bool:
    try:
        text.isascii() or text.decode()
    except UnicodeDecodeError:
        return False
    return True
