"""What TensorFlow's exporter writes: images whose channels come last, and while loops that read by strided slices."""

from __future__ import annotations

import numpy as np
import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import conv
from benchmarks.zoo.model import Span, built

__all__ = ["TENSORFLOW"]

_WIDTH = 16
_FAR = 1_000_000_000
"""What the exporter writes for "to the end", and for the step of what is read at one position."""


def automatic_averages() -> onnx.ModelProto:
    """An image network of Keras: channels last, and automatic pads for convolutions, maxima and averages."""
    g = Graph("automatic_averages", opset=15)
    image = g.input("image", ["N", "H", "W", 3])
    x = str(g.op("Transpose", g.op("Div", image, g.const(127.5)), perm=[0, 3, 1, 2]))
    x = str(g.op("Relu", conv(g, x, 3, 8, 3, auto_pad="SAME_UPPER", strides=[2, 2])))
    largest, mean = (
        g.op(kind, x, kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2]) for kind in ("MaxPool", "AveragePool")
    )
    x = str(g.op("Concat", largest, mean, axis=1))
    x = str(g.op("Clip", conv(g, x, 16, 16, 3, auto_pad="SAME_UPPER", group=16), g.const(0.0), g.const(6.0)))
    scores = g.op("Sigmoid", conv(g, x, 16, 4, 1))
    g.output(str(g.op("Transpose", scores, perm=[0, 2, 3, 1])), "scores", ["N", None, None, 4])
    pooled = g.op("Squeeze", g.op("GlobalAveragePool", x), g.const([2, 3]))
    classes = g.op("Softmax", g.op("MatMul", pooled, g.weight(16, 5)))
    g.output(str(classes), "classes", ["N", 5])
    return g.model()


def blocks_for_dilation() -> onnx.ModelProto:
    """A convolution with holes over blocks that are put beside each other; what fills the last ones is cut off."""
    g, block = Graph("blocks_for_dilation", opset=15), 2
    image = g.input("image", ["N", "H", "W", 3])
    x = str(g.op("Transpose", image, perm=[0, 3, 1, 2]))
    x = str(g.op("Relu", conv(g, x, 3, 8, 3, auto_pad="SAME_UPPER")))
    size = g.op("Slice", g.op("Shape", x), g.const([2]), g.const([4]))
    rest = g.op("Mod", g.op("Neg", size), g.const([block, block]))
    around = g.op("Add", rest, g.const([2, 2]))
    filled = g.op("Pad", x, g.op("Concat", g.const([0, 0, 2, 2, 0, 0]), around, axis=0))
    phases = g.op("SpaceToDepth", g.op("Transpose", filled, perm=[1, 0, 2, 3]), blocksize=block)
    y = g.op("Conv", g.op("Transpose", phases, perm=[1, 0, 2, 3]), g.weight(4, 8, 3, 3), kernel_shape=[3, 3])
    y = g.op("DepthToSpace", g.op("Transpose", y, perm=[1, 0, 2, 3]), blocksize=block)
    none = g.op("Equal", rest, g.const([0, 0]))
    end = g.op("Mul", g.const([2**31 - 1]), g.cast(str(none), "int64"))
    back = g.op("Mul", rest, g.op("Neg", g.cast(str(g.op("Not", none)), "int64")))
    y = g.op("Slice", y, g.const([0, 0]), g.op("Add", end, back), g.const([2, 3]))
    both = str(g.op("Concat", x, g.op("Transpose", y, perm=[1, 0, 2, 3]), axis=1))
    scores = g.op("Softmax", conv(g, both, 12, 3, 1), axis=1)
    g.output(str(g.op("Transpose", scores, perm=[0, 2, 3, 1])), "scores", ["N", "H", "W", 3])
    return g.model()


def strided_while() -> onnx.ModelProto:
    """A recurrence written as a while loop that reads x[:, t] by a strided slice of all axes, under masks."""
    g = Graph("strided_while", opset=15)
    x = g.input("x", ["batch", "length", _WIDTH])
    size, zero = g.cast(g.dim(x, 1), "int32"), g.const(0, "int32")
    state = g.op("Expand", g.const(0.0), g.vector(g.dim(x, 0), _WIDTH))
    steps = g.const([1, _FAR], "int32")

    def turn(inner: Graph) -> None:
        for name, kind in (("turn", "int64"), ("again", "bool"), ("counter", "int32"), ("end", "int32")):
            inner.input(name, [], kind)
        inner.input("state", [None, _WIDTH])
        inner.input("steps", [2], "int32")
        after = str(inner.op("Add", "counter", inner.const(1, "int32")))
        row = inner.op("Squeeze", _read(inner, x, "counter", after, "steps"), inner.const([1]))
        new = inner.op("Tanh", inner.op("Add", row, inner.op("MatMul", "state", inner.weight(_WIDTH, _WIDTH))))
        inner.output(str(inner.op("Less", after, "end")), "again_out", [], "bool")
        inner.output(after, "counter_out", [], "int32")
        inner.output("end", "end_out", [], "int32")
        inner.output(str(new), "state_out", [None, _WIDTH])
        inner.output("steps", "steps_out", [2], "int32")
        inner.output(str(new), "row_out", [None, _WIDTH])

    given = ["", g.op("Less", zero, size), zero, size, state, steps]
    _, _, last, _, rows = g.op("Loop", *given, outputs=5, body=g.body(turn))
    g.output(str(g.op("Transpose", rows, perm=[1, 0, 2])), "rows", ["batch", "length", _WIDTH])
    g.output(str(last), "last", ["batch", _WIDTH])
    return g.model()


def _read(g: Graph, x: str, start: str, end: str, steps: str) -> str:
    """Return ``x[:, start:end]`` as the exporter writes it."""
    zero, far, axes = g.const([0], "int32"), g.const(_FAR, "int32"), g.const([0, 1], "int32")
    starts, ends = (g.op("Concat", zero, g.op("Unsqueeze", each, g.const([0])), axis=0) for each in (start, end))
    backwards = g.op("Less", steps, g.const([0], "int32"))
    starts = g.op("Where", g.op("And", backwards, g.const([True, False])), far, starts)
    ends = g.op("Max", g.cast(str(ends), "float32"), g.const(np.full(2, float(_FAR)), "float32"))
    ends = g.cast(str(ends), "int32")
    whole = g.op("And", g.op("Equal", ends, far), backwards)
    ends = g.op("Where", whole, g.const(-_FAR, "int32"), ends)
    return str(g.op("Slice", x, starts, ends, axes, steps))


TENSORFLOW = (
    built("image", automatic_averages, {"N": Span(1, 3), "H": Span(5, 48), "W": Span(5, 64)}),
    built("image", blocks_for_dilation, {"N": Span(1, 3), "H": Span(3, 40), "W": Span(3, 44)}),
    built("control", strided_while, {"batch": Span(1, 4), "length": Span(1, 48)}),
)
"""Their models."""
