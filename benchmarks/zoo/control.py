"""Loop, Scan and If: over time, over layers, by a size and by an input."""

from __future__ import annotations

import numpy as np
import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import conv, linear
from benchmarks.zoo.model import Span, built

__all__ = ["CONTROL"]

_WIDTH = 8
_SIZES = {"batch": Span(1, 4), "length": Span(1, 32)}


def scanned_cells() -> onnx.ModelProto:
    """Scan: a recurrent cell over the length, its last state and all of its states."""
    g = Graph("scanned_cells")
    x = g.input("x", ["length", "batch", _WIDTH])
    start = g.op("Expand", g.const(0.0), g.vector(g.dim(x, 1), _WIDTH))

    def step(inner: Graph) -> None:
        state, row = inner.input("state", [None, _WIDTH]), inner.input("row", [None, _WIDTH])
        new = inner.op("Tanh", inner.op("Add", inner.op("MatMul", row, inner.weight(_WIDTH, _WIDTH)), state))
        inner.output(str(new), "state_out", [None, _WIDTH])
        inner.output(str(new), "row_out", [None, _WIDTH])

    last, rows = g.op("Scan", start, x, outputs=2, body=g.body(step), num_scan_inputs=1)
    g.output(last, "last", ["batch", _WIDTH])
    g.output(rows, "rows", ["length", "batch", _WIDTH])
    return g.model()


def looped_steps() -> onnx.ModelProto:
    """Loop: as many turns as the length, each gathers its row and adds it to a running state."""
    g = Graph("looped_steps")
    x = g.input("x", ["batch", "length", _WIDTH])
    start = g.op("Expand", g.const(0.0), g.vector(g.dim(x, 0), _WIDTH))

    def turn(inner: Graph) -> None:
        index = inner.input("index", [], "int64")
        inner.input("go_on", [], "bool")
        state = inner.input("state", [None, _WIDTH])
        row = inner.op("Gather", x, index, axis=1)
        new = inner.op("Add", inner.op("Mul", state, inner.const(0.9)), row)
        inner.output(str(inner.const(True)), "go_on_out", [], "bool")
        inner.output(str(new), "state_out", [None, _WIDTH])
        inner.output(str(new), "row_out", [None, _WIDTH])

    last, rows = g.op("Loop", g.dim(x, 1), g.const(True), start, outputs=2, body=g.body(turn))
    g.output(last, "last", ["batch", _WIDTH])
    g.output(str(g.op("Transpose", rows, perm=[1, 0, 2])), "rows", ["batch", "length", _WIDTH])
    return g.model()


def looped_layers() -> onnx.ModelProto:
    """Loop: three turns of the same convolution, a number of turns that no size enters."""
    g = Graph("looped_layers")
    x = g.input("x", ["batch", _WIDTH, "length"])

    def turn(inner: Graph) -> None:
        inner.input("index", [], "int64")
        inner.input("go_on", [], "bool")
        state = inner.input("state", [None, _WIDTH, None])
        new = inner.op("Tanh", conv(inner, state, _WIDTH, _WIDTH, (3,)))
        inner.output(str(inner.const(True)), "go_on_out", [], "bool")
        inner.output(str(new), "state_out", [None, _WIDTH, None])

    y = g.op("Loop", g.const(3), g.const(True), x, body=g.body(turn))
    g.output(str(y), "y", ["batch", _WIDTH, "length"])
    return g.model()


def branch_by_input() -> onnx.ModelProto:
    """If: a sampling rate, the same in all requests, chooses between two front ends."""
    g = Graph("branch_by_input")
    x, rate = g.input("samples", ["batch", "length"]), g.input("sr", [], "int64")

    def front(stride: int) -> onnx.GraphProto:
        def write(inner: Graph) -> None:
            y = inner.op("Unsqueeze", x, inner.const([1]))
            y = conv(inner, str(y), 1, _WIDTH, (5,), strides=[stride])
            inner.output(y, f"y{stride}", [None, _WIDTH, None])

        return g.body(write)

    y = g.op("If", g.op("Equal", rate, g.const(16000)), then_branch=front(4), else_branch=front(2))
    g.output(conv(g, str(g.op("Relu", y)), _WIDTH, 4, (3,)), "y", ["batch", 4, "steps"])
    return g.model()


def branch_by_size() -> onnx.ModelProto:
    """If: short inputs are taken as they are, long ones are pooled by two and repeated."""
    g = Graph("branch_by_size")
    x = g.input("x", ["batch", _WIDTH, "length"])

    def long(inner: Graph) -> None:
        y = inner.op("MaxPool", x, kernel_shape=[3], strides=[1], pads=[1, 1])
        inner.output(str(y), "y_long", [None, _WIDTH, None])

    def short(inner: Graph) -> None:
        inner.output(str(inner.op("Neg", x)), "y_short", [None, _WIDTH, None])

    y = g.op("If", g.op("Greater", g.dim(x, 2), g.const(16)), then_branch=g.body(long), else_branch=g.body(short))
    g.output(conv(g, str(y), _WIDTH, 4, (3,)), "y", ["batch", 4, "length"])
    return g.model()


