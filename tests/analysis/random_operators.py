"""How operators that compute are put behind a value of a random graph."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, axis_of, operator


def _channels(value: Value) -> int | None:
    """Return the length of axis 1 of something that can be convolved."""
    return value.fixed(1) if value.rank in (3, 4) and value.probes[0].dtype.kind == "f" else None


def _safe(graph: Growing, value: Value) -> Value:
    """Return something of moderate size and above a tenth."""
    return graph.add("Add", graph.add("Abs", value), graph.const(0.1))


@operator("Unary")
def unary(graph: Growing, draw: Draw, value: Value) -> Value:
    """One of the operators that keep positions apart; some do not keep zero."""
    kind = draw(
        st.sampled_from(["Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Erf", "LeakyRelu", "HardSwish", "Softplus", "Cos"])
    )
    return graph.add(kind, value)


@operator("Reciprocal")
def reciprocal(graph: Growing, draw: Draw, value: Value) -> Value:
    """Something that is large where its input is zero."""
    return graph.add(draw(st.sampled_from(["Reciprocal", "Log", "Sqrt"])), _safe(graph, value))


@operator("AddConstant")
def add_constant(graph: Growing, draw: Draw, value: Value) -> Value:
    """A constant along a fixed axis, added or multiplied."""
    shape = [value.fixed(axis) or 1 for axis in range(value.rank)]
    kept = draw(st.sampled_from([*range(value.rank), None]))
    shape = [size if axis == kept else 1 for axis, size in enumerate(shape)]
    kind = draw(st.sampled_from(["Add", "Mul", "Sub", "Max", "Min"]))
    return graph.add(kind, value, graph.weight(*shape, scale=1.0))


@operator("AddValue")
def add_value(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Another value of the graph, equal in shape or broadcast."""
    other = draw(st.sampled_from(graph.values))
    kind = draw(st.sampled_from(["Add", "Mul", "Sub", "Max"]))
    if draw(st.booleans()):
        other = graph.add("Sigmoid", other)
    return graph.add(kind, value, other) if other.rank and value.rank else None


@operator("DivideBySum")
def divide_by_sum(graph: Growing, draw: Draw, value: Value) -> Value:
    """A value divided by its sum along an axis."""
    safe = _safe(graph, value)
    total = graph.add("ReduceSum", safe, graph.const([axis_of(draw, value)]), keepdims=1)
    return graph.add("Div", safe, total)


@operator("Where")
def where(graph: Growing, draw: Draw, value: Value) -> Value:
    """A choice by comparison with a number."""
    found = graph.add(draw(st.sampled_from(["Greater", "Less"])), value, graph.const(0.2))
    return graph.add("Where", found, value, graph.const(draw(st.sampled_from([0.0, -3.0, 1.5]))))


