"""Reading by number that takes every position where it is: no more than a change of shape, which mixes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length, product_of
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["every_position", "every_vector"]


def every_position(op: Operation, place: int) -> Tensor | None:
    """Follow a Gather whose numbers count the positions of a flattened grid, ``row · width + column``.

    Exporters write the reading of a mask by rows and columns so. None where it is not that.
    """
    data, indices = op.input(0), op.input(1)
    axis = data.known_axes[place]
    told = indices.position
    if told is None or len(axis.pieces) != 1 or op.opset < 10:
        return None
    lengths = [length for length in axis.pieces[0] if length.constant != 1]
    if told.first.terms:
        return None
    stride, read = as_length(1), {}
    for at in sorted(told.steps, reverse=True):
        # One axis of the numbers may count several lengths, as rows and columns of an image.
        own: list[Length] = []
        while lengths and not (own and op.domain.equal(product_of(own), indices.known_axes[at].length)):
            own.insert(0, lengths.pop())
        read[at] = grid(*own)
        if not _counts(op, indices.known_axes[at], read[at].length) or not op.domain.equal(told.steps[at], stride):
            return None
        stride = stride * read[at].length
    return None if lengths else _reshaped(op, place, 1, read, indices.rank)


def every_vector(op: Operation) -> Tensor | None:
    """Follow a GatherND whose numbers count the positions along each axis; None where it is not that."""
    data, indices = op.input(0), op.input(1)
    if int(op.attribute("batch_dims", 0)) or len(indices.positions) != indices.known_axes[-1].constant:
        return None
    read: dict[int, Axis] = {}
    for at, told in enumerate(indices.positions):
        if told is None or told.first.terms or len(told.steps) != 1:
            return None
        ((place, step),) = told.steps.items()
        own = data.known_axes[at]
        if step.constant != 1 or not _counts(op, indices.known_axes[place], own.length):
            return None
        if any(before >= place for before in read):
            return None
        read[place] = own
    return _reshaped(op, 0, len(read), read, indices.rank - 1)


def _counts(op: Operation, axis: Axis, length: Length) -> bool:
    return axis.is_prefix and op.domain.equal(axis.length, length)


def _reshaped(op: Operation, place: int, depth: int, read: Mapping[int, Axis], rank: int) -> Tensor:
    """Give the axes from ``place`` on the shape of the numbers, of ``rank`` axes, and repeat along the others.

    Args:
        op: The operator.
        place: The first axis that is read along.
        depth: How many there are.
        read: By axis of the numbers what it reads.
        rank: How many axes the numbers have.
    """
    data, indices, emitter = op.input(0), op.input(1), op.emitter
    before = [emitter.part_of_shape(data.name, 0, place)] if place else []
    after = [emitter.part_of_shape(data.name, place + depth, data.rank)] if place + depth < data.rank else []
    one = emitter.numbers([1])
    own = [emitter.part_of_shape(indices.name, at, at + 1) if at in read else one for at in range(rank)]
    shape = emitter.once("Concat", [*before, *own, *after], axis=0)
    target = [emitter.part_of_shape(indices.name, 0, rank)] if rank else []
    whole = emitter.once("Concat", [*before, *target, *after], axis=0)
    emitter.into(op.node.output[0], "Expand", [emitter.node("Reshape", [data.name, shape]), whole])
    op.replaced = True
    numbered = [read.get(at, axis) for at, axis in enumerate(indices.known_axes[:rank])]
    axes = [*data.known_axes[:place], *numbered, *data.known_axes[place + depth :]]
    fills = {at: fill for at, fill in data.fills.items() if at < place}
    fills |= {at + rank - depth: fill for at, fill in data.fills.items() if at >= place + depth}
    inner = {data.fills.get(at) for at in range(place, place + depth) if op.padded(data.known_axes[at])}
    if len(inner) == 1 and (fill := inner.pop()) is not None:
        fills |= {place + at: fill for at in read}
    known: dict[str, Any] = {"finite": data.finite, "low": data.low, "high": data.high}
    return op.result(axes, data.dtype, fills=fills, counts_rows=data.counts_rows, **known)
