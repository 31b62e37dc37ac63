"""Lines of nothing but plain whole numbers, read all at once: a fifth of the time of the general reader."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.samples.limits import LARGEST_SIZE

__all__ = ["plain_numbers"]

_ZERO, _LINE_FEED = ord("0"), ord("\n")
_MOST_DIGITS = 18


def plain_numbers(text: bytes, width: int, delimiter: str) -> NDArray[np.int64] | None:
    """Return the numbers in lines of ``width`` numbers each, int64 [lines, width].

    None where there is anything else than digits, delimiters and line ends, where a cell is empty or a line has another
    number of cells, and where a number is above `LARGEST_SIZE`: what that means, the general reader knows.
    """
    text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
    text = text if text.endswith(b"\n") else text + b"\n"
    digits = np.frombuffer(text, dtype=np.uint8) - np.uint8(_ZERO)  # what stands before "0" wraps around
    ends = np.flatnonzero(digits > 9)
    rows = text.count(b"\n")
    if not width or len(ends) != rows * width:
        return None
    marks = digits[ends].reshape(rows, width) + np.uint8(_ZERO)
    if (marks[:, :-1] != ord(delimiter)).any() or (marks[:, -1] != _LINE_FEED).any():
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > _MOST_DIGITS:
        return None
    numbers = digits[ends - 1].astype(np.int64)
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] += digits[ends[longer] - 1 - place].astype(np.int64) * 10**place
    return numbers.reshape(rows, width) if numbers.max() <= LARGEST_SIZE else None