@operator("Conv")
def conv(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A convolution of any kernel, stride, dilation and padding."""
    channels = _channels(value)
    if channels is None:
        return None
    spatial = value.rank - 2
    kernel = [draw(st.integers(1, 4)) for _ in range(spatial)]
    group = draw(st.sampled_from([1, channels]))
    attributes: dict[str, Any] = {"strides": [draw(st.integers(1, 3)) for _ in range(spatial)], "group": group}
    if draw(st.integers(0, 3)):
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * spatial)]
        attributes["dilations"] = [draw(st.integers(1, 2)) for _ in range(spatial)]
    else:
        attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    out = draw(st.sampled_from([1, 2])) * group
    bias = graph.weight(out, scale=1.0) if draw(st.booleans()) else None
    weights = graph.weight(out, channels // group, *kernel)
    return graph.add("Conv", value, weights, *([bias] if bias else []), kernel_shape=kernel, **attributes)


@operator("ConvTranspose")
def conv_transpose(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A transposed convolution."""
    channels = _channels(value)
    if channels is None:
        return None
    spatial = value.rank - 2
    kernel = [draw(st.integers(1, 4)) for _ in range(spatial)]
    strides = [draw(st.integers(1, 2)) for _ in range(spatial)]
    pads = [draw(st.integers(0, 1)) for _ in range(2 * spatial)]
    weights = graph.weight(channels, 2, *kernel, scale=0.4)
    return graph.add("ConvTranspose", value, weights, graph.weight(2, scale=1.0), strides=strides, pads=pads)


@operator("Pool")
def pool(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A pool of any kind."""
    if _channels(value) is None and value.rank not in (3, 4):
        return None
    spatial = value.rank - 2
    kernel = [draw(st.integers(1, 3)) for _ in range(spatial)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": [draw(st.integers(1, 3)) for _ in range(spatial)]}
    attributes["pads"] = [draw(st.integers(0, size // 2)) for size in kernel] * 2
    kind = draw(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
    if kind != "LpPool":
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    if kind == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    return graph.add(kind, value, **attributes)


@operator("GlobalPool")
def global_pool(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A pool over all but the first two axes."""
    return graph.add(draw(st.sampled_from(["GlobalAveragePool", "GlobalMaxPool"])), value) if value.rank > 2 else None


@operator("Reduce")
def reduce(graph: Growing, draw: Draw, value: Value) -> Value:
    """A reduction over one or two axes."""
    kind = draw(st.sampled_from(["Mean", "Max", "Min", "Sum", "L1", "L2", "LogSum", "LogSumExp", "SumSquare", "Prod"]))
    axes = sorted({axis_of(draw, value) for _ in range(draw(st.integers(1, 2)))})
    keep = draw(st.integers(0, 1)) if value.rank > len(axes) else 1
    if kind == "Prod":
        value = graph.add("Tanh", value)
    if kind == "LogSum":
        value = _safe(graph, value)
    return graph.reduced(f"Reduce{kind}", value, axes, keep)


@operator("Softmax")
def softmax(graph: Growing, draw: Draw, value: Value) -> Value:
    """A softmax or its logarithm along any axis."""
    return graph.add(draw(st.sampled_from(["Softmax", "LogSoftmax"])), value, axis=axis_of(draw, value))


@operator("LayerNorm")
def layer_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A layer norm of the last axis."""
    width = value.fixed(value.rank - 1)
    if width is None or graph.opset < 17:
        return None
    return graph.add("LayerNormalization", value, graph.weight(width, scale=1.0), graph.weight(width, scale=1.0))


@operator("ChannelNorm")
def channel_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Batch or instance norm."""
    channels = value.fixed(1) if value.rank >= 3 else None
    if channels is None:
        return None
    numbers = [graph.weight(channels, scale=1.0) for _ in range(3)]
    if draw(st.booleans()):
        return graph.add("InstanceNormalization", value, *numbers[:2], epsilon=0.01)
    return graph.add("BatchNormalization", value, *numbers, graph.const([1.5] * channels))


@operator("Dense")
def dense(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A matrix product with weights over the last axis."""
    width = value.fixed(value.rank - 1)
    return (
        graph.add("MatMul", value, graph.weight(width, draw(st.integers(1, 5)))) if width and value.rank > 1 else None
    )


@operator("Gram")
def gram(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A value times itself transposed: contracts over its last axis, or over the one before."""
    if value.rank < 2:
        return None
    order = [*range(value.rank - 2), value.rank - 1, value.rank - 2]
    turned = graph.add("Transpose", value, perm=order)
    pair = (value, turned) if draw(st.booleans()) else (turned, value)
    return graph.add("Tanh", graph.add("MatMul", *pair))


@operator("Attention")
def attention(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Scores, softmax, mixture; the other value may have a length of its own."""
    if value.rank < 2:
        return None
    others = [each for each in graph.values if each.rank == value.rank]
    other = draw(st.sampled_from(others)) if others else value
    turned = graph.add("Transpose", other, perm=[*range(value.rank - 2), value.rank - 1, value.rank - 2])
    scores = graph.add("Softmax", graph.add("MatMul", value, turned), axis=-1)
    return graph.add("MatMul", scores, other)


@operator("Masked")
def masked(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Attention of positions to each other, some of which, perhaps all, are hidden by what is put in their place."""
    if value.rank != 3:
        return None
    turned = graph.add("Transpose", value, perm=[0, 2, 1])
    scores = graph.add("Tanh", graph.add("MatMul", value, turned))
    best = graph.reduced("ReduceMax", value, [2])
    seen = graph.add("Greater", graph.add("Transpose", best, perm=[0, 2, 1]), graph.const(draw(st.floats(-1, 2))))
    hidden = graph.const(draw(st.sampled_from([-1e4, -1e2, -9e3])))
    if draw(st.booleans()):
        scores = graph.add("Where", seen, scores, hidden)
    else:
        scores = graph.add("Add", scores, graph.add("Where", seen, graph.const(0.0), hidden))
    return graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
