"""Recurrent networks: which axis is time, where the states come from, and which way they read."""

from __future__ import annotations

import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import linear, norm, recurrent
from benchmarks.zoo.model import Span, built

__all__ = ["RECURRENT"]

_WIDTH, _HIDDEN = 12, 16
_SIZES = {"batch": Span(1, 4), "sequence": Span(1, 48)}


def _joined_ways(g: Graph, y: str, ways: int = 2) -> str:
    """Turn [length, ways, batch, hidden] into [length, batch, ways · hidden], as torch exports it."""
    turned = g.op("Transpose", y, perm=[0, 2, 1, 3])
    return str(g.op("Reshape", turned, g.const([0, 0, -1])))


def _zeros(g: Graph, x: str, ways: int) -> str:
    """Return initial states of zeros for the batch of ``x`` [length, batch, …]."""
    return str(g.op("Expand", g.const(0.0), g.vector(ways, g.dim(x, 1), _HIDDEN)))


def gru_sequence_first() -> onnx.ModelProto:
    """A sequence-first GRU that gives all positions and its last state."""
    g = Graph("gru_sequence_first")
    x = g.input("x", ["sequence", "batch", _WIDTH])
    y, last = recurrent(g, "GRU", x, _WIDTH, _HIDDEN, (_zeros(g, x, 1),))
    y = g.op("Squeeze", y, g.const([1]))
    g.output(linear(g, str(y), _HIDDEN, 8), "y", ["sequence", "batch", 8])
    g.output(last, "state", [1, "batch", _HIDDEN])
    return g.model()


def gru_unbatched() -> onnx.ModelProto:
    """A bidirectional GRU over [sequence, 1, features]: its first axis is time and only looks like a batch."""
    g = Graph("gru_unbatched")
    x = g.input("x", ["sequence", 1, _WIDTH])
    y, _ = recurrent(g, "GRU", x, _WIDTH, _HIDDEN, direction="bidirectional")
    g.output(linear(g, _joined_ways(g, y), 2 * _HIDDEN, 8), "y", ["sequence", 1, 8])
    return g.model()


def bilstm_batch_first() -> onnx.ModelProto:
    """Two bidirectional LSTMs, batch first, whose initial states are zeros made for the batch."""
    g = Graph("bilstm_batch_first")
    x = g.input("x", ["batch", "sequence", _WIDTH])
    y, width = str(g.op("Transpose", x, perm=[1, 0, 2])), _WIDTH
    for _ in range(2):
        zeros = (_zeros(g, y, 2), _zeros(g, y, 2))
        y = _joined_ways(g, recurrent(g, "LSTM", y, width, _HIDDEN, zeros, direction="bidirectional")[0])
        width = 2 * _HIDDEN
    g.output(linear(g, str(g.op("Transpose", y, perm=[1, 0, 2])), width, 8), "y", ["batch", "sequence", 8])
    return g.model()


def bilstm_states() -> onnx.ModelProto:
    """A bidirectional LSTM whose states are inputs and outputs."""
    g = Graph("bilstm_states")
    x = g.input("x", ["batch", "sequence", _WIDTH])
    states = tuple(g.input(name, [2, "batch", _HIDDEN]) for name in ("h0", "c0"))
    turned = str(g.op("Transpose", x, perm=[1, 0, 2]))
    y, h, c = recurrent(g, "LSTM", turned, _WIDTH, _HIDDEN, states, direction="bidirectional")
    g.output(str(g.op("Transpose", _joined_ways(g, y), perm=[1, 0, 2])), "y", ["batch", "sequence", 2 * _HIDDEN])
    g.output(h, "hn", [2, "batch", _HIDDEN])
    g.output(c, "cn", [2, "batch", _HIDDEN])
    return g.model()


def lstm_last_step() -> onnx.ModelProto:
    """An LSTM classifier that takes the last position by index -1."""
    g = Graph("lstm_last_step")
    x = g.input("x", ["batch", "sequence", _WIDTH])
    y = recurrent(g, "LSTM", str(g.op("Transpose", x, perm=[1, 0, 2])), _WIDTH, _HIDDEN)[0]
    y = g.op("Transpose", g.op("Squeeze", y, g.const([1])), perm=[1, 0, 2])
    last = g.op("Gather", y, g.const(-1), axis=1)
    g.output(linear(g, str(last), _HIDDEN, 5), "logits", ["batch", 5])
    return g.model()


