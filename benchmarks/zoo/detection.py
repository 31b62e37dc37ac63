"""Detectors: grids of several scales in one list, anchors from Range, boxes chosen by the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import conv, linear, swish
from benchmarks.zoo.model import Span, built

__all__ = ["DETECTION"]

_CLASSES, _BINS = 3, 8
_IMAGE = ("N", 3, "H", "W")


def _pyramid(g: Graph, x: str) -> list[str]:
    """Return features [N, 16, H ÷ s, W ÷ s] for s of 8, 16 and 32, the deeper ones added into the shallower."""
    y = swish(g, conv(g, swish(g, conv(g, x, 3, 8, 3, strides=[2, 2])), 8, 16, 3, strides=[2, 2]))
    levels = []
    for _ in range(3):
        y = swish(g, conv(g, y, 16, 16, 3, strides=[2, 2]))
        levels.append(y)
    pooled = [levels[2]]
    for _ in range(2):
        pooled.append(str(g.op("MaxPool", pooled[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2])))
    levels[2] = swish(g, conv(g, str(g.op("Concat", *pooled, axis=1)), 48, 16, 1))
    twice: dict[str, Any] = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    for index in (1, 0):
        larger = g.op("Resize", levels[index + 1], "", g.const([1.0, 1.0, 2.0, 2.0]), **twice)
        levels[index] = swish(g, conv(g, str(g.op("Concat", larger, levels[index], axis=1)), 32, 16, 3))
    return levels


def _anchors(g: Graph, level: str, stride: int) -> tuple[str, str]:
    """Return the cells' centres [2, cells] and strides [1, cells] of one scale, from Range and Expand."""
    high, wide = g.dim(level, 2), g.dim(level, 3)
    across, down = (g.op("Add", g.cast(g.range(each), "float32"), g.const(0.5)) for each in (wide, high))
    shape = g.vector(high, wide)
    grids = [
        g.reshape(str(g.op("Expand", g.op("Unsqueeze", line, g.const([axis])), shape)), 1, -1)
        for line, axis in ((across, 0), (down, 1))
    ]
    centres = str(g.op("Concat", *grids, axis=0))
    strides = g.op("Expand", g.const(float(stride)), g.vector(1, str(g.op("Mul", high, wide))))
    return centres, str(strides)


def _yolo(g: Graph, x: str) -> tuple[str, str]:
    """Return boxes [N, 4, anchors] and scores [N, classes, anchors], as YOLOv8's head computes them."""
    levels = _pyramid(g, x)
    flat = [
        g.reshape(conv(g, level, 16, 4 * _BINS + _CLASSES, 1), g.dim(level, 0), 4 * _BINS + _CLASSES, -1)
        for level in levels
    ]
    joined = g.op("Concat", *flat, axis=2)
    parts = g.op("Split", joined, g.const([4 * _BINS, _CLASSES]), outputs=2, axis=1)
    sides = g.op("Transpose", g.reshape(parts[0], g.dim(parts[0], 0), 4, _BINS, g.dim(parts[0], 2)), perm=[0, 2, 1, 3])
    sides = g.op(
        "Conv", g.op("Softmax", sides, axis=1), g.const(np.arange(_BINS).reshape(1, _BINS, 1, 1).astype(np.float32))
    )
    sides = g.reshape(str(sides), g.dim(parts[0], 0), 4, g.dim(parts[0], 2))
    made = [_anchors(g, level, stride) for level, stride in zip(levels, (8, 16, 32), strict=True)]
    centres = g.op("Concat", *(each for each, _ in made), axis=1)
    strides = g.op("Concat", *(each for _, each in made), axis=1)
    first, second = g.op("Split", sides, outputs=2, axis=1)
    low, high = g.op("Sub", centres, first), g.op("Add", centres, second)
    middle = g.op("Div", g.op("Add", low, high), g.const(2.0))
    boxes = g.op("Mul", g.op("Concat", middle, g.op("Sub", high, low), axis=1), strides)
    return str(boxes), str(g.op("Sigmoid", parts[1]))


def yolo_head() -> onnx.ModelProto:
    """YOLOv8: three scales in one list of anchors, their centres by Range, sides by softmax over bins."""
    g = Graph("yolo_head")
    boxes, scores = _yolo(g, g.input("image", _IMAGE))
    g.output(str(g.op("Concat", boxes, scores, axis=1)), "output0", ["N", 4 + _CLASSES, "anchors"])
    return g.model()


def yolo_suppressed() -> onnx.ModelProto:
    """YOLOv8 with NonMaxSuppression in the graph: how many boxes come out depends on the data."""
    g = Graph("yolo_suppressed")
    boxes, scores = _yolo(g, g.input("image", [1, 3, "H", "W"]))
    corners = g.op("Transpose", boxes, perm=[0, 2, 1])
    chosen = g.op(
        "NonMaxSuppression", corners, scores, g.const([20]), g.const([0.5]), g.const([0.55]), center_point_box=1
    )
    g.output(chosen, "selected", ["count", 3], "int64")
    rows = g.op("Gather", g.op("Squeeze", corners, g.const([0])), g.op("Gather", chosen, g.const(2), axis=1), axis=0)
    g.output(str(rows), "boxes", ["count", 4])
    return g.model()


