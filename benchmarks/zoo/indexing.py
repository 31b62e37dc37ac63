"""Operators that pick, sort, count and lay out positions along an axis that varies."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import conv, linear
from benchmarks.zoo.model import Sizes, Span, built, tokens

__all__ = ["INDEXING"]

_WIDTH = 8
_SIZES = {"batch": Span(1, 4), "length": Span(1, 48)}


def cumulative() -> onnx.ModelProto:
    """CumSum forwards and backwards, with and without the position itself, and a mean so far."""
    g = Graph("cumulative")
    x = g.input("x", ["length", 4])
    count = g.op("Add", g.cast(g.range(g.dim(x, 0)), "float32"), g.const(1.0))
    total = g.op("CumSum", x, g.const(0))
    g.output(str(total), "total", ["length", 4])
    g.output(str(g.op("CumSum", x, g.const(0), reverse=1, exclusive=1)), "left", ["length", 4])
    g.output(str(g.op("Div", total, g.op("Unsqueeze", count, g.const([1])))), "mean_so_far", ["length", 4])
    return g.model()


def positions_from_mask() -> onnx.ModelProto:
    """RoBERTa's position numbers: CumSum over tokens that are no padding, times the same, plus one."""
    g = Graph("positions_from_mask")
    ids = g.input("input_ids", ["batch", "length"], "int64")
    seen = g.cast(str(g.op("Not", g.op("Equal", ids, g.const(1)))), "int32")
    places = g.op("Mul", g.op("CumSum", seen, g.const(1)), seen)
    places = g.op("Add", g.cast(str(places), "int64"), g.const(1))
    words = g.op("Gather", g.weight(50, _WIDTH, scale=1.0), ids)
    y = g.op("Add", words, g.op("Gather", g.weight(64, _WIDTH, scale=1.0), places))
    g.output(linear(g, str(y), _WIDTH, 6), "y", ["batch", "length", 6])
    return g.model()


def best_positions() -> onnx.ModelProto:
    """ArgMax, ArgMin and TopK along the length, and the rows that they pick."""
    g = Graph("best_positions")
    x = g.input("x", ["batch", "length", _WIDTH])
    # Zeros would win: what is not masked shows.
    scores = g.op("Neg", g.op("Abs", g.op("Squeeze", g.op("MatMul", x, g.weight(_WIDTH, 1)), g.const([2]))))
    values, places = g.op("TopK", scores, g.const([3]), outputs=2, axis=1)
    spread = g.op("Expand", g.op("Unsqueeze", places, g.const([2])), g.vector(g.dim(x, 0), 3, _WIDTH))
    g.output(values, "values", ["batch", 3])
    g.output(str(g.op("GatherElements", x, spread, axis=1)), "rows", ["batch", 3, _WIDTH])
    g.output(str(g.op("ArgMax", scores, axis=1, keepdims=0)), "best", ["batch"], "int64")
    g.output(str(g.op("ArgMin", g.op("Neg", scores), axis=1, keepdims=0)), "worst", ["batch"], "int64")
    return g.model()


def sorted_rows() -> onnx.ModelProto:
    """A whole axis sorted: TopK whose k is the length."""
    g = Graph("sorted_rows")
    x = g.input("x", ["batch", "length"])
    y, _ = g.op("TopK", x, g.vector(g.dim(x, 1)), outputs=2, axis=1)
    g.output(y, "y", ["batch", "length"])
    return g.model()


def end_of_text() -> onnx.ModelProto:
    """CLIP's pooling: the row where the token number is greatest, by ArgMax and GatherND."""
    g = Graph("end_of_text")
    ids = g.input("input_ids", ["batch", "length"], "int64")
    x = linear(g, str(g.op("Gather", g.weight(50, _WIDTH, scale=1.0), ids)), _WIDTH, _WIDTH)
    place = g.op("ArgMax", ids, axis=1, keepdims=0)
    index = g.op("Concat", *(g.op("Unsqueeze", each, g.const([1])) for each in (g.range(g.dim(ids, 0)), place)), axis=1)
    g.output(str(g.op("GatherND", x, index)), "pooled", ["batch", _WIDTH])
    return g.model()


