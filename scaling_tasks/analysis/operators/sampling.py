"""Operators that read at computed places: coordinates in parts of the size are made those of the bucket."""

from __future__ import annotations

import numpy as np

from scaling_tasks.analysis.axes import Axis
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
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
    op.use(1, Tensor(name, places.dtype, places.axes, finite=places.finite))


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


@operator("Compress")
def follow_compress(op: Operation) -> Tensor:
    """Follow Compress along an axis: padding is not chosen; how many are depends on data."""
    tensor, chosen = op.input(0), op.input(1)
    axis = op.attribute("axis")
    if axis is None:
        raise Refused("it flattens what it chooses from")
    place = op.axis(int(axis), tensor.rank)
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
