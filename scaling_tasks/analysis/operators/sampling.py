"""Operators that read at computed places: coordinates in parts of the size are made those of the bucket."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length, larger
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor, numpy_type
from scaling_tasks.shapes.size_inputs import SizeInput


@operator("GridSample", domain="com.microsoft")
@operator("GridSample")
def follow_grid_sample(op: Operation) -> Tensor:
    """Follow GridSample: ``[N, C, d1, …]`` read at ``[N, o1, …, coordinates]``, the last axis first."""
    tensor = op.input(0)
    spatial = list(range(2, tensor.rank))
    for axis in spatial:
        op.mix(0, axis)
    op.same_axis(0, 0, 1, 0)
    padded = [axis for axis in spatial if op.padded(op.input(0).known_axes[axis])]
    if padded:
        _fit(op, padded, spatial)
    tensor, places = op.input(0), op.input(1)
    axes: list[Axis] = [*tensor.known_axes[:2], *places.known_axes[1:-1]]
    return op.result(axes, tensor.dtype, finite=tensor.finite and places.finite)


def _fit(op: Operation, padded: list[int], spatial: list[int]) -> None:
    mode, beyond = str(op.attribute("mode", "linear")), str(op.attribute("padding_mode", "zeros"))
    if mode == "nearest":
        raise Refused("it takes the nearest position, which rounding may make another one in a bucket")
    if beyond == "reflection":
        raise Refused("it mirrors at the end, which lies elsewhere in a bucket")
    for axis in padded:
        if beyond == "zeros":
            op.clean(0, [axis], 0.0)
        else:
            op.newly_cleaned |= op.padded(op.input(0).known_axes[axis])
            op.use(0, op.around.cleaner.edge(op.input(0), axis))
    emitter, places, corners = op.emitter, op.input(1), int(op.attribute("align_corners", 0))
    # Coordinates begin with the last axis; those along axes that are as long in a bucket stay as they are.
    fixed = np.array([float(axis not in padded) for axis in reversed(spatial)], np.float32)
    factor = emitter.constant(fixed)
    for axis in padded:
        own = np.eye(len(spatial), dtype=np.float32)[spatial[-1] - axis]
        part = emitter.once("Mul", [_factor(op, axis, places, corners), emitter.constant(own)])
        factor = emitter.once("Add", [factor, part])
    one = emitter.constant(np.array(1, np.float32))
    moved = emitter.node("Mul", [emitter.node("Add", [places.name, one]), factor])
    name = emitter.node("Sub", [moved, one], kind="places")
    op.use(1, places.changed(name, fills={}, low=-math.inf, high=math.inf))


def _factor(op: Operation, axis: int, places: Tensor, corners: int) -> str:
    """Return the true over the bucket's extent of an axis, to be multiplied with coordinates."""
    emitter, length = op.emitter, op.input(0).known_axes[axis].length
    if places.dtype != 1:
        raise Refused("its coordinates are no float32")
    spec = SizeInput("", "value", "float32", expressions=((length - corners).expression(),))
    true = op.around.cleaner.companion(places, [], spec)
    size = emitter.once("Gather", [emitter.once("Shape", [op.input(0).name]), emitter.constant(np.array([axis]))])
    full = emitter.once("Sub", [emitter.cast(size, 1), emitter.constant(np.array(corners, np.float32))])
    if corners and not op.domain.at_most(as_length(2), length):
        full = emitter.once("Max", [full, emitter.constant(np.array(1, np.float32))])
    return emitter.once("Div", [true, full])


@operator("AffineGrid", sizes=(1,))
def follow_affine_grid(op: Operation) -> Tensor:
    """Follow AffineGrid: ``[N, d, d + 1]`` applied to every place of an image, in parts of its exact size."""
    theta, lengths = op.input(0), op.numbers(1) or []
    count = theta.known_axes[1].constant or 0
    if len(lengths) != count + 2:
        raise Refused("its sizes are not those of an image of as many axes")
    if not op.domain.equal(lengths[0], theta.known_axes[0].length):
        op.domain.require(lengths[0], theta.known_axes[0].length)
    for length in lengths[2:]:
        op.mixes(grid(length))
        op.newly_cleaned |= op.padded(grid(length))
    emitter, kind = op.emitter, theta.dtype
    # Coordinates begin with the last axis.
    places = [_places(op, lengths[at], at, count) for at in range(count + 1, 1, -1)]
    rows = []
    for row in range(count):
        parts = [_entry(op, row, column, count) for column in range(count + 1)]
        whole = parts[-1]
        for part, place in zip(parts, places, strict=False):
            whole = emitter.node("Add", [emitter.node("Mul", [part, place]), whole])
        rows.append(emitter.unsqueeze(whole, [count + 1]))
    emitter.into(op.node.output[0], "Concat", rows, axis=count + 1)
    op.replaced = True
    axes = [theta.known_axes[0], *(grid(length) for length in lengths[2:]), grid(count)]
    return op.result(axes, kind, finite=theta.finite)