def gathered_spans() -> onnx.ModelProto:
    """Rows picked by indices that are an input: GatherElements and GatherND with one batch axis."""
    g = Graph("gathered_spans")
    x = g.input("x", ["batch", "length", _WIDTH])
    places = g.input("places", ["batch", "picked"], "int64")
    wide = g.op("Expand", g.op("Unsqueeze", places, g.const([2])), g.vector(g.dim(x, 0), g.dim(places, 1), _WIDTH))
    a = g.op("GatherElements", x, wide, axis=1)
    b = g.op("GatherND", x, g.op("Unsqueeze", places, g.const([2])), batch_dims=1)
    g.output(str(g.op("Mul", a, b)), "y", ["batch", "picked", _WIDTH])
    return g.model()


def scattered() -> onnx.ModelProto:
    """ScatterND at places made from the shape, ScatterElements at places from an input, and torch's index_put."""
    g = Graph("scattered")
    x = g.input("x", ["length", _WIDTH])
    last = g.op("Sub", g.dim(x, 0), g.const(1))
    ends = g.op("Unsqueeze", g.op("Concat", g.const([0]), g.op("Unsqueeze", last, g.const([0])), axis=0), g.const([1]))
    y = g.op("ScatterND", x, ends, g.weight(2, _WIDTH, scale=1.0))
    g.output(str(y), "y", ["length", _WIDTH])
    g.output(str(g.op("ReduceSum", y, g.const([0]), keepdims=0)), "total", [_WIDTH])
    return g.model()


def pairs() -> onnx.ModelProto:
    """All pairs of positions: differences, their norms, softmax one way and the least the other way."""
    g = Graph("pairs")
    x = g.input("x", ["batch", "length", _WIDTH])
    apart = g.op("Sub", g.op("Unsqueeze", x, g.const([2])), g.op("Unsqueeze", x, g.const([1])))
    distance = g.op("ReduceL2", apart, axes=[3], keepdims=0)
    near = g.op("Softmax", g.op("Neg", distance), axis=1)
    g.output(str(g.op("MatMul", near, x)), "mixed", ["batch", "length", _WIDTH])
    g.output(
        str(g.op("ReduceMin", g.op("Add", distance, g.const(1.0)), axes=[2], keepdims=0)), "least", ["batch", "length"]
    )
    return g.model()


def tiled() -> onnx.ModelProto:
    """A row repeated as often as the shape says, repeats of each position (Expand and Reshape), Tile."""
    g = Graph("tiled")
    x = g.input("x", ["batch", "length", _WIDTH])
    wide = g.op("Expand", g.op("Unsqueeze", x, g.const([2])), g.vector(g.dim(x, 0), g.dim(x, 1), 2, _WIDTH))
    doubled = g.reshape(str(wide), g.dim(x, 0), str(g.op("Mul", g.dim(x, 1), g.const(2))), _WIDTH)
    again = g.op("Tile", x, g.const([1, 2, 1]))
    y = str(g.op("Transpose", g.op("Concat", doubled, again, axis=2), perm=[0, 2, 1]))
    g.output(conv(g, y, 2 * _WIDTH, 4, (3,)), "y", ["batch", 4, "2 * length"])
    return g.model()


def halves() -> onnx.ModelProto:
    """An axis cut in two equal halves by Split, which are exchanged; runs at even lengths only."""
    g = Graph("halves")
    x = g.input("x", ["batch", "length", _WIDTH])
    first, second = g.op("Split", x, outputs=2, axis=1)
    y = g.op("Concat", second, g.op("Sub", first, second), axis=1)
    g.output(linear(g, str(y), _WIDTH, 6), "y", ["batch", "length", 6])
    return g.model()


