"""Operators that read or write positions by number."""

from __future__ import annotations

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput


@operator("Gather")
def follow_gather(op: Operation) -> Tensor:
    """Follow Gather: constant numbers, or computed ones."""
    data, indices = op.input(0), op.input(1)
    place = op.axis(int(op.attribute("axis", 0)), data.rank)
    axis = data.known_axes[place]
    if axis.variables:
        op.mixes(axis)
        if axis.is_prefix or op.padded(axis):
            data = op.compact(0, place)
    if indices.is_constant and indices.value is not None:
        numbers = indices.value.reshape(-1)
        if op.padded(axis) and bool((numbers < 0).any()):
            return _from_end(op, place)
    else:
        _safe_numbers(op, 1, op.padded(axis))
        indices = op.input(1)
    data = op.input(0)
    axes = [*data.known_axes[:place], *indices.known_axes, *data.known_axes[place + 1 :]]
    fills = {at: fill for at, fill in data.fills.items() if at < place}
    fills |= {at + indices.rank - 1: fill for at, fill in data.fills.items() if at > place}
    if not indices.is_constant:
        fills |= {place + at: data.uniform for at in range(indices.rank) if data.uniform is not None}
    return op.result(axes, data.dtype, fills=fills, finite=data.finite, low=data.low, high=data.high)


def _from_end(op: Operation, place: int) -> Tensor:
    """Take the position that is so far from the end at the exact size: by a mask, which can differ per row."""
    data, numbers = op.input(0), op.value_of(1)
    assert numbers is not None
    if numbers.size != 1 or numbers.ndim > 1:
        raise Refused("it takes several positions counted from the end")
    length = data.known_axes[place].length
    position = length + int(numbers.reshape(-1)[0])
    op.newly_cleaned |= op.padded(data.known_axes[place])
    if not data.finite or data.dtype not in (1, 10, 11):
        target = grid(1)
        taken = op.around.cleaner.gather(data, place, target, position, 1, "step")
        name = taken.name
        if numbers.ndim == 0:
            name = _squeezed(op, name, place)
        op.emitter.into(op.node.output[0], "Identity", [name])
    else:
        spec = SizeInput("", "at", "float32", expressions=(position.expression(),))
        chosen = op.emitter.node("Mul", [data.name, op.around.cleaner.companion(data, [place], spec)])
        summed = op.emitter.reduce("ReduceSum", chosen, [place], keepdims=int(numbers.ndim > 0))
        op.emitter.into(op.node.output[0], "Identity", [summed])
    op.replaced = True
    kept = [grid(1)] if numbers.ndim else []
    axes = [*data.known_axes[:place], *kept, *data.known_axes[place + 1 :]]
    shift = len(kept) - 1
    fills = {at if at < place else at + shift: fill for at, fill in data.fills.items() if at != place}
    return op.result(axes, data.dtype, fills=fills, finite=data.finite, low=data.low, high=data.high)


def _squeezed(op: Operation, name: str, place: int) -> str:
    if op.opset < 13:
        return op.emitter.node("Squeeze", [name], axes=[place])
    return op.emitter.node("Squeeze", [name, op.emitter.constant(np.array([place], np.int64))])


def _safe_numbers(op: Operation, index: int, over: frozenset[str]) -> None:
    """Make computed numbers of padding point somewhere, and those of an axis that is padded count from its start.

    Raises:
        Refused: They may be counted from the end, which lies elsewhere in the bucket.
    """
    indices = op.input(index)
    if over and indices.low < 0:
        raise Refused("computed positions may be counted from the end, which lies elsewhere in a bucket")
    padded = [at for at, axis in enumerate(indices.known_axes) if op.padded(axis)]
    if any(not 0 <= indices.fills.get(at, -1.0) <= 0 for at in padded):
        # Numbers computed from padding may lie outside of what is read.
        if indices.low >= 0 and _bounded_by_sizes(indices):
            return
        op.clean(index, padded, 0.0)


def _bounded_by_sizes(indices: Tensor) -> bool:
    """Whether no number can be larger than the bucket, which is the model's own affair."""
    return False if indices.high == float("inf") else indices.high < 1 << 31


@operator("GatherElements")
def follow_gather_elements(op: Operation) -> Tensor:
    """Follow GatherElements."""
    data, indices = op.input(0), op.input(1)
    place = op.axis(int(op.attribute("axis", 0)), data.rank)
    if data.known_axes[place].variables:
        op.mixes(data.known_axes[place])
        op.compact(0, place)
    for at in range(data.rank):
        if at != place and data.known_axes[at].variables | indices.known_axes[at].variables:
            op.same_axis(0, at, 1, at)
    _safe_numbers(op, 1, op.padded(data.known_axes[place]))
    data, indices = op.input(0), op.input(1)
    return op.result(indices.known_axes, data.dtype, finite=data.finite, low=data.low, high=data.high)


@operator("GatherND")
def follow_gather_nd(op: Operation) -> Tensor:
    """Follow GatherND."""
    data, indices = op.input(0), op.input(1)
    batch = int(op.attribute("batch_dims", 0))
    depth = indices.known_axes[-1].constant
    if depth is None:
        raise Refused("how many axes it reads along follows the sizes of the request")
    for at in range(batch):
        op.same_axis(0, at, 1, at)
    over: frozenset[str] = frozenset()
    for at in range(batch, batch + depth):
        if data.known_axes[at].variables:
            op.mixes(data.known_axes[at])
            op.compact(0, at)
            over |= op.padded(data.known_axes[at])
    _safe_numbers(op, 1, over)
    data, indices = op.input(0), op.input(1)
    axes = [*indices.known_axes[:-1], *data.known_axes[batch + depth :]]
    return op.result(axes, data.dtype, finite=data.finite, low=data.low, high=data.high)


@operator("ScatterND", "ScatterElements", "Scatter")
def follow_scatter(op: Operation) -> Tensor:
    """Follow writing by number where no number belongs to padding."""
    data, indices, updates = op.input(0), op.input(1), op.input(2)
    if any(op.padded(axis) for axis in indices.known_axes):
        raise Refused("numbers that belong to padding may write to valid positions")
    for axis in indices.known_axes:
        if axis.variables:
            op.mixes(axis)
    if indices.low < 0 and any(op.padded(axis) for axis in data.known_axes):
        raise Refused("positions to write to may be counted from the end, which lies elsewhere in a bucket")
    return op.result(
        data.known_axes,
        data.dtype,
        finite=data.finite and updates.finite,
        low=min(data.low, updates.low),
        high=max(data.high, updates.high),
    )


@operator("ReverseSequence")
def follow_reverse_sequence(op: Operation) -> Tensor:
    """Follow ReverseSequence: it turns round what its lengths say, wherever the tensor ends."""
    tensor = op.input(0)
    time = tensor.known_axes[op.axis(int(op.attribute("time_axis", 0)), tensor.rank)]
    if not time.is_prefix:
        raise Refused("its time axis is a flattened grid")
    if op.rows is not None and op.rows in time.variables:
        op.mixes(time)
    return op.result(tensor.known_axes, tensor.dtype, finite=tensor.finite, low=tensor.low, high=tensor.high)
