"""Operators that read regions of images, which may lie across the true end."""

from __future__ import annotations

import math

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.gathering import safe_numbers
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

_FLOAT = 1
_SPATIAL = (2, 3)
_LOWEST = -3.4e38


@operator("RoiAlign")
def follow_aligned_regions(op: Operation) -> Tensor:
    """Follow RoiAlign: of ``[N, C, H, W]`` the mean of samples in a grid over each of ``[regions, 4]``."""
    op.mixes(op.input(0).known_axes[0])
    op.same_axis(1, 0, 2, 0)
    safe_numbers(op, 2, [op.input(0).known_axes[0].length])
    _regions_are_small(op)
    image = op.input(0)
    height, width = (int(op.attribute(name, 1)) for name in ("output_height", "output_width"))
    axes = [op.input(1).known_axes[0], image.known_axes[1], grid(height), grid(width)]
    padded = [axis for axis in _SPATIAL if op.padded(op.mix(0, axis))]
    if padded:
        _sample_one_by_one(op, padded, (height, width))
    image = op.input(0)
    return op.result(axes, image.dtype, finite=image.finite and op.input(1).finite)


def _regions_are_small(op: Operation) -> None:
    """Make regions that are padding empty: they may hold anything, and many samples take their time."""
    op.clean(1, [0], 0.0)


def _sample_one_by_one(op: Operation, padded: list[int], pooled: tuple[int, int]) -> None:
    """Read every sample as a result of its own, let those beyond the true end be zero, and take the means.

    Up to the end samples see the edge repeated, behind it nothing.
    """
    samples, mode = int(op.attribute("sampling_ratio", 0)), str(op.attribute("mode", "avg"))
    if samples <= 0:
        raise Refused("it takes as many samples as a region is large", "Export it with a fixed sampling ratio.")
    if mode != "avg" or op.input(0).dtype != _FLOAT or op.input(1).dtype != _FLOAT:
        raise Refused("it takes the largest sample, or no float32")
    for axis in padded:
        op.newly_cleaned |= op.padded(op.input(0).known_axes[axis])
        op.use(0, op.around.cleaner.edge(op.input(0), axis))
    emitter, kept = op.emitter, {}
    for attribute in op.node.attribute:
        kept[attribute.name] = op.attribute(attribute.name)
    counts = [size * samples for size in pooled]
    kept |= {"output_height": counts[0], "output_width": counts[1], "sampling_ratio": 1}
    last = emitter.node("RoiAlign", list(op.node.input), kind="samples", **kept)
    for axis in padded:
        last = emitter.node("Mul", [last, _within(op, axis, counts[axis - 2])])
    if samples == 1:
        emitter.into(op.node.output[0], "Identity", [last])
    else:
        emitter.into(op.node.output[0], "AveragePool", [last], kernel_shape=[samples] * 2, strides=[samples] * 2)
    op.replaced = True


def _within(op: Operation, axis: int, count: int) -> str:
    """Return 1 where a sample along an axis lies up to the true end, else 0, ``[regions, 1, rows, columns]``.

    One of the last two is ``count``, the other 1. Where samples lie is the formula of ONNX's definition.
    """
    emitter, regions = op.emitter, op.input(1)
    half = op.opset >= 16 and str(op.attribute("coordinate_transformation_mode", "half_pixel")) == "half_pixel"
    scale = emitter.constant(np.array(op.attribute("spatial_scale", 1.0), np.float32))
    shift = emitter.constant(np.array(0.5 if half else 0.0, np.float32))
    one = emitter.numbers([1])
    ends = []
    for column in (3 - axis, 5 - axis):
        side = emitter.once("Slice", [regions.name, emitter.numbers([column]), emitter.numbers([column + 1]), one])
        ends.append(emitter.once("Sub", [emitter.once("Mul", [side, scale]), shift]))
    size = emitter.once("Sub", [ends[1], ends[0]])
    if not half:
        size = emitter.once("Max", [size, emitter.constant(np.array(1.0, np.float32))])
    each = emitter.once("Div", [size, emitter.constant(np.array(count, np.float32))])
    centres = emitter.constant((np.arange(count, dtype=np.float32) + 0.5)[None])
    places = emitter.once("Add", [ends[0], emitter.once("Mul", [each, centres])])
    spec = SizeInput("", "value", "float32", expressions=(op.input(0).known_axes[axis].length.expression(),))
    true = op.around.cleaner.companion(regions, [], spec)
    beyond = emitter.cast(emitter.once("Greater", [places, true]), _FLOAT)
    within = emitter.once("Sub", [emitter.constant(np.array(1.0, np.float32)), beyond])
    return emitter.unsqueeze(within, [1, 3] if axis == _SPATIAL[0] else [1, 2])


@operator("MaxRoiPool")
def follow_largest_of_regions(op: Operation) -> Tensor:
    """Follow MaxRoiPool: ``[regions, 5]`` begin with the number of an image; a part that holds nothing is 0."""
    op.mixes(op.input(0).known_axes[0])
    _regions_are_small(op)
    pooled = [int(size) for size in op.attribute("pooled_shape")]
    padded = [axis for axis in _SPATIAL if op.padded(op.mix(0, axis))]
    axes = [op.input(1).known_axes[0], op.input(0).known_axes[1], *map(grid, pooled)]
    if padded:
        if not op.input(0).finite or op.input(0).dtype != _FLOAT:
            raise Refused("it takes the largest of what may be no number")
        op.clean(0, padded, -math.inf)
        emitter, output = op.emitter, op.node.output[0]
        op.node.output[0] = raw = emitter.fresh("largest")
        emitter.nodes.append(op.node)
        empty = emitter.node("Less", [raw, emitter.constant(np.array(_LOWEST, np.float32))])
        emitter.into(output, "Where", [empty, emitter.constant(np.array(0.0, np.float32)), raw])
        op.replaced = True
        return op.result(axes, _FLOAT).named(output)
    return op.result(axes, op.input(0).dtype, finite=op.input(0).finite)
