"""Operators that make tensors out of sizes, and those that tell sizes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.element_types import FLOATS
from scaling_tasks.analysis.lengths import Length, as_length, larger, product_of
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.refusal import no_data
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.shapes_of_data import wanted_lengths
from scaling_tasks.analysis.tensors import Tensor, constant_tensor, numpy_type
from scaling_tasks.shapes.size_inputs import SizeInput

_INT64 = 7


@operator("Shape", sizes=(0,))
def follow_shape(op: Operation) -> Tensor:
    """Follow Shape: the lengths of the axes, which say how large something is until they are used as data."""
    tensor = op.input(0)
    rank = tensor.rank
    start, end = int(op.attribute("start", 0)), int(op.attribute("end", rank))
    start, end = (max(0, min(rank, each + rank if each < 0 else each)) for each in (start, end))
    lengths = [axis.length for axis in tensor.known_axes[start:end]]
    numbers = [op.domain.constant(length) if not length.variables else None for length in lengths]
    known = [number for number in numbers if number is not None]
    value: NDArray[Any] = np.array(known, np.int64)
    if len(known) < len(lengths):
        value = np.empty(len(lengths), object)
        for at, length in enumerate(lengths):
            value[at] = length
    return constant_tensor(op.node.output[0], _INT64, value)


@operator("Size", sizes=(0,))
def follow_size(op: Operation) -> Tensor:
    """Follow Size: the number of elements."""
    total = product_of(axis.length for axis in op.input(0).known_axes)
    value = np.empty((), object if total.variables else np.int64)
    value[()] = total if total.variables else int(total.constant or 0)
    return constant_tensor(op.node.output[0], _INT64, value)


@operator("ConstantOfShape", sizes=(0,))
def follow_constant_of_shape(op: Operation) -> Tensor:
    """Follow ConstantOfShape: the same number everywhere, the padding included."""
    from onnx import numpy_helper

    lengths = wanted_lengths(op, 0)
    attribute = op.attribute("value")
    value = numpy_helper.to_array(attribute) if attribute is not None else np.zeros(1, np.float32)
    number, dtype = float(value.reshape(-1)[0]), attribute.data_type if attribute is not None else 1
    axes = [
        op.data_axis(f"{op.node.output[0]}_{at}") if each is None else grid(each) for at, each in enumerate(lengths)
    ]
    fills = dict.fromkeys(range(len(axes)), number)
    return op.result(axes, dtype, fills=fills, low=number, high=number, finite=math.isfinite(number))


@operator("Range", sizes=(0, 1, 2), domain="com.microsoft")
@operator("Range", sizes=(0, 1, 2))
def follow_range(op: Operation) -> Tensor:
    """Follow Range: how far it goes may follow the sizes, where it starts may not."""
    end = op.inputs[1]
    if end is not None and end.axes is not None and end.value is None:
        return _as_data_says(op)
    start, limit, step = ((op.numbers(at) or [as_length(at // 2)])[0] for at in range(3))
    first, pace = (each.constant if each.constant is not None else op.domain.constant(each) for each in (start, step))
    if not pace or (Fraction(pace).denominator & (Fraction(pace).denominator - 1)):
        raise Refused(f"its step follows the sizes of the request, or is no number that floats hold ({step})")
    length = ((limit - start) * (1 / Fraction(pace))).ceil()
    if not op.domain.at_most(as_length(0), length):
        length = larger(as_length(0), length)
    axis = grid(length)
    dtype = op.input(0).dtype
    if dtype in FLOATS:
        _is_rounded_alike(op, start, limit, step, length)
    known: dict[str, Any] = {"counts_rows": op.rows is not None and op.rows in axis.variables}
    if first is None:
        _start_truly(op, start)
        return op.result([axis], dtype, **known)
    known["low"], known["high"] = (float(first), math.inf) if pace > 0 else (-math.inf, float(first))
    return op.result([axis], dtype, **known)


def _is_rounded_alike(op: Operation, start: Length, limit: Length, step: Length, length: Length) -> None:
    """Make sure that floating-point numbers make no other length than the fractions that are meant.

    Raises:
        Refused: They do at some size.
    """
    first, end, pace = (op.domain.floats(each, numpy_type(op.input(0).dtype)) for each in (start, limit, step))
    counted = np.ceil((end - first).astype(np.float64) / pace.astype(np.float64))
    if not np.array_equal(np.maximum(counted, 0), op.domain.values(length)):
        raise Refused(f"its length is another one than {length} at some sizes, as its numbers are rounded")


def _as_data_says(op: Operation) -> Tensor:
    """Follow a Range whose end depends on data, such as how long speech is to be: all of it is valid."""
    start, step = op.constants(0) or [0], op.constants(2) or [1]
    low, high = (float(start[0]), math.inf) if step[0] > 0 else (-math.inf, float(start[0]))
    return op.result([op.data_axis()], op.input(0).dtype, low=low, high=high)


def _start_truly(op: Operation, start: Length) -> None:
    """Count as the bucket does from nothing, and add where the exact size starts."""
    no_data(start.variables)
    emitter, kind = op.emitter, op.input(0).dtype
    op.newly_cleaned |= start.variables - {op.rows}
    op.around.cleaner.agree(start.variables)
    first, limit, step = op.node.input
    zero = emitter.constant(np.array(0, numpy_type(kind)))
    counted = emitter.node("Range", [zero, emitter.node("Sub", [limit, first]), step])
    spec = SizeInput("", "value", numpy_type(kind).name, expressions=(start.expression(),))
    emitter.into(op.node.output[0], "Add", [counted, emitter.size_input(spec)])
    op.replaced = True


@operator("EyeLike")
def follow_eye(op: Operation) -> Tensor:
    """Follow EyeLike: ones where two positions are equally far from their starts."""
    tensor = op.input(0)
    if not all(axis.is_prefix for axis in tensor.known_axes):
        raise Refused("its axes are flattened grids")
    for axis in tensor.known_axes:
        op.mixes(axis)
    return op.result(tensor.known_axes, int(op.attribute("dtype", tensor.dtype)), low=0.0, high=1.0)


@operator("Constant")
def follow_constant(op: Operation) -> Tensor:
    """Follow a Constant that the evaluator does not know, such as a text."""
    return op.result(None)