def every_second() -> onnx.ModelProto:
    """Slices with steps of two from either end, from the middle on, and all but the last: lengths of their own."""
    g = Graph("every_second")
    x = g.input("x", ["batch", "length", _WIDTH])
    middle = str(g.op("Div", g.dim(x, 1), g.const(2)))
    g.output(linear(g, g.slice(x, 1, 0, 2**62, 2), _WIDTH, 4), "even", ["batch", "evens", 4])
    g.output(g.slice(x, 1, -1, -(2**62), -2), "from_the_end", ["batch", "backs", _WIDTH])
    g.output(g.slice(x, 1, middle, 2**62), "second_half", ["batch", "rest", _WIDTH])
    later, earlier = g.slice(x, 1, 1, 2**62), g.slice(x, 1, 0, -1)
    g.output(str(g.op("Sub", later, earlier)), "differences", ["batch", "gaps", _WIDTH])
    return g.model()


def sliding_frames() -> onnx.ModelProto:
    """Overlapping windows gathered by computed indices: torch's unfold."""
    g = Graph("sliding_frames")
    x = g.input("x", ["batch", "length"])
    count = g.op("Add", g.op("Div", g.op("Sub", g.dim(x, 1), g.const(8)), g.const(4)), g.const(1))
    starts = g.op("Mul", g.op("Unsqueeze", g.range(str(count)), g.const([1])), g.const(4))
    index = g.op("Add", starts, g.const(np.arange(8)[None]))
    y = g.op("Gather", x, index, axis=1)
    centred = g.op("Sub", y, g.op("ReduceMean", y, axes=[2]))
    g.output(linear(g, str(centred), 8, 6), "y", ["batch", "windows", 6])
    return g.model()


def one_hot_histogram() -> onnx.ModelProto:
    """Token counts by OneHot and ReduceSum, their shares by the size of the axis."""
    g = Graph("one_hot_histogram")
    ids = g.input("tokens", ["batch", "length"], "int64")
    hot = g.op("OneHot", ids, g.const(12), g.const([0.0, 1.0]), axis=-1)
    counts = g.op("ReduceSum", hot, g.const([1]), keepdims=0)
    shares = g.op("Div", counts, g.cast(g.dim(ids, 1), "float32"))
    g.output(linear(g, str(shares), 12, 4), "y", ["batch", 4])
    return g.model()


def nonzero_rows() -> onnx.ModelProto:
    """The positions at which a mask is set, by NonZero and Gather: as many as the data says."""
    g = Graph("nonzero_rows")
    x = g.input("x", ["length", _WIDTH])
    keep = g.input("keep", ["length"], "int64")
    places = g.op("Squeeze", g.op("NonZero", keep), g.const([0]))
    g.output(linear(g, str(g.op("Gather", x, places, axis=0)), _WIDTH, 4), "kept", ["count", 4])
    return g.model()


def size_arithmetic() -> onnx.ModelProto:
    """Values made of sizes: a sum divided by the length, a scale of its root, an index from its half."""
    g = Graph("size_arithmetic")
    x = g.input("x", ["batch", "length", _WIDTH])
    length = g.cast(g.dim(x, 1), "float32")
    mean = g.op("Div", g.op("ReduceSum", x, g.const([1]), keepdims=0), length)
    scaled = g.op("Div", x, g.op("Sqrt", length))
    middle = g.op("Gather", x, g.op("Div", g.dim(x, 1), g.const(2)), axis=1)
    g.output(str(mean), "mean", ["batch", _WIDTH])
    g.output(str(scaled), "scaled", ["batch", "length", _WIDTH])
    g.output(str(middle), "middle", ["batch", _WIDTH])
    g.output(str(g.op("Shape", x)), "shape", [3], "int64")
    return g.model()


def standardised() -> onnx.ModelProto:
    """Features standardised over the length, and another time over the batch: rows that depend on one another."""
    g = Graph("standardised")
    x = g.input("x", ["batch", "length", _WIDTH])
    for axis in (1, 0):
        centred = g.op("Sub", x, g.op("ReduceMean", x, axes=[axis]))
        spread = g.op("Sqrt", g.op("Add", g.op("ReduceMean", g.op("Mul", centred, centred), axes=[axis]), g.const(0.1)))
        x = str(g.op("Div", centred, spread))
    g.output(x, "y", ["batch", "length", _WIDTH])
    return g.model()