def proposals() -> onnx.ModelProto:
    """A region proposal network: cells above a threshold, their boxes suppressed, how many are left and their mean."""
    g = Graph("proposals")
    x = g.input("image", [1, 3, "H", "W"])
    y = swish(g, conv(g, x, 3, 8, 3, strides=[4, 4]))
    scores = g.reshape(str(g.op("Sigmoid", conv(g, y, 8, 1, 1))), -1)
    sides = g.op("Abs", conv(g, y, 8, 4, 3))
    boxes = g.reshape(str(g.op("Transpose", sides, perm=[0, 2, 3, 1])), -1, 4)
    passed = g.op("NonZero", g.op("Greater", scores, g.op("ReduceMean", scores, keepdims=1)))
    places = g.op("Squeeze", passed, g.const([0]))
    chosen, own = g.op("Gather", boxes, places, axis=0), g.op("Gather", scores, places, axis=0)
    kept = g.op(
        "NonMaxSuppression",
        g.op("Unsqueeze", chosen, g.const([0])),
        g.op("Unsqueeze", own, g.const([0, 1])),
        g.const([12]),
        g.const([0.4]),
    )
    rows = g.op("Gather", chosen, g.op("Gather", kept, g.const(2), axis=1), axis=0)
    g.output(linear(g, str(rows), 4, 6), "classes", ["count", 6])
    mean = g.op("ReduceMean", rows, axes=[0], keepdims=0)
    g.output(str(mean), "mean", [4])
    g.output(str(g.op("Shape", own)), "passed", [1], "int64")
    return g.model()


def anchor_free() -> onnx.ModelProto:
    """A detector with channels last: grids made rows by Transpose and Reshape, one output for each scale."""
    g = Graph("anchor_free")
    x = g.input("image", _IMAGE)
    for index, level in enumerate(_pyramid(g, x)):
        rows = str(g.op("Transpose", conv(g, level, 16, 5, 3), perm=[0, 2, 3, 1]))
        rows = g.reshape(rows, g.dim(level, 0), -1, 5)
        g.output(rows, f"rows{index}", ["N", f"cells{index}", 5])
    return g.model()


def heat_map() -> onnx.ModelProto:
    """CenterNet: peaks kept where a max pool changes nothing, the ten best cells by TopK over all positions.

    Which of the equal zeros fill up where there are fewer peaks is each engine's own choice, and openvino's is not
    onnxruntime's, padded or not.
    """
    g = Graph("heat_map")
    x = g.input("image", _IMAGE)
    y = swish(g, conv(g, x, 3, 8, 3, strides=[4, 4], pads=[1, 1, 1, 1]))
    heat = g.op("Sigmoid", conv(g, y, 8, 2, 3))
    peaks = g.op("MaxPool", heat, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    kept = g.op("Mul", heat, g.cast(str(g.op("Equal", heat, peaks)), "float32"))
    best, where = g.op("TopK", g.reshape(str(kept), g.dim(heat, 0), -1), g.const([10]), outputs=2, axis=1)
    cell = g.op("Mod", where, g.op("Mul", g.dim(heat, 2), g.dim(heat, 3)))
    wide = g.dim(heat, 3)
    g.output(best, "scores", ["N", 10])
    g.output(str(g.op("Div", cell, wide)), "rows", ["N", 10], "int64")
    g.output(str(g.op("Mod", cell, wide)), "columns", ["N", 10], "int64")
    return g.model()


def regions() -> onnx.ModelProto:
    """RoiAlign over a convolved picture: boxes in pixels, as many as there are."""
    g = Graph("regions")
    x = g.input("image", [1, 3, "H", "W"])
    boxes = g.input("boxes", ["boxes", 4])
    y = swish(g, conv(g, x, 3, 8, 3, strides=[2, 2]))
    batch = g.op("Expand", g.const(0), g.vector(g.dim(boxes, 0)))
    corners = g.op("Mul", boxes, g.const([[16.0, 16.0, 32.0, 32.0]]))
    size: dict[str, Any] = {"output_height": 3, "output_width": 3, "spatial_scale": 0.5, "sampling_ratio": 2}
    cut = g.op("RoiAlign", y, corners, batch, mode="avg", **size)
    flat = g.op("Flatten", cut, axis=1)
    g.output(linear(g, str(flat), 72, 4), "classes", ["boxes", 4])
    return g.model()


_MULTIPLES = {"N": Span(1, 2), "H": Span(32, 96, 32), "W": Span(32, 160, 32)}

DETECTION = (
    built("detection", yolo_head, _MULTIPLES),
    built("detection", yolo_suppressed, {"H": Span(32, 96, 32), "W": Span(32, 160, 32)}),
    built("detection", proposals, {"H": Span(8, 64), "W": Span(8, 96)}),
    built("detection", anchor_free, _MULTIPLES),
    built("detection", heat_map, {"N": Span(1, 2), "H": Span(16, 64), "W": Span(16, 96)}),
    built("detection", regions, {"H": Span(36, 64), "W": Span(36, 96), "boxes": Span(1, 6)}),
)
