"""Quantisation, and products and convolutions of quantised numbers, whose zero is their zero point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.lengths import product_of
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.elementwise import broadcast
from scaling_tasks.analysis.operators.movement import concatenated
from scaling_tasks.analysis.operators.products import clean_to_zero_point
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Dequantised, Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

_FLOAT, _UINT8, _INT32 = 1, 2, 6
_RANGES = {2: (0.0, 255.0), 3: (-128.0, 127.0), 4: (0.0, 65535.0), 5: (-32768.0, 32767.0)}


__all__ = ["clean_for_one_scale", "follow_dequantise", "follow_quantise"]


@operator("QuantizeLinear")
def follow_quantise(op: Operation) -> Tensor:
    """Follow QuantizeLinear: one scale, or one per position of an axis of fixed length."""
    tensor = op.input(0)
    _scales_are_fixed(op)
    dtype = op.input(2).dtype if op.has(2) else int(op.attribute("output_dtype", 0)) or _UINT8
    low, high = _RANGES.get(dtype, (-np.inf, np.inf))
    scale, zero = _uniform(op, 1), _uniform(op, 2) if op.has(2) else 0.0
    fills = {}
    if scale is not None and zero is not None and dtype in _RANGES:
        for axis, fill in tensor.fills.items():
            fills[axis] = float(np.clip(np.rint(np.float32(fill) / np.float32(scale)) + zero, low, high))
    return op.result(tensor.known_axes, dtype, fills=fills, low=low, high=high)


@operator("DequantizeLinear")
def follow_dequantise(op: Operation) -> Tensor:
    """Follow DequantizeLinear: one scale, or one per position of an axis of fixed length."""
    tensor = op.input(0)
    _scales_are_fixed(op)
    from onnx import helper

    scale, zero = _uniform(op, 1), _uniform(op, 2) if op.has(2) else 0.0
    known: dict[str, Any] = {}
    if scale is not None and zero is not None and scale > 0:
        known["fills"] = {axis: (fill - zero) * scale for axis, fill in tensor.fills.items()}
        known["low"], known["high"] = (tensor.low - zero) * scale, (tensor.high - zero) * scale
    if zero is not None:
        own = {each.name: helper.get_attribute_value(each) for each in op.node.attribute}
        known["dequantised"] = Dequantised(tensor, tuple(op.node.input[1:]), zero, own)
    return op.result(tensor.known_axes, op.input(1).dtype, **known)


@operator("DynamicQuantizeLinear")
def follow_dynamic_quantise(op: Operation) -> Sequence[Tensor]:
    """Follow DynamicQuantizeLinear, whose scale follows all numbers and 0: padding must be 0."""
    tensor = clean_for_one_scale(op)
    return [
        op.result(tensor.known_axes, _UINT8, low=0.0, high=255.0),
        op.result([], tensor.dtype, output=1, low=0.0),
        op.result([], _UINT8, output=2, low=0.0, high=255.0),
    ]


def clean_for_one_scale(op: Operation) -> Tensor:
    """Make input 0 hold zeros beyond its ends, whose numbers one scale is found for, and return it."""
    for at, axis in enumerate(op.input(0).known_axes):
        if axis.variables:
            op.mixes(axis)
        if op.padded(axis):
            op.clean(0, [at], 0.0)
    return op.input(0)


def _scales_are_fixed(op: Operation) -> None:
    if op.attribute("block_size", 0) or any(t is not None and t.variables for t in op.inputs[1:]):
        raise Refused("its scales follow the sizes of the request")


def _uniform(op: Operation, index: int) -> float | None:
    tensor = op.inputs[index]
    return tensor.uniform if tensor is not None else None


@operator("QLinearSigmoid", "QLinearLeakyRelu", domain="com.microsoft")
def follow_quantised_unary(op: Operation) -> Tensor:
    """Follow an operator of one quantised tensor: ``x``, its scale and zero point, those of the result."""
    return op.result(op.input(0).known_axes, op.input(0).dtype, low=-128.0, high=255.0)


@operator("QLinearAdd", "QLinearMul", domain="com.microsoft")
def follow_quantised_binary(op: Operation) -> Tensor:
    """Follow an operator of two quantised tensors, each with scale and zero point."""
    return op.result(broadcast(op, [0, 3]), op.input(0).dtype, low=-128.0, high=255.0)


@operator("QLinearWhere", domain="com.microsoft")
def follow_quantised_choice(op: Operation) -> Tensor:
    """Follow the choice between two quantised tensors, each with scale and zero point."""
    return op.result(broadcast(op, [0, 1, 4]), op.input(1).dtype, low=-128.0, high=255.0)


@operator("QLinearConcat", domain="com.microsoft")
def follow_quantised_concat(op: Operation) -> Tensor:
    """Follow the concatenation of quantised tensors: scale and zero point of the result, then three inputs for each."""
    whole = concatenated(op, list(range(2, len(op.inputs), 3)))
    # Each is brought to the scale of the result, padding too.
    return op.result(whole.known_axes, whole.dtype, low=-128.0, high=255.0)


@operator("QLinearGlobalAveragePool", domain="com.microsoft")
def follow_quantised_global_average(op: Operation) -> Tensor:
    """Follow the mean over all positions: of those of padding nothing is added, and the true number divides."""
    rank = op.input(0).rank
    space = range(1, rank - 1) if op.attribute("channels_last", 0) else range(2, rank)
    for at in space:
        op.mixes(op.input(0).known_axes[at])
    padded = [at for at in space if op.padded(op.input(0).known_axes[at])]
    if padded and not clean_to_zero_point(op, 0, padded, 2):
        raise Refused("what it takes for zero differs by channel")
    tensor = op.input(0)
    axes = [grid(1) if at in space else axis for at, axis in enumerate(tensor.known_axes)]
    result = op.result(axes, tensor.dtype, low=-128.0, high=255.0)
    if padded:
        _mean_of_true_number(op, result, space)
    return result


def _mean_of_true_number(op: Operation, result: Tensor, space: Sequence[int]) -> None:
    """Compute a quantised mean in the order in which onnxruntime does, so that it is rounded alike."""
    emitter, tensor, (name, scale, point) = op.emitter, op.input(0), op.node.input[:3]
    low, high = _RANGES[tensor.dtype]
    numbers = (
        emitter.once("Sub", [emitter.cast(name, _INT32), emitter.cast(point, _INT32)])
        if point
        else emitter.cast(name, _INT32)
    )
    total = emitter.cast(emitter.reduce("ReduceSum", numbers, list(space), keepdims=1), _FLOAT)
    count = product_of(tensor.known_axes[at].length for at in space)
    spec = SizeInput("", "value", "float32", expressions=(count.expression(),))
    true = op.around.cleaner.companion(result, [], spec, dtype=_FLOAT)
    factor = emitter.node("Div", [scale, emitter.node("Mul", [op.node.input[3], true])])
    mean = emitter.node("Round", [emitter.node("Mul", [total, factor])])
    own = op.node.input[4] if len(op.node.input) > 4 else ""
    mean = emitter.node("Add", [mean, emitter.cast(own, _FLOAT)]) if own else mean
    ends = [emitter.constant(np.array(end, np.float32)) for end in (low, high)]
    emitter.into(result.name, "Cast", [emitter.node("Clip", [mean, *ends])], to=tensor.dtype)
    op.replaced = True


@operator("QLinearSoftmax", domain="com.microsoft")
def follow_quantised_softmax(op: Operation) -> Tensor:
    """Follow a softmax over an axis without padding; the least quantised number still has a weight."""
    tensor = op.input(0)
    first = op.axis(int(op.attribute("axis", -1)), tensor.rank)
    for at in [first] if int(op.attribute("opset", 13)) >= 13 else range(first, tensor.rank):
        op.mixes(tensor.known_axes[at])
        if op.padded(tensor.known_axes[at]):
            raise Refused("no quantised number is small enough to have no weight in its softmax")
    return op.result(tensor.known_axes, tensor.dtype, low=-128.0, high=255.0)


@operator("QGemm", domain="com.microsoft")
def follow_quantised_gemm(op: Operation) -> Tensor:
    """Follow a product of quantised matrices whose contracted axis is no padding: ``A, B`` and ``C``."""
    turned = [bool(op.attribute("transA", 0)), bool(op.attribute("transB", 0))]
    axis = op.same_axis(0, 0 if turned[0] else 1, 3, 1 if turned[1] else 0)
    op.mixes(axis)
    if op.padded(axis):
        raise Refused("it sums quantised numbers over an axis that follows the sizes")
    axes = [op.input(0).known_axes[int(turned[0])], op.input(3).known_axes[1 - int(turned[1])]]
    return op.result(axes, op.input(8).dtype if op.has(8) else 1)
