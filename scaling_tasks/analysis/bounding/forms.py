"""Operators of which data decides how long their result is, written with results as long as they can get."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.bounding.bounds import Bounds
from scaling_tasks.analysis.bounding.chosen import chosen_positions
from scaling_tasks.analysis.bounding.suppression import suppress
from scaling_tasks.analysis.bounding.told import Count
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.shapes_of_data import parts_of
from scaling_tasks.analysis.tensors import numpy_type

__all__ = ["FORMS"]

_FLOAT, _INT64, _BOOL = 1, 7, 9
_EQUAL_TAKES_FLOATS = 11  # Before this opset it compares whole numbers only.


def _as_ones(op: Operation, name: str, dtype: int) -> str:
    """Return 1.0 where a tensor is not 0."""
    emitter = op.emitter
    if dtype == _BOOL:
        return emitter.cast(name, _FLOAT)
    if op.opset < _EQUAL_TAKES_FLOATS:
        return emitter.cast(emitter.cast(name, _BOOL), _FLOAT)
    zero = emitter.constant(np.zeros(1, numpy_type(dtype)))
    return emitter.cast(emitter.node("Not", [emitter.node("Equal", [name, zero])]), _FLOAT)


def find_non_zero(op: Operation, bounds: Bounds) -> Sequence[Count]:
    """Write NonZero: the positions along the flattened axes, and the coordinates that they stand for."""
    tensor, emitter = op.input(0), op.emitter
    shape = [bounds.full(axis) for axis in tensor.known_axes]
    length = math.prod(shape)
    most, proven = bounds.said(op, length)
    ones = emitter.node("Reshape", [_as_ones(op, op.node.input[0], tensor.dtype), emitter.numbers([length])])
    place, count = chosen_positions(emitter, ones, length, most)
    emitter.into(op.node.output[0], "Cast", [_coordinates(emitter, emitter.cast(place, _FLOAT), shape)], to=_INT64)
    return [Count(most, count, proven)]


def _coordinates(emitter: Emitter, place: str, shape: Sequence[int]) -> str:
    """Return the coordinates of positions along flattened axes, ``[axes, positions]`` of float32."""
    lines = []
    for axis in range(1, len(shape)):
        stride, half = (emitter.constant(np.array([each], np.float32)) for each in (math.prod(shape[axis:]), 0.5))
        # Half a position more is never so near to a whole number of strides that it could be rounded to one.
        line = emitter.node("Floor", [emitter.node("Div", [emitter.node("Add", [place, half]), stride])])
        place = emitter.node("Sub", [place, emitter.node("Mul", [line, stride])])
        lines.append(emitter.unsqueeze(line, [0]))
    lines.append(emitter.unsqueeze(place, [0]))
    return lines[0] if len(lines) == 1 else emitter.node("Concat", lines, axis=0)


def compress(op: Operation, bounds: Bounds) -> Sequence[Count]:
    """Write Compress along an axis."""
    emitter, tensor = op.emitter, op.input(0)
    axis = op.axis(int(op.attribute("axis", 0)), tensor.rank)
    chosen, length = emitter.cast(op.node.input[1], _FLOAT), bounds.full(op.input(1).known_axes[0])
    if length > bounds.full(tensor.known_axes[axis]):  # What is said of positions that there are not is left alone.
        length = bounds.full(tensor.known_axes[axis])
        zero = emitter.numbers([0])
        chosen = emitter.node("Slice", [chosen, zero, emitter.numbers([length]), zero])
    most, proven = bounds.said(op, length)
    place, count = chosen_positions(emitter, chosen, length, most)
    emitter.into(op.node.output[0], "Gather", [op.node.input[0], place], axis=axis)
    return [Count(most, count, proven)]


def slice_between(op: Operation, bounds: Bounds) -> Sequence[Count]:
    """Write a Slice of one axis between bounds of which data decides one."""
    emitter, tensor = op.emitter, op.input(0)
    place = op.axis((op.constants(3) or [0])[0], tensor.rank)
    step = (op.constants(4) or [1])[0]
    axis = tensor.known_axes[place]
    length, full = bounds.exact(op, axis.length), bounds.full(axis)
    start, end = (_within(emitter, emitter.cast(name, _FLOAT), length) for name in op.node.input[1:3])
    zero = emitter.constant(np.zeros(1, np.float32))
    pace = emitter.constant(np.array([step], np.float32))
    span = emitter.node("Max", [emitter.node("Sub", [end, start]), zero])
    count = span if step == 1 else emitter.node("Ceil", [emitter.node("Div", [span, pace])])
    most, proven = bounds.said(op, -(-full // step))
    steps = emitter.constant(np.arange(most, dtype=np.float32) * step)
    last = emitter.constant(np.array([max(full - 1, 0)], np.float32))
    read = emitter.node("Min", [emitter.node("Add", [start, steps]), last])
    emitter.into(op.node.output[0], "Gather", [op.node.input[0], emitter.cast(read, _INT64)], axis=place)
    return [Count(most, count, proven)]


def _within(emitter: Emitter, bound: str, length: str) -> str:
    """Return a bound counted from the start, neither before it nor behind the end."""
    zero = emitter.constant(np.zeros(1, np.float32))
    turned = emitter.node("Where", [emitter.node("Less", [bound, zero]), emitter.node("Add", [bound, length]), bound])
    return emitter.node("Min", [emitter.node("Max", [turned, zero]), length])


def count_up(op: Operation, bounds: Bounds) -> Sequence[Count]:
    """Write a Range whose end data decides."""
    emitter, limit = op.emitter, op.input(1)
    start, step = ((op.constants(at) or [at // 2])[0] for at in (0, 2))
    far = limit.high if step > 0 else limit.low
    most, proven = bounds.said(op, max(0.0, math.ceil((far - start) / step) if math.isfinite(far) else math.inf))
    first, pace, zero = (emitter.constant(np.array([each], np.float32)) for each in (start, step, 0))
    end = emitter.node("Reshape", [emitter.cast(op.node.input[1], _FLOAT), emitter.numbers([1])])
    steps = emitter.node("Div", [emitter.node("Sub", [end, first]), pace])
    count = emitter.node("Max", [emitter.node("Ceil", [steps]), zero])
    numbers = (start + step * np.arange(most)).astype(numpy_type(limit.dtype))
    emitter.into(op.node.output[0], "Identity", [emitter.constant(numbers)])
    return [Count(most, count, proven)]


def make_as_long(op: Operation, bounds: Bounds) -> Sequence[Count]:
    """Write an Expand or a ConstantOfShape of whose shape data decides some lengths."""
    index = 1 if op.kind == "Expand" else 0
    emitter, counts = op.emitter, []
    shape: list[int] = []
    for name, lengths in parts_of(op, index):
        if lengths is not None:
            shape += [bounds.full(grid(length)) for length in lengths]
            continue
        known = op.outer(name)
        most, proven = bounds.said(op, math.inf if known is None else known.high)
        shape.append(most)
        counts.append(Count(most, emitter.cast(name, _FLOAT), proven))
    op.node.input[index] = emitter.numbers(shape)
    emitter.nodes.append(op.node)
    return counts


FORMS = {
    "Compress": compress,
    "ConstantOfShape": make_as_long,
    "Expand": make_as_long,
    "NonMaxSuppression": suppress,
    "NonZero": find_non_zero,
    "Range": count_up,
    "Slice": slice_between,
}
"""By operator how it is written."""