def reductions() -> onnx.ModelProto:
    """Every reduction over the length."""
    g = Graph("reductions")
    x = g.input("x", ["batch", "length", _WIDTH])
    y = g.op("Add", g.op("Abs", x), g.const(0.5))
    kinds = ["Max", "Min", "Mean", "L1", "L2", "LogSumExp", "SumSquare", "LogSum", "Prod"]
    made = [g.op(f"Reduce{kind}", y if kind != "Prod" else g.op("Tanh", y), axes=[1], keepdims=0) for kind in kinds]
    for kind, value in zip(kinds, made, strict=True):
        g.output(str(value), kind.lower(), ["batch", _WIDTH])
    return g.model()


def other_softmaxes() -> onnx.ModelProto:
    """LogSoftmax and Hardmax over the length, an old Softmax that flattens, and a softmax spelt out with ReduceMax."""
    g = Graph("other_softmaxes", opset=12)
    x = g.input("x", ["batch", "length", _WIDTH])
    g.output(str(g.op("Softmax", x, axis=1)), "flattened", ["batch", "length", _WIDTH])
    turned = str(g.op("Transpose", x, perm=[0, 2, 1]))
    g.output(str(g.op("LogSoftmax", turned, axis=2)), "log", ["batch", _WIDTH, "length"])
    g.output(str(g.op("Hardmax", turned, axis=2)), "hard", ["batch", _WIDTH, "length"])
    powers = g.op("Exp", g.op("Sub", x, g.op("ReduceMax", x, axes=[1])))
    g.output(str(g.op("Div", powers, g.op("ReduceSum", powers, axes=[1]))), "spelt", ["batch", "length", _WIDTH])
    return g.model()


def quantised() -> onnx.ModelProto:
    """Dynamic quantisation: the scale of all rows is taken from the least and greatest value of the whole tensor."""
    g = Graph("quantised")
    x = g.input("x", ["batch", "length", _WIDTH])
    # Zeros give the greatest value of all.
    y = g.op("Reciprocal", g.op("Add", g.op("Abs", linear(g, x, _WIDTH, 16)), g.const(0.1)))
    y = g.op("Mul", y, g.op("Exp", g.op("Neg", g.op("ReduceL2", x, axes=[2]))))
    numbers, scale, zero = g.op("DynamicQuantizeLinear", y, outputs=3)
    weights = g.const(np.clip(np.round(40 * g.numbers(16, 6, scale=1.0)), 0, 255), "uint8")
    product = g.op("MatMulInteger", numbers, weights, zero)
    g.output(str(g.op("Mul", g.cast(product, "float32"), scale)), "y", ["batch", "length", 6])
    return g.model()


def _inside(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[np.int64]:
    return generator.integers(0, sizes["length"], shape)


INDEXING = (
    built("indexing", cumulative, {"length": Span(1, 32)}),
    built("indexing", positions_from_mask, _SIZES, input_ids=tokens(50)),
    built("indexing", best_positions, {"batch": Span(1, 4), "length": Span(3, 48)}),
    built("indexing", sorted_rows, _SIZES),
    built("indexing", end_of_text, _SIZES, input_ids=tokens(50)),
    built("indexing", gathered_spans, {**_SIZES, "picked": Span(1, 6)}, places=_inside),
    built("indexing", scattered, {"length": Span(2, 40)}),
    built("indexing", pairs, {"batch": Span(1, 3), "length": Span(1, 24)}),
    built("indexing", tiled, _SIZES),
    built("indexing", halves, {"batch": Span(1, 4), "length": Span(2, 48, 2)}),
    built("indexing", every_second, {"batch": Span(1, 4), "length": Span(2, 48)}),
    built("indexing", sliding_frames, {"batch": Span(1, 3), "length": Span(8, 120)}),
    built("indexing", one_hot_histogram, _SIZES, tokens=tokens(12)),
    built("indexing", nonzero_rows, {"length": Span(4, 40)}),
    built("indexing", size_arithmetic, _SIZES),
    built("indexing", standardised, _SIZES),
    built("indexing", reductions, _SIZES),
    built("indexing", other_softmaxes, _SIZES),
    built("indexing", quantised, _SIZES),
)
