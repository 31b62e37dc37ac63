"""Normalisations: over channels nothing mixes; over an axis that follows the sizes, mean and variance are true ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

_FLOAT, _HALVES = 1, (10, 16)


@operator("BatchNormalization")
def follow_batch_normalisation(op: Operation) -> Sequence[Tensor]:
    """Follow BatchNormalization with its running statistics: a factor and an offset per channel."""
    tensor = op.input(0)
    if op.attribute("training_mode", 0):
        raise Refused("it computes statistics over the batch", "Export the model for inference.")
    offsets, means = op.value_of(2), op.value_of(3)
    still = offsets is not None and means is not None and not np.any(offsets) and not np.any(means)
    fills = {axis: 0.0 for axis, fill in tensor.fills.items() if fill == 0 and still}
    return [op.result(tensor.known_axes, tensor.dtype, fills=fills, finite=tensor.finite)]


@operator("LayerNormalization", "RMSNormalization")
def follow_layer_normalisation(op: Operation) -> Sequence[Tensor]:
    """Follow LayerNormalization and RMSNormalization over the axes from ``axis`` on."""
    tensor = op.input(0)
    axis = op.axis(int(op.attribute("axis", -1)), tensor.rank)
    over = list(range(axis, tensor.rank))
    _no_rows(op, tensor, over)
    if not any(op.padded(tensor.known_axes[at]) for at in over):
        finite = _stays_finite(op)
        high = _largest(op, over) if finite else math.inf
        axes = [grid(1) if at in over else axis for at, axis in enumerate(tensor.known_axes)]
        return [
            op.result(tensor.known_axes, tensor.dtype, finite=finite, low=-high, high=high),
            *(op.result(axes, _FLOAT, output=at, finite=finite) for at in range(1, len(op.node.output))),
        ]
    if len(op.node.output) > 1 and any(list(op.node.output)[1:]):
        raise Refused("its statistics are outputs")
    centred = op.kind == "LayerNormalization"

    def follow() -> Tensor:
        return _normalise(op, over, op.input(1), op.input(2) if op.has(2) else None, centred=centred)

    return [_in_single_precision(op, follow)]


def has_epsilon(op: Operation) -> bool:
    """Return whether equal numbers, as padding has them, give finite ones: only an epsilon keeps 0 / 0 away.

    The 1e-9 in the definition of MeanVarianceNormalization is not in all runtimes.
    """
    return op.kind != "MeanVarianceNormalization" and float(op.attribute("epsilon", 1e-5)) > 0


def _stays_finite(op: Operation) -> bool:
    return op.input(0).finite and has_epsilon(op)


def _largest(op: Operation, over: Sequence[int]) -> float:
    """Return what no normalised number is larger than: of ``n`` numbers whose mean square is 1 none is above √n."""
    lengths = [op.input(0).known_axes[at].constant for at in over]
    parts = [max(abs(each.low), abs(each.high)) for each in op.inputs[1:3] if each is not None]
    if None in lengths or not all(map(math.isfinite, parts)):
        return math.inf
    factor, *shift = parts or [1.0]
    return 1.01 * (math.sqrt(math.prod(length for length in lengths if length is not None)) * factor + sum(shift))


@operator("InstanceNormalization")
def follow_instance_normalisation(op: Operation) -> Tensor:
    """Follow InstanceNormalization: statistics per row and channel over all positions."""
    tensor = op.input(0)
    over = list(range(2, tensor.rank))
    _no_rows(op, tensor, over)
    if not any(op.padded(tensor.known_axes[at]) for at in over):
        return op.result(tensor.known_axes, tensor.dtype, finite=_stays_finite(op))
    places = [at - 1 for at in range(2, tensor.rank)]

    def follow() -> Tensor:
        names = [op.emitter.unsqueeze(op.input(index).name, places) for index in (1, 2)]
        scale, shift = (op.input(index).named(name) for index, name in zip((1, 2), names, strict=True))
        return _normalise(op, over, scale, shift, centred=True)

    return _in_single_precision(op, follow)


@operator("MeanVarianceNormalization")
def follow_mean_variance_normalisation(op: Operation) -> Tensor:
    """Follow MeanVarianceNormalization over the given axes."""
    tensor = op.input(0)
    over = sorted(op.axis(int(axis), tensor.rank) for axis in op.attribute("axes") or (0, 2, 3))
    _no_rows(op, tensor, over)
    if not any(op.padded(tensor.known_axes[at]) for at in over):
        return op.result(tensor.known_axes, tensor.dtype, finite=_stays_finite(op))
    return _in_single_precision(op, lambda: _normalise(op, over, None, None, centred=True))


@operator("LRN")
def follow_response_normalisation(op: Operation) -> Tensor:
    """Follow LRN, which looks at neighbouring channels of one position."""
    tensor = op.input(0)
    op.mix(0, 1)
    op.clean(0, [1], 0.0)
    tensor = op.input(0)
    divides = float(op.attribute("bias", 1.0)) > 0  # Else zero beside zeros is divided by zero.
    fills = {axis: 0.0 for axis, fill in tensor.fills.items() if fill == 0 and divides}
    return op.result(tensor.known_axes, tensor.dtype, fills=fills, finite=tensor.finite and divides)


@operator("LpNormalization")
def follow_lp_normalisation(op: Operation) -> Tensor:
    """Follow LpNormalization: zeros add nothing to a norm."""
    axis = op.axis(int(op.attribute("axis", -1)), op.input(0).rank)
    if op.input(0).known_axes[axis].variables:
        op.mixes(op.input(0).known_axes[axis])
        op.clean(0, [axis], 0.0)
    return op.result(op.input(0).known_axes, op.input(0).dtype, finite=False)


@operator("GroupNormalization")
def follow_group_normalisation(op: Operation) -> Tensor:
    """Follow GroupNormalization; over positions that follow the sizes it is refused."""
    tensor = op.input(0)
    over = list(range(2, tensor.rank))
    _no_rows(op, tensor, over)
    if any(op.padded(tensor.known_axes[at]) for at in over):
        return _in_single_precision(op, lambda: _group(op, op.input(0)))
    return op.result(tensor.known_axes, tensor.dtype, finite=_stays_finite(op))


def _in_single_precision(op: Operation, follow: Callable[[], Tensor]) -> Tensor:
    """Follow statistics in float32, as runtimes compute those of half precision, whose sums would overflow."""
    dtype, output = op.input(0).dtype, op.node.output[0]
    if dtype == 1:
        return follow()
    if dtype not in _HALVES:
        raise Refused("statistics over a size of the request are followed for float32 and half precision only")
    for index, tensor in enumerate(op.inputs):
        if tensor is not None and tensor.dtype == dtype:
            op.use(index, replace(tensor.changed(op.emitter.cast(tensor.name, 1)), dtype=1))
    op.node.output[0] = op.emitter.fresh("single")
    result = follow()
    op.emitter.into(output, "Cast", [op.node.output[0]], to=dtype)
    return replace(result.named(output), dtype=dtype)


def _group(op: Operation, tensor: Tensor) -> Tensor:
    """Compute the statistics of each group of channels over the valid positions.

    ``[N, C, d1, …]`` is cleaned, its sums are taken per channel and then per group, and spread over the channels again.
    """
    emitter = op.emitter
    channels = int(tensor.known_axes[1].constant or 0)
    groups = int(op.attribute("num_groups"))
    over = list(range(2, tensor.rank))
    padded = [at for at in over if op.padded(tensor.known_axes[at])]
    per_channel = op.opset >= 21
    spread = np.kron(np.eye(groups), np.ones((channels // groups, channels // groups))) / (channels // groups)
    mixing = emitter.constant(spread.astype(np.float32))

    def mean(name: str) -> str:
        summed = emitter.reduce("ReduceSum", name, over, keepdims=1)
        flat = emitter.node("Squeeze", [summed, emitter.numbers(over)])
        mixed = emitter.node("MatMul", [flat, mixing])
        return emitter.node("Mul", [emitter.unsqueeze(mixed, over), _inverse_count(op, tensor, over)])

    clean = op.clean(0, padded, 0.0)
    centre = mean(clean.name)
    mask = op.around.cleaner.valid(tensor, padded)
    away = emitter.node("Mul", [emitter.node("Sub", [clean.name, centre]), mask])
    deviation = _deviation(op, mean(emitter.node("Mul", [away, away])))
    whole = emitter.node("Div", [away, deviation])
    places = [at - 1 for at in over]
    for index, kind in ((1, "Mul"), (2, "Add")):
        name = op.input(index).name
        if not per_channel:
            factor = channels // groups
            grown = emitter.node("Unsqueeze", [name, emitter.numbers([1])])
            tiled = emitter.node("Tile", [grown, emitter.numbers([1, factor])])
            name = emitter.node("Reshape", [tiled, emitter.numbers([channels])])
        whole = _last(op, kind, whole, emitter.unsqueeze(name, places), last=kind == "Add")
    op.newly_cleaned |= {name for at in padded for name in op.padded(tensor.known_axes[at])}
    op.replaced = True
    return op.result(tensor.known_axes, tensor.dtype, finite=_stays_finite(op))


def _normalise(
    op: Operation, over: Sequence[int], scale: Tensor | None, shift: Tensor | None, *, centred: bool
) -> Tensor:
    """Write the normalisation out, with sums over valid positions and the true count: (x - mean) / sqrt(var + ε).

    Without a scale ε is added to the deviation instead (definition of MeanVarianceNormalization).
    """
    emitter, tensor = op.emitter, op.input(0)
    padded = [at for at in over if op.padded(tensor.known_axes[at])]
    _aligned(op, scale, tensor)
    inverse = _inverse_count(op, tensor, over)
    clean = op.clean(0, padded, 0.0)
    away = clean.name
    if centred:
        total = emitter.reduce("ReduceSum", clean.name, over, keepdims=1)
        mask = op.around.cleaner.valid(tensor, padded)
        away = emitter.node("Sub", [away, emitter.node("Mul", [total, inverse])])
        away = emitter.node("Mul", [away, mask])
    squares = emitter.reduce("ReduceSum", emitter.node("Mul", [away, away]), over, keepdims=1)
    variance = emitter.node("Mul", [squares, inverse])
    if scale is None:
        deviation = emitter.node("Add", [emitter.node("Sqrt", [variance]), _number(op, 1e-9)])
        _last(op, "Div", away, deviation, last=True)
    else:
        whole = emitter.node("Div", [away, _deviation(op, variance)])
        whole = _last(op, "Mul", whole, scale.name, last=shift is None)
    if shift is not None:
        _last(op, "Add", whole, shift.name, last=True)
    op.newly_cleaned |= {name for at in padded for name in op.padded(tensor.known_axes[at])}
    op.replaced = True
    return op.result(tensor.known_axes, tensor.dtype, finite=_stays_finite(op))


def _last(op: Operation, kind: str, left: str, right: str, *, last: bool) -> str:

    if not last:
        return op.emitter.node(kind, [left, right])
    op.emitter.into(op.node.output[0], kind, [left, right])
    return str(op.node.output[0])


def _deviation(op: Operation, variance: str) -> str:
    epsilon = _number(op, float(op.attribute("epsilon", 1e-5)))
    return op.emitter.node("Sqrt", [op.emitter.node("Add", [variance, epsilon])])


def _number(op: Operation, value: float) -> str:
    return op.emitter.constant(np.array(value, np.float32))


def _inverse_count(op: Operation, tensor: Tensor, over: Sequence[int]) -> str:
    """Return one over the true number of positions, to be multiplied with sums."""
    count = as_length(1)
    fixed = 1
    for axis in over:
        length = tensor.known_axes[axis].length
        fixed, count = (fixed * int(length.constant), count) if length.constant else (fixed, count * length)
    spec = SizeInput("", "value", "float32", expressions=(count.expression(),))
    name = op.around.cleaner.companion(tensor, [], spec)
    whole = op.emitter.once("Mul", [name, op.emitter.constant(np.array(fixed, np.float32))]) if fixed != 1 else name
    return op.emitter.once("Div", [op.emitter.constant(np.array(1, np.float32)), whole])


def _no_rows(op: Operation, tensor: Tensor, over: Sequence[int]) -> None:
    for axis in over:
        if tensor.known_axes[axis].variables:
            op.mixes(tensor.known_axes[axis])


def _aligned(op: Operation, scale: Tensor | None, tensor: Tensor) -> None:
    if scale is not None and scale.variables:
        raise Refused("its factors follow the sizes of the request")
