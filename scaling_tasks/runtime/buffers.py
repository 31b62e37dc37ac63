"""Reused, aligned, padded input arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scaling_tasks.runtime.policies import Padding

__all__ = ["PaddedBuffer"]

_ALIGNMENT = 64


class PaddedBuffer:
    """One input at one bucket.

    Rows are padded separately, since the items of one batch differ in size. What was real before and is padding now is
    the only part that is filled again.

    Args:
        shape: The bucket's shape.
        dtype: Element type.
        policy: How to pad.
        row_axis: The axis that counts rows, None where none does.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, policy: Padding, row_axis: int | None = 0) -> None:
        self._whole, self._row_axis = _aligned(tuple(shape), np.dtype(dtype)), row_axis
        # A view with the rows in front, whatever the layout that the engine gets.
        self.array = self._rows_first(self._whole)
        shape = self.array.shape
        self._policy = policy
        # Texts have no zero.
        self._fill: Any = "" if self.array.dtype.hasobject else policy.fill
        self.array.fill(self._fill)
        self._extents = [(0,) * (len(shape) - 1)] * shape[0]

    def fill(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Lay the parts behind each other from the first row on, and return the whole array.

        Rows that are not used repeat the last one that is, since models need not be defined on empty ones: a softmax
        over a row of which nothing is valid ends some engines. The array is overwritten by the next call.
        """
        row = 0
        for given in parts:
            part = self._rows_first(given)
            self._place(row, part)
            row += part.shape[0]
        if 0 < row < len(self._extents):
            self.array[row:] = self.array[row - 1]
            self._extents[row:] = [self._extents[row - 1]] * (len(self._extents) - row)
        return self._whole

    def _rows_first(self, part: NDArray[Any]) -> NDArray[Any]:
        if self._row_axis == 0:
            return part
        return part[None] if self._row_axis is None else np.moveaxis(part, self._row_axis, 0)

    def _place(self, row: int, part: NDArray[Any]) -> None:
        end = row + part.shape[0]
        block = self.array[row:end]
        extents = part.shape[1:]
        if self._policy.side == "start":
            block.fill(self._fill)
        elif not self._policy.repeats:
            self._clear(block, self._extents[row:end], extents)
        block[self._region(extents)] = part
        if self._policy.repeats:
            self._repeat(block, extents)
        self._extents[row:end] = [extents] * part.shape[0]

    def _region(self, extents: Sequence[int]) -> tuple[slice, ...]:
        if self._policy.side == "end":
            return (slice(None), *(slice(0, size) for size in extents))
        whole = self.array.shape[1:]
        return (slice(None), *(slice(full - size, full) for full, size in zip(whole, extents, strict=True)))

    def _clear(self, block: NDArray[Any], before: list[tuple[int, ...]], extents: tuple[int, ...]) -> None:
        """Fill what the rows held before beyond their new extents."""
        for axis, size in enumerate(extents):
            old = max(row[axis] for row in before)
            if size < old:
                block[(slice(None),) * (axis + 1) + (slice(size, old),)] = self._fill

    def _repeat(self, block: NDArray[Any], extents: tuple[int, ...]) -> None:
        """Repeat the outermost real slice along one axis after another."""
        at_end = self._policy.side == "end"
        region = list(self._region(extents))
        for axis, size in enumerate(extents, start=1):
            full = block.shape[axis]
            if not size:  # There is nothing to repeat.
                block.fill(self._fill)
                return
            if size < full:
                outer = slice(size - 1, size) if at_end else slice(full - size, full - size + 1)
                added = slice(size, full) if at_end else slice(0, full - size)
                block[_with(region, axis, added)] = block[_with(region, axis, outer)]
            region[axis] = slice(None)


def _with(region: Sequence[slice], axis: int, window: slice) -> tuple[slice, ...]:
    return (*region[:axis], window, *region[axis + 1 :])


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array that starts where vector instructions and zero-copy engines want it."""
    if dtype.hasobject:
        return np.empty(shape, dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
