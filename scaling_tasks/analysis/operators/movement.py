"""Operators that move axes or copy positions: what padding holds goes with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid, join
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation, Refused, merged_fills
from scaling_tasks.analysis.operators.gathering import from_start
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.shapes_of_data import wanted_lengths
from scaling_tasks.analysis.tensors import Tensor, numpy_type

__all__ = ["concatenated"]


@operator("Transpose")
def follow_transpose(op: Operation) -> Tensor:
    """Follow Transpose."""
    tensor = op.input(0)
    order = [int(axis) for axis in op.attribute("perm") or range(tensor.rank - 1, -1, -1)]
    fills = merged_fills(tensor.fills, {old: new for new, old in enumerate(order)})
    axes = [tensor.known_axes[axis] for axis in order]
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


@operator("ExpandDims", sizes=(1,), domain="com.microsoft")
@operator("Unsqueeze", sizes=(1,))
def follow_unsqueeze(op: Operation) -> Tensor:
    """Follow Unsqueeze."""
    tensor = op.input(0)
    given = op.constants(1, "axes") or []
    rank = tensor.rank + len(given)
    added = sorted(op.axis(axis, rank) for axis in given)
    kept = [axis for axis in range(rank) if axis not in added]
    old = {new: at for at, new in enumerate(kept)}
    axes = [grid(1) if axis in added else tensor.known_axes[old[axis]] for axis in range(rank)]
    return _moved(op, tensor, axes, {at: new for new, at in old.items()})


@operator("Squeeze", sizes=(1,))
def follow_squeeze(op: Operation) -> Tensor:
    """Follow Squeeze; without axes, those that are 1 at all sizes go."""
    tensor = op.input(0)
    given = op.constants(1, "axes")
    if given is None:
        gone = {at for at, axis in enumerate(tensor.known_axes) if op.domain.constant(axis.length) == 1}
        for at, axis in enumerate(tensor.known_axes):
            if at not in gone and bool((op.domain.values(axis.length) == 1).any()):
                raise Refused(
                    f"it removes whichever axis has one position, and {axis.length} is 1 at some sizes",
                    "Export the model with the axes that it removes.",
                )
    else:
        gone = {op.axis(axis, tensor.rank) for axis in given}
    for place in gone:
        length = tensor.known_axes[place].length
        if op.domain.constant(length) != 1 and not op.domain.require(length, as_length(1)):
            raise Refused(f"axis {place} has the length {length}, never 1")
    kept = [axis for axis in range(tensor.rank) if axis not in gone]
    return _moved(op, tensor, [tensor.known_axes[axis] for axis in kept], {old: new for new, old in enumerate(kept)})


@operator("Expand", sizes=(1,))
def follow_expand(op: Operation) -> Tensor:
    """Follow Expand: a copy along an axis is the same in the padding."""
    tensor = op.input(0)
    lengths = wanted_lengths(op, 1)
    rank = max(tensor.rank, len(lengths))
    axes: list[Axis] = []
    for place in range(-rank, 0):
        own = tensor.known_axes[place] if tensor.rank >= -place else grid(1)
        wanted = lengths[place] if len(lengths) >= -place else as_length(1)
        if own.constant == 1:
            axes.append(op.data_axis(f"{op.node.output[0]}_{rank + place}") if wanted is None else grid(wanted))
        elif wanted is None:
            raise Refused(f"{own.length} is expanded to as many as data says")
        elif wanted.constant == 1 or op.domain.equal(wanted, own.length) or op.domain.require(wanted, own.length):
            axes.append(own)
        else:
            raise Refused(f"{own.length} is expanded to {wanted}")
    offset = rank - tensor.rank
    fills = {axis + offset: fill for axis, fill in tensor.fills.items()}
    if tensor.uniform is not None:
        fills |= {at: tensor.uniform for at in range(rank) if at not in fills}
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


@operator("Tile", sizes=(1,))
def follow_tile(op: Operation) -> Tensor:
    """Follow Tile: copies one after another."""
    tensor = op.input(0)
    axes: list[Axis] = []
    fills = dict(tensor.fills)
    for at, (axis, repeat) in enumerate(zip(tensor.known_axes, op.numbers(1) or [], strict=True)):
        number = op.domain.constant(repeat)
        if number is None:
            fills.pop(at, None)  # The copies that are too many are no padding.
        if number == 1:
            axes.append(axis)
        elif axis.constant == 1:
            axes.append(grid(repeat))
        elif len(axis.pieces) == 1:
            axes.append(Axis(((repeat, *axis.pieces[0]),)))
        elif number is not None and number <= 16:
            axes.append(join([axis] * number))
        else:
            raise Refused(f"an axis of several pieces is repeated {repeat} times")
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


@operator("Concat")
def follow_concat(op: Operation) -> Tensor:
    """Follow Concat: pieces one after another; along the other axes all inputs lie alike."""
    return concatenated(op, range(len(op.inputs)))


def concatenated(op: Operation, indices: Sequence[int]) -> Tensor:
    """Return what the inputs of these numbers are one after another."""
    first = op.input(indices[0])
    at = op.axis(int(op.attribute("axis", 0)), first.rank)
    axes = list(first.known_axes)
    for index in indices[1:]:
        for axis in range(first.rank):
            if axis != at:
                axes[axis] = op.same_axis(indices[0], axis, index, axis)
    tensors = [op.input(index) for index in indices]
    axes = [tensors[0].known_axes[axis] if axis != at else axes[axis] for axis in range(first.rank)]
    real = [t.known_axes[at] for t in tensors if t.known_axes[at].constant != 0]
    axes[at] = join(real) if real else grid(0)
    if op.rows is not None and len(real) > 1 and any(op.rows in axis.variables for axis in real):
        op.mixes(next(axis for axis in real if op.rows in axis.variables))
    fills = {}
    for axis in range(first.rank):
        numbers = {t.fills.get(axis) for t in tensors if axis != at or op.padded(t.known_axes[at])}
        if len(numbers) == 1:
            fills[axis] = numbers.pop()
    return op.result(
        axes,
        first.dtype,
        fills=fills,
        finite=all(t.finite for t in tensors),
        low=min(t.low for t in tensors),
        high=max(t.high for t in tensors),
    )


@operator("Trilu", domain="com.microsoft")
@operator("Trilu")
def follow_trilu(op: Operation) -> Tensor:
    """Follow Trilu: what it keeps is told by how far two positions are from their starts."""
    tensor = op.input(0)
    for known in tensor.known_axes[-2:]:
        op.mixes(known)
    if not all(axis.is_prefix for axis in tensor.known_axes[-2:]):
        for axis in (tensor.rank - 2, tensor.rank - 1):
            tensor = op.compact(0, axis)
    fills = {axis: fill for axis, fill in tensor.fills.items() if fill == 0}
    return op.result(
        tensor.known_axes,
        tensor.dtype,
        fills=fills,
        finite=tensor.finite,
        low=min(tensor.low, 0.0),
        high=max(tensor.high, 0.0),
    )


@operator("OneHot", sizes=(1,))
def follow_one_hot(op: Operation) -> Tensor:
    """Follow OneHot; what is counted from the end of a depth that follows the sizes is counted from its start."""
    (depth,) = op.numbers(1) or [as_length(1)]
    if depth.variables:
        op.mixes(grid(depth))
        if op.input(0).dtype not in (6, 7):
            raise Refused("how many numbers it tells apart follows the sizes of the request")
        if op.input(0).low < 0:
            from_start(op, 0, [depth])
            _tell_none_below(op)
    indices, values = op.input(0), op.input(2)
    axis = op.axis(int(op.attribute("axis", -1)), indices.rank + 1)
    axes = [*indices.known_axes[:axis], grid(depth), *indices.known_axes[axis:]]
    return op.result(axes, values.dtype, finite=values.finite, low=values.low, high=values.high)


def _tell_none_below(op: Operation) -> None:
    """Let numbers that are still negative stand for no position, which would be counted from the end once more."""
    indices, emitter = op.input(0), op.emitter
    kind = numpy_type(indices.dtype)
    below = emitter.once("Less", [indices.name, emitter.constant(np.array(0, kind))])
    none = emitter.constant(np.array(np.iinfo(kind).max, kind))
    op.use(0, indices.changed(emitter.once("Where", [below, none, indices.name]), fills={}))


@operator("DepthToSpace", "SpaceToDepth")
def follow_space(op: Operation) -> Tensor:
    """Follow the exchange of channels and positions; the valid ones stay the first where sizes are whole blocks."""
    tensor = op.input(0)
    size = int(op.attribute("blocksize"))
    batch, channels, *space = tensor.known_axes
    if not all(axis.is_prefix for axis in space):
        raise Refused("its axes are flattened grids")
    channels = _regrouped(op, channels, size * size)
    if op.kind == "DepthToSpace":
        axes = [batch, channels, *(grid(axis.length * size) for axis in space)]
    else:
        for axis in space:
            if not op.domain.equal(axis.length % size, as_length(0)) and not op.domain.require(
                axis.length, axis.length // size * size
            ):
                raise Refused(f"{axis.length} is never a multiple of {size}")
        axes = [batch, channels, *(grid(axis.length // size) for axis in space)]
    fills = {axis: fill for axis, fill in tensor.fills.items() if axis != 1}
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


def _regrouped(op: Operation, channels: Axis, count: int) -> Axis:
    """Return what becomes of channels as blocks of so many positions are moved into them, or out of them.

    They may be rows, as TensorFlow turns an image into ``count`` images for each that a dilated convolution sees.
    """
    if not channels.variables:
        length = channels.length * count if op.kind == "SpaceToDepth" else channels.length // count
        return grid(length)
    first, *others = channels.pieces[0]
    if len(channels.pieces) == 1 and op.kind == "SpaceToDepth":
        return Axis(((as_length(count), first, *others),))
    if len(channels.pieces) > 1 or first.constant != count or op.attribute("mode", "DCR") != "DCR":
        raise Refused(f"it has {channels.length} channels, a number that follows the sizes")
    return grid(*others)


def _moved(op: Operation, tensor: Tensor, axes: list[Axis], kept: dict[int, int]) -> Tensor:
    fills = merged_fills(tensor.fills, kept)
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)