def squeezed_by_branch() -> onnx.ModelProto:
    """If as torch exports squeeze(): its condition is a size that is fixed, both branches are there all the same."""
    g = Graph("squeezed_by_branch")
    x = g.input("x", ["batch", "length", _WIDTH])
    score = linear(g, x, _WIDTH, 1)

    def squeezed(inner: Graph) -> None:
        inner.output(str(inner.op("Squeeze", score, inner.const([2]))), "narrow", None)  # type: ignore[arg-type]

    def kept(inner: Graph) -> None:
        inner.output(str(inner.op("Identity", score)), "wide", None)  # type: ignore[arg-type]

    y = g.op("If", g.op("Equal", g.dim(score, 2), g.const(1)), then_branch=g.body(squeezed), else_branch=g.body(kept))
    g.output(str(g.op("Softmax", y, axis=1)), "shares", ["batch", "length"])
    return g.model()


def greedy_loop() -> onnx.ModelProto:
    """Loop with a condition from the data: halves until one value is small; how many turns depends on all values."""
    g = Graph("greedy_loop")
    x = g.input("x", ["batch", "length"])

    def turn(inner: Graph) -> None:
        inner.input("index", [], "int64")
        inner.input("go_on", [], "bool")
        state = inner.input("state", [None, None])
        new = inner.op("Mul", state, inner.const(0.5))
        least = inner.op("ReduceMin", inner.op("Add", inner.op("Abs", new), inner.const(0.01)), keepdims=0)
        inner.output(str(inner.op("Greater", least, inner.const(0.02))), "go_on_out", [], "bool")
        inner.output(str(new), "state_out", [None, None])

    y = g.op("Loop", g.const(20), g.const(True), x, body=g.body(turn))
    g.output(str(y), "y", ["batch", "length"])
    return g.model()


def grown_structure() -> onnx.ModelProto:
    """SLANet: a loop attends, puts a token behind those before, and ends when all rows gave the last one."""
    g = Graph("grown_structure")
    x = g.input("x", ["batch", "length", _WIDTH])
    start = g.op("Expand", g.const(0.0), g.vector(g.dim(x, 0), _WIDTH))
    none = g.op("Expand", g.const(np.zeros((1, 0, 5), np.float32)), g.vector(g.dim(x, 0), 0, 5))

    def turn(inner: Graph) -> None:
        inner.input("index", [], "int64")
        inner.input("go_on", [], "bool")
        state, before = inner.input("state", [None, _WIDTH]), inner.input("tokens", [None, None, 5])
        scores = inner.op("MatMul", x, inner.op("Unsqueeze", state, inner.const([2])))
        seen = inner.op("ReduceSum", inner.op("Mul", inner.op("Softmax", scores, axis=1), x), inner.const([1]))
        own = linear(inner, str(inner.op("Squeeze", seen, inner.const([1]))), _WIDTH, _WIDTH)
        new = inner.op("Tanh", inner.op("Add", own, linear(inner, state, _WIDTH, _WIDTH)))
        token = linear(inner, str(new), _WIDTH, 5)
        last = inner.op("Equal", inner.op("ArgMax", token, axis=1), inner.const(4))
        ended = inner.op("ReduceMin", inner.cast(str(last), "int32"), keepdims=0)
        inner.output(str(inner.op("Not", inner.cast(str(ended), "bool"))), "go_on_out", [], "bool")
        inner.output(str(new), "state_out", [None, _WIDTH])
        token = str(inner.op("Unsqueeze", token, inner.const([1])))
        inner.output(str(inner.op("Concat", before, token, axis=1)), "tokens_out", [None, None, 5])

    _, tokens = g.op("Loop", g.const(9), g.const(True), start, none, body=g.body(turn), outputs=2)
    g.output(str(g.op("Softmax", tokens, axis=2)), "structure", ["batch", "steps", 5])
    return g.model()


CONTROL = (
    built("control", scanned_cells, _SIZES),
    built("control", looped_steps, _SIZES),
    built("control", looped_layers, _SIZES),
    built("control", branch_by_input, {"batch": Span(1, 3), "length": Span(8, 96)}, fixed={"sr": 16000}),
    built("control", branch_by_size, _SIZES),
    built("control", squeezed_by_branch, _SIZES),
    built("control", greedy_loop, _SIZES),
    built("control", grown_structure, _SIZES),
)