def rnn_reverse() -> onnx.ModelProto:
    """A plain recurrent network that reads backwards only."""
    g = Graph("rnn_reverse")
    x = g.input("x", ["sequence", "batch", _WIDTH])
    y, last = recurrent(g, "RNN", x, _WIDTH, _HIDDEN, direction="reverse")
    g.output(str(g.op("Squeeze", y, g.const([1]))), "y", ["sequence", "batch", _HIDDEN])
    g.output(last, "state", [1, "batch", _HIDDEN])
    return g.model()


def lstm_given_lengths() -> onnx.ModelProto:
    """An LSTM that is told each row's length, made from the input's shape, and reads both ways."""
    g = Graph("lstm_given_lengths")
    x = g.input("x", ["sequence", "batch", _WIDTH])
    lengths = g.cast(str(g.op("Expand", g.dim(x, 0), g.vector(g.dim(x, 1)))), "int32")
    y, h, _ = recurrent(g, "LSTM", x, _WIDTH, _HIDDEN, lengths=lengths, direction="bidirectional")
    g.output(_joined_ways(g, y), "y", ["sequence", "batch", 2 * _HIDDEN])
    g.output(h, "h", [2, "batch", _HIDDEN])
    return g.model()


def reversed_by_slice() -> onnx.ModelProto:
    """Time reversed by a slice of step -1, read, reversed again: how a backward layer is written by hand."""
    g = Graph("reversed_by_slice")
    x = g.input("x", ["sequence", "batch", _WIDTH])
    back = g.slice(x, 0, -1, -(2**62), -1)
    y = recurrent(g, "GRU", back, _WIDTH, _HIDDEN)[0]
    y = g.slice(str(g.op("Squeeze", y, g.const([1]))), 0, -1, -(2**62), -1)
    g.output(norm(g, y, _HIDDEN), "y", ["sequence", "batch", _HIDDEN])
    return g.model()


def reversed_by_operator() -> onnx.ModelProto:
    """Time reversed by ReverseSequence with lengths from the shape."""
    g = Graph("reversed_by_operator")
    x = g.input("x", ["batch", "sequence", _WIDTH])
    lengths = g.op("Expand", g.dim(x, 1), g.vector(g.dim(x, 0)))
    back = g.op("ReverseSequence", x, lengths, batch_axis=0, time_axis=1)
    both = str(g.op("Concat", x, back, axis=2))
    g.output(linear(g, both, 2 * _WIDTH, 8), "y", ["batch", "sequence", 8])
    return g.model()


def lstm_cells() -> onnx.ModelProto:
    """Four steps of an LSTM unrolled into matrix products: the batch alone varies."""
    g = Graph("lstm_cells")
    x = g.input("x", ["batch", 4, _WIDTH])
    inner, outer = g.weight(_WIDTH, 4 * _HIDDEN), g.weight(_HIDDEN, 4 * _HIDDEN)
    h = c = str(g.op("Expand", g.const(0.0), g.vector(g.dim(x, 0), _HIDDEN)))
    for step in range(4):
        gates = g.op("Add", g.op("MatMul", g.op("Gather", x, g.const(step), axis=1), inner), g.op("MatMul", h, outer))
        enter, forget, cell, leave = g.op("Split", gates, outputs=4, axis=1)
        enter, forget, leave = (g.op("Sigmoid", each) for each in (enter, forget, leave))
        c = str(g.op("Add", g.op("Mul", forget, c), g.op("Mul", enter, g.op("Tanh", cell))))
        h = str(g.op("Mul", leave, g.op("Tanh", c)))
    g.output(linear(g, h, _HIDDEN, 5), "logits", ["batch", 5])
    return g.model()


RECURRENT = (
    built("recurrent", gru_sequence_first, _SIZES),
    built("recurrent", gru_unbatched, {"sequence": Span(1, 48)}),
    built("recurrent", bilstm_batch_first, _SIZES),
    built("recurrent", bilstm_states, _SIZES),
    built("recurrent", lstm_last_step, _SIZES),
    built("recurrent", rnn_reverse, _SIZES),
    built("recurrent", lstm_given_lengths, _SIZES),
    built("recurrent", reversed_by_slice, _SIZES),
    built("recurrent", reversed_by_operator, _SIZES),
    built("recurrent", lstm_cells, {"batch": Span(1, 16)}),
)
