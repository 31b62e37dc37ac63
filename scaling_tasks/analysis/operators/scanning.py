"""Operators whose answer at a position depends on order: running sums, largest entries, selections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

_INT64 = 7


@operator("CumSum", "CumProd", sizes=(1,))
def follow_running_sum(op: Operation) -> Tensor:
    """Follow CumSum and CumProd: forwards they see no padding before valid positions; backwards it must be 0 or 1."""
    tensor = op.input(0)
    (given,) = op.constants(1) or [0]
    place = op.axis(given, tensor.rank)
    op.mix(0, place)
    if op.attribute("reverse", 0):
        op.clean(0, [place], 0.0 if op.kind == "CumSum" else 1.0)
    tensor = op.input(0)
    low = 0.0 if tensor.low >= 0 else float("-inf")
    # The product of none is 1.
    keeps = op.kind == "CumSum" or not op.attribute("exclusive", 0)
    fills = {at: fill for at, fill in tensor.fills.items() if at != place and fill == 0 and keeps}
    # Products of many numbers above 1 leave those that there are, though only in padding.
    finite = tensor.finite and (op.kind == "CumSum" or max(abs(tensor.low), abs(tensor.high)) <= 1)
    return op.result(tensor.known_axes, tensor.dtype, fills=fills, finite=finite, low=low)


@operator("ArgMax", "ArgMin")
def follow_argument(op: Operation) -> Tensor:
    """Follow ArgMax and ArgMin: padding must not be chosen, and positions are numbered from the start."""
    place = op.axis(int(op.attribute("axis", 0)), op.input(0).rank)
    axis = op.mix(0, place)
    op.needs(1, axis.length)
    op.clean(0, [place], -math.inf if op.kind == "ArgMax" else math.inf)
    axes = list(op.input(0).known_axes)
    axes[place : place + 1] = [grid(1)] if op.attribute("keepdims", 1) else []
    result = op.result(axes, _INT64, low=0.0)
    if op.attribute("select_last_index", 0) and op.padded(axis):
        _last_valid(op, result, axis.length - 1)
    return result


def _last_valid(op: Operation, result: Tensor, last: Length) -> None:
    """Where all numbers are as far out as padding, the last of them is the last valid one."""
    raw = op.emitter.fresh("last")
    op.node.output[0] = raw
    op.emitter.nodes.append(op.node)
    op.replaced = True
    spec = SizeInput("", "value", "int64", expressions=(last.expression(),))
    op.emitter.into(result.name, "Min", [raw, op.around.cleaner.companion(result, [], spec)])


@operator("TopK", sizes=(1,))
def follow_top(op: Operation) -> Sequence[Tensor]:
    """Follow TopK: the valid entries come first."""
    tensor = op.input(0)
    (count,) = op.numbers(1, "k") or [as_length(1)]
    place = op.axis(int(op.attribute("axis", -1)), tensor.rank)
    axis = op.mix(0, place)
    op.needs(count, axis.length)
    if op.padded(axis):
        if not op.attribute("sorted", 1):
            op.blame(op.padded(axis), "it gives its entries in no order")
        op.clean(0, [place], -math.inf if op.attribute("largest", 1) else math.inf)
    tensor = op.input(0)
    axes: list[Axis] = list(tensor.known_axes)
    axes[place] = grid(count)
    return [
        op.result(axes, tensor.dtype, finite=tensor.finite, low=tensor.low, high=tensor.high),
        op.result(axes, _INT64, output=1, low=0.0),
    ]


@operator("NonZero")
def follow_non_zero(op: Operation) -> Tensor:
    """Follow NonZero: padding must be zero; how many there are depends on data, unless none of a vector is zero.

    Of ones, as many as positions, exporters that know no Range make one so.
    """
    if op.input(0).rank == 1 and (op.input(0).low > 0 or op.input(0).high < 0):
        axis = op.compact(0, 0).known_axes[0]
        return op.result([grid(1), axis], _INT64, low=0.0, counts_rows=op.rows in axis.variables)
    for at in range(op.input(0).rank):
        op.mix(0, at)
    tensor = op.clean(0, range(op.input(0).rank), 0.0)
    return op.result([grid(tensor.rank), op.data_axis()], _INT64, low=0.0)


@operator("NonMaxSuppression")
def follow_suppression(op: Operation) -> Tensor:
    """Follow NonMaxSuppression: padded boxes score below every threshold; how many are kept depends on data."""
    boxes = op.input(0)
    for index, place in ((0, 1), (1, 1), (1, 2)):
        op.mixes(op.input(index).known_axes[0])
        op.mix(index, place)
    op.same_axis(0, 1, 1, 2)
    padded = [place for place in range(3) if op.padded(op.input(1).known_axes[place])]
    if padded:
        _set_threshold(op)
        op.clean(1, padded, -math.inf)
        if not boxes.finite:
            op.clean(0, [0, 1], 0.0)
    return op.result([op.data_axis(), grid(3)], _INT64, low=0.0)


def _set_threshold(op: Operation) -> None:
    """Let boxes that score minus infinity be kept nowhere, and those that score any other number as before."""
    known = op.value_of(4)
    if op.has(4) and (known is None or float(known.reshape(-1)[0]) > -math.inf):
        return  # What a box is kept for lies above every threshold.
    op.node.input.extend([""] * (5 - len(op.node.input)))
    op.inputs.extend([None] * (5 - len(op.inputs)))
    op.node.input[4] = op.emitter.constant(np.array([np.finfo(np.float32).min], np.float32))
    op.inputs[4] = None
