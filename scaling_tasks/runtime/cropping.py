"""Cutting outputs back to the positions that exist at the exact size."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.shapes.behaviour import Behaviour, depends_on_data
from scaling_tasks.shapes.data_lengths import PositionsOfData, is_mixed
from scaling_tasks.shapes.layouts import Layout, is_plain, layout_length, layout_variables, valid_positions

__all__ = ["Cropper", "Crops", "cut", "cut_rows", "widened"]

Positions: TypeAlias = "slice | NDArray[np.int64] | PositionsOfData | None"
"""Which positions of an axis to keep; None for all that the engine gives."""

Crops: TypeAlias = "Mapping[str, tuple[tuple[int, Positions], ...] | None]"
"""Per output and axis: how long it is, -1 where that depends on data, and which positions to keep.

None for an output whose axes are not known, which is whole: a bundle of such a model never pads.
"""


class Cropper:
    """Knows which positions of each output exist.

    Args:
        behaviour: With the layout of every output axis.
        outputs: Their names in the model's order, in which answers have them.
        variables: The columns of the values.
        from_start: Variables whose inputs are padded at the start; their axes are cut there too.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        outputs: Sequence[str],
        variables: Sequence[str],
        from_start: Collection[str] = (),
    ) -> None:
        self._variables, self._from_start = tuple(variables), frozenset(from_start)
        # A document has them in alphabetical order.
        self._axes = {name: behaviour.layouts[name] for name in outputs}
        self.rows = {name: behaviour.row_axis(name) or 0 for name in self._axes}

    def crops(self, values: Sequence[int], bucket: Sequence[int]) -> Crops:
        """Return what to keep of every output for one value per variable, out of the bucket's."""
        exact = dict(zip(self._variables, values, strict=True))
        full = dict(zip(self._variables, bucket, strict=True))
        return {
            name: None if axes is None else tuple(self._crop(axis, exact, full) for axis in axes)
            for name, axes in self._axes.items()
        }

    def _crop(self, axis: Layout, exact: Mapping[str, int], full: Mapping[str, int]) -> tuple[int, Positions]:
        if depends_on_data(axis):
            return -1, PositionsOfData(axis, full, exact) if is_mixed(axis) else None
        length = max(0, int(layout_length(axis, exact)))
        if not is_plain(axis):
            return length, valid_positions(axis, full, exact)
        at_start = bool(layout_variables(axis) & self._from_start)
        return length, slice(-length, None) if at_start and length else slice(0, length)


def cut(outputs: Arrays, crops: Crops) -> Arrays:
    """Return the outputs at their true size; views where positions lie together.

    Raises:
        BundleError: An output is smaller than it should be: the bundle does not belong to its model.
    """
    return {name: _cut(outputs[name], name, axes) for name, axes in crops.items()}


def cut_rows(outputs: Arrays, crops: Crops, rows: Mapping[str, int], first: int, count: int) -> Arrays:
    """Return ``count`` rows of a batch from ``first`` on, the other axes at their true size.

    Args:
        outputs: Of the whole batch.
        crops: What to keep of the other axes.
        rows: Per output the axis that counts rows.
        first: Row.
        count: Rows.
    """
    found = {}
    for name, axes in crops.items():
        at = rows[name]
        kept = None if axes is None else (*axes[:at], (count, slice(first, first + count)), *axes[at + 1 :])
        found[name] = _cut(outputs[name], name, kept)
    return found


def _cut(array: NDArray[Any], name: str, axes: Sequence[tuple[int, Positions]] | None) -> NDArray[Any]:
    if axes is None:
        return array
    if array.ndim == len(axes):
        for at, (length, positions) in enumerate(axes):
            if isinstance(positions, PositionsOfData):
                positions = positions.within(array.shape[at])
                if positions is None:
                    raise BundleError(
                        f"the engine gave {list(array.shape)}, whose axis {at} has another length at any data",
                        where=f"output {name!r}",
                        fix="Build the bundle again.",
                    )
            if isinstance(positions, slice):
                if array.shape[at] != length:
                    array = array[(slice(None),) * at + (positions,)]
            elif positions is not None and (not len(positions) or positions[-1] < array.shape[at]):
                array = array.take(positions, axis=at)
    expected = [length for length, _ in axes]
    fits = array.ndim == len(axes) and all(
        length in (-1, size) for length, size in zip(expected, array.shape, strict=True)
    )
    if not fits:
        raise BundleError(
            f"the engine gave {list(array.shape)}, from which {expected} cannot be cut",
            where=f"output {name!r}",
            fix="Build the bundle again.",
        )
    return array


def widened(outputs: Mapping[str, NDArray[Any]], dtypes: Mapping[str, str]) -> Arrays:
    """Return whole numbers in the element types that the model has.

    Some engines have fewer of them than ONNX: MindSpore Lite answers int64 as int32. Floating point numbers stay as
    they are: what an engine lost there would be hidden, not mended.

    Args:
        outputs: What an engine gave.
        dtypes: The element type of each output of the model.
    """
    return {name: _widened(array, np.dtype(dtypes.get(name, array.dtype))) for name, array in outputs.items()}


def _widened(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    whole = array.dtype.kind in "iu" and dtype.kind in "iu"
    return array.astype(dtype) if whole and array.dtype != dtype and np.can_cast(array.dtype, dtype) else array
