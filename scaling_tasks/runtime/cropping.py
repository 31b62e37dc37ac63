"""Cutting outputs back to the size that the true input would have given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.shapes.expressions import evaluate, variables_of
from scaling_tasks.shapes.relations import Relations

__all__ = ["Cropper", "Crops", "cut", "cut_rows"]

# Per output: the true shape, and the slice of every axis.
Crops = Mapping[str, tuple[tuple[int, ...], tuple[slice, ...]]]


class Cropper:
    """Knows how long each output axis is.

    Args:
        relations: One expression per output axis.
        variables: The columns of the values.
        from_start: Variables whose inputs are padded at the start; their axes are cut there too.
    """

    def __init__(self, relations: Relations, variables: Sequence[str], from_start: Collection[str] = ()) -> None:
        self._variables = tuple(variables)
        self._axes = {
            name: [(axis, bool(variables_of(axis) & set(from_start))) for axis in axes]
            for name, axes in relations.axes.items()
        }

    def crops(self, values: Sequence[int]) -> Crops:
        """Return what to keep of every output for one value per variable."""
        named = dict(zip(self._variables, values, strict=True))
        crops = {}
        for name, axes in self._axes.items():
            shape = tuple(max(0, evaluate(axis, named)) for axis, _ in axes)
            slices = tuple(
                slice(-length, None) if at_start and length else slice(0, length)
                for length, (_, at_start) in zip(shape, axes, strict=True)
            )
            crops[name] = (shape, slices)
        return crops


def cut(outputs: Arrays, crops: Crops) -> Arrays:
    """Return views of the outputs at their true size.

    Raises:
        BundleError: An output is smaller than it should be: the bundle does not belong to its model.
    """
    return {name: _cut(outputs[name], name, shape, slices) for name, (shape, slices) in crops.items()}


def cut_rows(outputs: Arrays, crops: Crops, row: int, count: int) -> Arrays:
    """Return views of ``count`` rows of a batch from ``row`` on, the other axes at their true size."""
    return {
        name: _cut(outputs[name][row : row + count], name, (count, *shape[1:]), (slice(None), *slices[1:]))
        for name, (shape, slices) in crops.items()
    }


def _cut(array: NDArray[Any], name: str, shape: tuple[int, ...], slices: tuple[slice, ...]) -> NDArray[Any]:
    if array.shape == shape:
        return array
    cropped: NDArray[Any] = array[slices] if array.ndim == len(slices) else array
    if cropped.shape != shape:
        raise BundleError(
            f"the engine gave {list(array.shape)}, from which {list(shape)} cannot be cut",
            where=f"output {name!r}",
            fix="Build the bundle again.",
        )
    return cropped
