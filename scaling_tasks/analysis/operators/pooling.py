"""Pooling with windows and over whole axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.lengths import Length, smaller
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.convolution import Window, even_out, output_length, reaches_padding, windows
from scaling_tasks.analysis.operators.products import clean_to_zero_point
from scaling_tasks.analysis.operators.reduction import reduce_axes
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor, numpy_type
from scaling_tasks.shapes.size_inputs import SizeInput


@operator("MaxPool")
def follow_max_pool(op: Operation) -> Sequence[Tensor]:
    """Follow MaxPool: padding must not be larger than what is valid."""
    _one_by_one(op)
    even_out(op, [int(each) for each in op.attribute("kernel_shape")], -math.inf)
    found, lengths = _pooled(op)
    reached = _reached(op, found, lengths)
    tensor = op.input(0)
    if all(tensor.fills.get(axis) == 0 for axis in reached) and tensor.low >= 0:
        reached = []  # Zeros change no maximum of numbers that are not negative.
    fill = 0.0 if tensor.low >= 0 and tensor.finite else -math.inf
    tensor = op.clean(0, reached, fill)
    axes = _axes(op, tensor, found, lengths)
    if len(op.node.output) > 1 and op.node.output[1]:
        raise Refused("its second output numbers positions of the padded tensor")
    return [op.result(axes, tensor.dtype, finite=tensor.finite, low=op.input(0).low, high=tensor.high)]


@operator("AveragePool")
def follow_average_pool(op: Operation) -> Tensor:
    """Follow AveragePool: padding must be zero, and a window at the end is divided by what it truly holds."""
    counted, image = bool(op.attribute("count_include_pad", 0)), op.input(0)
    automatic = Operation(type(op.node).FromString(op.node.SerializeToString()), [image], op.around)
    kernel = [int(each) for each in op.attribute("kernel_shape")]
    _one_by_one(op)
    if even_out(op, kernel, 0.0):
        _count_zeros(op)
        found, lengths = _pooled(op)
        low, high = min(image.low, 0.0), max(image.high, 0.0)
        axes = _axes(op, op.input(0), found, lengths)
        result = op.result(axes, image.dtype, finite=op.input(0).finite, low=low, high=high)
        return result if counted else _divided(op, result, automatic, kernel)
    found, lengths = _pooled(op)
    tensor = op.clean(0, _reached(op, found, lengths), 0.0)
    axes = _axes(op, tensor, found, lengths)
    wrong = [
        (at, window)
        for at, (window, out) in enumerate(zip(found, lengths, strict=True))
        if tensor.known_axes[at + 2].variables and not window.is_point and _counts_differ(op, at, window, out, counted)
    ]
    result = op.result(axes, tensor.dtype, finite=tensor.finite, low=min(tensor.low, 0.0), high=max(tensor.high, 0.0))
    return _corrected(op, result, wrong, counted=counted) if wrong else result


def _count_zeros(op: Operation) -> None:
    from onnx import helper

    kept = [attribute for attribute in op.node.attribute if attribute.name != "count_include_pad"]
    del op.node.attribute[:]
    op.node.attribute.extend([*kept, helper.make_attribute("count_include_pad", 1)])


def _divided(op: Operation, result: Tensor, automatic: Operation, kernel: Sequence[int]) -> Tensor:
    """Divide what the pool gives, zeros around the image included, by the share of the image in each window.

    That share is what the same pool gives of ones.
    """
    emitter, image = op.emitter, automatic.input(0)
    spatial = [grid(axis.length) for axis in image.known_axes[2:]]
    padded = [at + 2 for at, axis in enumerate(spatial) if axis.variables]
    fixed = [int(axis.constant or 1) for axis in spatial]
    ones = Tensor("", image.dtype, (image.known_axes[0], grid(1), *spatial), low=0.0, high=1.0)
    name = emitter.once("Mul", [op.around.cleaner.valid(ones, padded), _number(op, image, np.ones([1, 1, *fixed]))])
    rows = image.known_axes[0] if op.rows is not None and image.known_axes[0].has_factor(op.rows) else grid(1)
    axes = (rows, *ones.known_axes[1:])
    automatic.use(0, replace(ones, name=name, axes=axes, fills=dict.fromkeys(padded, 0.0)))
    even_out(automatic, kernel, 0.0)
    _count_zeros(automatic)
    automatic.node.output[0] = share = emitter.fresh("share")
    automatic.node.name = share
    emitter.nodes.append(automatic.node)
    least = _number(op, image, np.array(1 / math.prod(kernel)))
    op.node.output[0] = raw = emitter.fresh("pooled")
    emitter.nodes.append(op.node)
    emitter.into(result.name, "Div", [raw, emitter.node("Max", [share, least])])
    op.replaced = True
    return result


def _number(op: Operation, like: Tensor, value: NDArray[Any]) -> str:
    return op.emitter.constant(value.astype(numpy_type(like.dtype)))


def _corrected(op: Operation, result: Tensor, wrong: Sequence[tuple[int, Window]], *, counted: bool) -> Tensor:
    """Multiply what the pool gives by how many elements its windows hold here over how many at the exact size."""
    emitter, cleaner = op.emitter, op.around.cleaner
    tensor = op.input(0)
    raw = emitter.fresh("pooled")
    op.node.output[0] = raw
    emitter.nodes.append(op.node)
    op.replaced = True
    last = raw
    for number, (at, window) in enumerate(wrong):
        old = tensor.known_axes[at + 2]
        numbers = (window.kernel, window.stride, window.dilation, window.before, window.after, int(counted))
        spec = SizeInput("", "count", "float32", expressions=(old.length.expression(),), window=numbers)
        ratio = cleaner.companion(result, [at + 2], spec)
        op.newly_cleaned |= op.padded(old)
        if number == len(wrong) - 1:
            emitter.into(result.name, "Mul", [last, ratio])
        else:
            last = emitter.node("Mul", [last, ratio])
    return op.result(result.axes, result.dtype, finite=result.finite, low=result.low, high=result.high).named(
        result.name
    )


def _counts_differ(op: Operation, at: int, window: Window, out: Length, counted: bool) -> bool:
    """Whether some window of an exact size holds another number of elements than at a larger size."""
    length = op.input(0).known_axes[at + 2].length
    end = op.domain.values(out - 1) * window.stride - window.before + window.span
    edge = op.domain.values(length) + (window.after if counted else 0)
    return bool((end > edge).any())


@operator("QLinearAveragePool", domain="com.microsoft")
def follow_quantised_average_pool(op: Operation) -> Tensor:
    """Follow the average of quantised numbers, by windows that hold as many at every size."""
    if op.attribute("channels_last", 0):
        raise Refused("its channels come last")
    found, lengths = _pooled(op)
    counted = bool(op.attribute("count_include_pad", 0))
    for at, (window, out) in enumerate(zip(found, lengths, strict=True)):
        varies = op.padded(op.input(0).known_axes[at + 2]) and not window.is_point
        if varies and _counts_differ(op, at, window, out, counted):
            raise Refused("it takes a quantised mean over a number of positions that follows the sizes")
    if not clean_to_zero_point(op, 0, _reached(op, found, lengths), 2):
        raise Refused("what it takes for zero differs by channel")
    tensor = op.input(0)
    return op.result(_axes(op, tensor, found, lengths), tensor.dtype, low=-128.0, high=255.0)


@operator("LpPool")
def follow_lp_pool(op: Operation) -> Tensor:
    """Follow LpPool: zeros add nothing to a norm."""
    _one_by_one(op)
    even_out(op, [int(each) for each in op.attribute("kernel_shape")], 0.0)
    found, lengths = _pooled(op)
    tensor = op.clean(0, _reached(op, found, lengths), 0.0)
    return op.result(_axes(op, tensor, found, lengths), tensor.dtype, finite=tensor.finite, low=0.0)


@operator("GlobalLpPool")
def follow_global_lp(op: Operation) -> Tensor:
    """Follow GlobalLpPool: the norm over all axes but the first two."""
    return reduce_axes(op, list(range(2, op.input(0).rank)), keep=True, how="sum")


@operator("GlobalAveragePool")
def follow_global_average(op: Operation) -> Tensor:
    """Follow GlobalAveragePool: the mean over all axes but the first two."""
    return reduce_axes(op, list(range(2, op.input(0).rank)), keep=True, how="mean")


@operator("GlobalMaxPool")
def follow_global_max(op: Operation) -> Tensor:
    """Follow GlobalMaxPool."""
    return reduce_axes(op, list(range(2, op.input(0).rank)), keep=True, how="max")


def _pooled(op: Operation) -> tuple[list[Window], list[Length]]:
    """Return windows and output lengths; axes that a window goes over are brought to lie from their start."""
    tensor = op.input(0)
    kernel = [int(each) for each in op.attribute("kernel_shape")]
    found = windows(op, kernel, [axis.length for axis in tensor.known_axes[2:]])
    lengths = []
    for at, window in enumerate(found):
        axis = tensor.known_axes[at + 2]
        if axis.variables and not window.is_point:
            axis = op.mix(0, at + 2)
        if axis.variables and window.dilation > 1:
            # A shorter axis may lie between the positions of a window, which then holds nothing.
            op.positive(axis.length - (window.dilation - 1), f"a step of {window.dilation} passes over {axis.length}")
        lengths.append(_length(op, window, axis.length))
    return found, lengths


def _one_by_one(op: Operation) -> None:
    """Make sure that automatic padding is not that of windows whose elements lie apart.

    Raises:
        Refused: It is.
    """
    if str(op.attribute("auto_pad", "")).startswith("SAME") and any(
        each > 1 for each in op.attribute("dilations") or ()
    ):
        raise Refused("runtimes do not agree in what auto_pad adds to dilated windows", "Export it with explicit pads.")


def _length(op: Operation, window: Window, length: Length) -> Length:
    if window.is_point:
        return length
    if not op.attribute("ceil_mode", 0) or str(op.attribute("auto_pad", "")).startswith("SAME"):
        return output_length(op, window, length)
    room = length + (window.before + window.after - window.span)
    # Rounded up, a kernel counts that begins inside and would end behind the axis, by less than its stride.
    op.positive(room + window.stride, f"a kernel of {window.span} does not fit into {length}")
    # The last window has to start inside the axis or in what is added before it.
    starts = (length + (window.before - 1)) // window.stride + 1
    return smaller((room + (window.stride - 1)) // window.stride + 1, starts)


def _reached(op: Operation, found: Sequence[Window], lengths: Sequence[Length]) -> list[int]:
    axes = op.input(0).known_axes
    return [
        at + 2
        for at, (window, out) in enumerate(zip(found, lengths, strict=True))
        if axes[at + 2].variables and not window.is_point and reaches_padding(op, window, axes[at + 2].length, out)
    ]


def _axes(op: Operation, tensor: Tensor, found: Sequence[Window], lengths: Sequence[Length]) -> list:  # type: ignore[type-arg]
    spatial = [
        tensor.known_axes[at + 2] if window.is_point else grid(out)
        for at, (window, out) in enumerate(zip(found, lengths, strict=True))
    ]
    return [*tensor.known_axes[:2], *spatial]
