"""What exporters write: masks read by row numbers, slices assigned by place, packed sequences, counted loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import conv, linear
from benchmarks.zoo.model import Sizes, Span, built, mask

__all__ = ["EXPORTED"]

_WIDTH = 16
_TEXT = {"batch": Span(1, 4), "length": Span(1, 48)}
_END = int(np.iinfo(np.int64).max)


def _scores(g: Graph, x: str) -> tuple[str, str]:
    """Return what each position thinks of each other one, and what is to be weighed."""
    return str(g.op("MatMul", linear(g, x, _WIDTH, 8), g.op("Transpose", linear(g, x, _WIDTH, 8), perm=[0, 2, 1]))), x


def mask_by_row_numbers() -> onnx.ModelProto:
    """A mask read at row · length + column of its flattened self, as Hugging Face's models are traced today."""
    g = Graph("mask_by_row_numbers")
    x, shown = g.input("x", ["batch", "length", _WIDTH]), g.input("attention_mask", ["batch", "length"], "int64")
    scores, values = _scores(g, x)
    rows, columns = g.range(g.dim(shown, 0)), g.range(g.dim(shown, 1))
    start = g.op("Mul", g.op("Unsqueeze", rows, g.const([1, 2])), g.dim(shown, 1))
    read = g.op("Gather", g.reshape(shown, -1), g.op("Add", g.op("Unsqueeze", columns, g.const([0, 1])), start))
    hidden = g.op("Where", g.cast(str(read), "bool"), g.const(0.0), g.const(-3.4e38))
    weights = g.op("Softmax", g.op("Add", scores, hidden), axis=-1)
    g.output(linear(g, str(g.op("MatMul", weights, values)), _WIDTH, 6), "y", ["batch", "length", 6])
    return g.model()


def mask_by_vectors() -> onnx.ModelProto:
    """The same mask read by GatherND at pairs of row and column, as torch's newer exporter writes it."""
    g = Graph("mask_by_vectors", opset=18)
    x, shown = g.input("x", ["batch", "length", _WIDTH]), g.input("attention_mask", ["batch", "length"], "int64")
    scores, values = _scores(g, x)
    rows = g.op("Unsqueeze", g.range(g.dim(shown, 0)), g.const([1, 2]))
    columns = g.op("Unsqueeze", g.range(g.dim(shown, 1)), g.const([0, 1]))
    whole = g.op("Shape", g.op("Max", rows, columns))
    pairs = [g.op("Unsqueeze", g.op("Expand", each, whole), g.const([-1])) for each in (rows, columns)]
    read = g.op("GatherND", g.cast(shown, "bool"), g.op("Concat", *pairs, axis=-1))
    weights = g.op("Softmax", g.op("Where", read, scores, g.const(-1e9)), axis=-1)
    g.output(linear(g, str(g.op("MatMul", weights, values)), _WIDTH, 6), "y", ["batch", "length", 6])
    return g.model()


def assigned_slices() -> onnx.ModelProto:
    """A mask of three regions, assigned slice by slice from either end (ScatterND), as Swin's shifted windows have."""
    g = Graph("assigned_slices")
    x = g.input("x", ["batch", "length", _WIDTH])
    size = g.dim(x, 1)
    region = g.op("ConstantOfShape", g.vector(size))
    for number, (start, end) in enumerate([(0, -4), (-4, -2), (-2, _END)]):
        places = g.op("Slice", g.range(size), g.const([start]), g.const([end]), g.const([0]))
        filled = g.op("Expand", g.const(float(number)), g.op("Shape", places))
        region = g.op("ScatterND", region, g.op("Unsqueeze", places, g.const([1])), filled)
    apart = g.op("Sub", g.op("Unsqueeze", region, g.const([0])), g.op("Unsqueeze", region, g.const([1])))
    hidden = g.op("Where", g.op("Equal", apart, g.const(0.0)), g.const(0.0), g.const(-100.0))
    scores, values = _scores(g, x)
    y = g.op("MatMul", g.op("Softmax", g.op("Add", scores, hidden), axis=-1), values)
    g.output(linear(g, str(y), _WIDTH, 6), "y", ["batch", "length", 6])
    return g.model()