def _places(op: Operation, length: Length, at: int, count: int) -> str:
    """Return the coordinates of an image's axis from -1 to 1, ``[N or 1, 1, …, positions, …]``."""
    emitter, theta = op.emitter, op.input(0)
    corners = int(op.attribute("align_corners", 0))
    zero, one, two = (emitter.constant(np.array(number, np.int64)) for number in (0, 1, 2))
    size = emitter.once("Gather", [op.node.input[1], emitter.constant(np.array(at, np.int64))])
    counted = emitter.once("Mul", [emitter.once("Range", [zero, size, one]), two])
    line = emitter.unsqueeze(emitter.cast(counted, theta.dtype), [axis for axis in range(count + 1) if axis != at - 1])
    # From the last place on, which is 1 where there is no other.
    last, extent = length * 2 - (2 if corners else 1), larger(length - corners, as_length(1))
    beyond = emitter.node("Sub", [line, _told(op, last, count)])
    beside = emitter.node("Div", [beyond, _told(op, extent, count)])
    return emitter.node("Add", [beside, _number(op, 1)])


def _told(op: Operation, length: Length, count: int) -> str:
    """Return a length at the exact size, as ``[N or 1, 1, …]`` of so many axes and one."""
    theta = op.input(0)
    if not length.variables:
        return _number(op, int(length.constant or 0))
    spec = SizeInput("", "value", "float32", expressions=(length.expression(),))
    told = op.around.cleaner.companion(theta, [], spec)
    return op.emitter.unsqueeze(told, [3]) if count == 3 else told


def _number(op: Operation, number: int) -> str:
    return op.emitter.constant(np.array(number, numpy_type(op.input(0).dtype)))


def _entry(op: Operation, row: int, column: int, count: int) -> str:
    """Return an entry of the matrices, ``[N, 1, …]`` of so many axes and one."""
    emitter, name = op.emitter, op.input(0).name
    for axis, at in ((1, row), (2, column)):
        name = emitter.once("Gather", [name, emitter.numbers([at])], axis=axis)
    return emitter.unsqueeze(name, [3]) if count == 3 else name


@operator("Compress")
def follow_compress(op: Operation) -> Tensor:
    """Follow Compress along an axis: padding is not chosen; how many are depends on data."""
    tensor, chosen = op.input(0), op.input(1)
    axis = op.attribute("axis")
    if axis is None and tensor.rank != 1:
        raise Refused("it flattens what it chooses from", "Reshape to one axis before it.")
    place = op.axis(int(axis or 0), tensor.rank)
    known, length = op.value_of(1), tensor.known_axes[place].constant
    if known is not None and length is not None:
        return _taken(op, place, np.flatnonzero(known[:length]))
    for index, at in ((0, place), (1, 0)):
        op.mix(index, at)
    if op.input(0).known_axes[place].variables and not op.domain.at_most(
        chosen.known_axes[0].length, op.input(0).known_axes[place].length
    ):
        raise Refused("it chooses from more positions than there are")
    if op.padded(op.input(1).known_axes[0]):
        op.clean(1, [0], 0.0)
    tensor = op.input(0)
    axes = [*tensor.known_axes[:place], op.data_axis(), *tensor.known_axes[place + 1 :]]
    return op.result(axes, tensor.dtype, finite=tensor.finite, low=tensor.low, high=tensor.high)


def _taken(op: Operation, place: int, positions: NDArray[np.int64]) -> Tensor:
    """Follow a choice that is always the same, which is a Gather."""
    tensor = op.input(0)
    op.emitter.into(op.node.output[0], "Gather", [tensor.name, op.emitter.numbers(positions)], axis=place)
    op.replaced = True
    axes = [*tensor.known_axes[:place], grid(len(positions)), *tensor.known_axes[place + 1 :]]
    fills = {at: fill for at, fill in tensor.fills.items() if at != place}
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


@operator("Inverse", domain="com.microsoft")
@operator("Det")
def follow_matrices(op: Operation) -> Tensor:
    """Follow Det and Inverse of matrices of a fixed size."""
    tensor = op.input(0)
    if any(axis.variables for axis in tensor.known_axes[-2:]):
        raise Refused("its matrices follow the sizes of the request")
    if op.kind == "Inverse":
        return op.result(tensor.known_axes, tensor.dtype, finite=False)
    return op.result(tensor.known_axes[:-2], tensor.dtype, finite=tensor.finite)