def packed_sequence() -> onnx.ModelProto:
    """An LSTM over rows sorted by length and put back by ScatterElements: torch's pack_padded_sequence."""
    g = Graph("packed_sequence")
    x, lengths = g.input("x", ["batch", "length", _WIDTH]), g.input("lengths", ["batch"], "int64")
    count = g.op("Shape", lengths)
    ordered, order = g.op("TopK", lengths, count, outputs=2)
    steps = g.op("Transpose", g.op("Gather", x, order, axis=0), perm=[1, 0, 2])
    weights = [g.const(g.numbers(2, 24, width, scale=0.3)) for width in (_WIDTH, 6)]
    read, last = g.op(
        *("LSTM", str(steps), *weights, g.const(g.numbers(2, 48)), g.cast(str(ordered), "int32")),
        outputs=2,
        hidden_size=6,
        direction="bidirectional",
    )
    numbers = g.range(g.dim(lengths, 0))
    back = g.op("ScatterElements", g.op("Expand", g.const(0), count), order, numbers, axis=0)
    rows = g.op("Gather", g.op("Transpose", read, perm=[2, 0, 1, 3]), back, axis=0)
    g.output(g.reshape(str(rows), 0, 0, 12), "read", ["batch", "length", 12])
    g.output(str(g.op("Gather", last, back, axis=1)), "last", [2, "batch", 6])
    return g.model()


def counted_while() -> onnx.ModelProto:
    """A recurrent layer as a while loop whose counter is compared with the length, as tf2onnx writes Keras' layers."""
    g = Graph("counted_while")
    x = g.input("x", ["batch", "length", _WIDTH])
    size, zero = g.dim(x, 1), g.const(0)
    state = g.op("Expand", g.const(0.0), g.vector(g.dim(x, 0), _WIDTH))

    def turn(inner: Graph) -> None:
        for name, kind in (("turn", "int64"), ("again", "bool"), ("counter", "int64"), ("end", "int64")):
            inner.input(name, [], kind)
        inner.input("state", [None, _WIDTH])
        row = inner.op("Gather", x, "counter", axis=1)
        new = inner.op("Tanh", inner.op("Add", row, inner.op("MatMul", "state", inner.weight(_WIDTH, _WIDTH))))
        counter = str(inner.op("Add", "counter", inner.const(1)))
        inner.output(str(inner.op("Less", counter, "end")), "again_out", [], "bool")
        inner.output(counter, "counter_out", [], "int64")
        inner.output("end", "end_out", [], "int64")
        inner.output(str(new), "state_out", [None, _WIDTH])
        inner.output(str(new), "row_out", [None, _WIDTH])

    given = ["", g.op("Less", zero, size), zero, size, state]
    *_, last, rows = g.op("Loop", *given, outputs=4, body=g.body(turn))
    y = conv(g, str(g.op("Transpose", rows, perm=[1, 2, 0])), _WIDTH, 6, (3,))
    g.output(y, "y", ["batch", 6, "length"])
    g.output(str(last), "last", ["batch", _WIDTH])
    return g.model()


def spoken_durations() -> onnx.ModelProto:
    """Text to speech: how long each sound is follows from the text, and so how many frames come out."""
    g = Graph("spoken_durations")
    x = g.input("x", ["length", _WIDTH])
    hidden = g.op("Tanh", linear(g, x, _WIDTH, _WIDTH))
    long = g.op("Ceil", g.op("Exp", g.op("Squeeze", linear(g, str(hidden), _WIDTH, 1), g.const([1]))))
    ends = g.op("CumSum", long, g.const(0))
    frames = g.cast(g.range(g.cast(str(g.op("ReduceSum", long, keepdims=0)), "int64")), "float32")
    frames = str(g.op("Unsqueeze", frames, g.const([1])))
    over = g.cast(str(g.op("Less", frames, ends)), "float32")
    begun = g.cast(str(g.op("GreaterOrEqual", frames, g.op("Sub", ends, long))), "float32")
    spread = g.op("MatMul", g.op("Mul", over, begun), hidden)
    speech = conv(g, str(g.op("Transpose", g.op("Unsqueeze", spread, g.const([0])), perm=[0, 2, 1])), _WIDTH, 4, (3,))
    g.output(speech, "speech", [1, 4, "frames"])
    return g.model()


def _lengths(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[Any]:
    return generator.integers(1, sizes["length"] + 1, shape)


EXPORTED = (
    built("text", mask_by_row_numbers, _TEXT, attention_mask=mask),
    built("text", mask_by_vectors, _TEXT, attention_mask=mask),
    built("image", assigned_slices, {"batch": Span(1, 4), "length": Span(4, 48)}),
    built("recurrent", packed_sequence, _TEXT, lengths=_lengths),
    built("control", counted_while, _TEXT),
    built("audio", spoken_durations, {"length": Span(1, 24)}, longest={"node_Range_20": 96}),
)
"""Their models."""
