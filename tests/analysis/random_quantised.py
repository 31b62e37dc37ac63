"""How operators on numbers of eight bits are put behind a value of a random graph."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, operator

_SCALE = 0.0625


def _quantised(graph: Growing, draw: Draw, value: Value, dtype: str = "uint8") -> tuple[Value, Value, Value]:
    """Return a value in eight bits, with its scale and what stands for zero."""
    zero = draw(st.sampled_from([0, 7, 128] if dtype == "uint8" else [0, -5]))
    scale, point = graph.const(_SCALE), graph.const(zero, dtype)
    return graph.add("QuantizeLinear", value, scale, point), scale, point


def _whole_weights(graph: Growing, *shape: int) -> Value:
    return graph.const(graph.random.integers(-9, 10, shape), "int8")


@operator("Quantised")
def quantised(graph: Growing, draw: Draw, value: Value) -> Value:
    """To eight bits and back, with a scale that is given or follows from all values."""
    if draw(st.booleans()):
        return graph.add("DequantizeLinear", *_quantised(graph, draw, value, draw(st.sampled_from(["uint8", "int8"]))))
    return graph.add("DequantizeLinear", *graph.add("DynamicQuantizeLinear", value, outputs=3))


@operator("QuantisedMatrix")
def quantised_matrix(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A product of matrices in eight bits."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    whole, scale, zero = _quantised(graph, draw, value)
    weights, none = _whole_weights(graph, width, 3), graph.const(0, "int8")
    if draw(st.booleans()):
        found = graph.add("MatMulInteger", whole, weights, zero, none)
        return graph.add("Mul", graph.cast(found, "float32"), graph.const(0.01))
    after = graph.const(0.5), graph.const(100, "uint8")
    found = graph.add("QLinearMatMul", whole, scale, zero, weights, graph.const(0.1), none, *after)
    return graph.add("DequantizeLinear", found, *after)


@operator("QuantisedConvolution")
def quantised_convolution(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A convolution in eight bits, whose padding stands for zero."""
    channels = value.fixed(1) if value.rank == 4 else None
    if channels is None:
        return None
    whole, scale, zero = _quantised(graph, draw, value)
    kernel = [draw(st.integers(1, 3)) for _ in range(2)]
    known = {
        "pads": [draw(st.integers(0, 1)) for _ in range(4)],
        "strides": [draw(st.integers(1, 2)) for _ in range(2)],
    }
    weights = _whole_weights(graph, 2, channels, *kernel)
    none = graph.const(0, "int8")
    if draw(st.booleans()):
        found = graph.add("ConvInteger", whole, graph.cast(weights, "uint8"), zero, **known)
        return graph.add(
            "Mul", graph.cast(graph.add("Div", found, graph.const(64, "int32")), "float32"), graph.const(0.05)
        )
    after = graph.const(0.5), graph.const(100, "uint8")
    found = graph.add("QLinearConv", whole, scale, zero, weights, graph.const(0.1), none, *after, **known)
    return graph.add("DequantizeLinear", found, *after)


@operator("QuantisedByItself")
def quantised_by_itself(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A product of matrices whose scale follows from all values, as dynamic quantisation exports it."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    weights, scale = _whole_weights(graph, width, 3), graph.const(0.05)
    if draw(st.booleans()):
        return graph.add("DynamicQuantizeMatMul", value, weights, scale, domain="com.microsoft")
    whole, found, zero = graph.add("DynamicQuantizeLinear", value, outputs=3)
    total = graph.add("MatMulInteger", whole, weights, zero)
    return graph.add("Mul", graph.cast(total, "float32"), graph.add("Mul", found, scale))


@operator("QuantisedArithmetic")
def quantised_arithmetic(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """What onnxruntime makes of a quantised model: sums, activations and means in eight bits."""
    whole, scale, zero = _quantised(graph, draw, value)
    after = graph.const(0.125), graph.const(draw(st.sampled_from([0, 60])), "uint8")
    kinds = ["QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearConcat"]
    images = ["QLinearGlobalAveragePool", "QLinearAveragePool"] * (value.rank == 4 and value.fixed(1) is not None)
    kind = draw(st.sampled_from(kinds + images))
    operands: list[Value] = [whole, scale, zero]
    known: dict[str, object] = {}
    if kind in ("QLinearAdd", "QLinearMul"):
        operands *= 2
    elif kind == "QLinearSoftmax":
        known = {"axis": draw(st.integers(0, value.rank - 1)), "opset": graph.opset}
    elif kind == "QLinearAveragePool":
        known = {"kernel_shape": [2, 3], "pads": [0, 1, 0, 1], "count_include_pad": draw(st.integers(0, 1))}
    elif kind == "QLinearConcat":
        known = {"axis": draw(st.integers(0, value.rank - 1))}
        operands = [*after, *operands, *operands]
    elif kind == "QLinearGlobalAveragePool":
        known = {"channels_last": 0}
    ends = () if kind == "QLinearConcat" else after
    found = graph.add(kind, *operands, *ends, domain="com.microsoft", **known)
    return graph.add("DequantizeLinear", found, *after)


@operator("QuantisedElsewhere")
def quantised_elsewhere(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A product of matrices that onnxruntime makes of several operators, or a choice between two in eight bits."""
    whole, scale, zero = _quantised(graph, draw, value)
    after = graph.const(0.5), graph.const(100, "uint8")
    kind = draw(st.sampled_from(["MatMulIntegerToFloat", "QGemm", "QLinearWhere"]))
    if kind == "QLinearWhere":
        chosen = graph.add("Greater", value, graph.const(0.1))
        operands = (chosen, whole, scale, zero, *_quantised(graph, draw, graph.add("Neg", value)), *after)
        found = graph.add(kind, *operands, domain="com.microsoft")
        return graph.add("DequantizeLinear", found, *after)
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    weights, step, none = _whole_weights(graph, width, 3), graph.const(0.05), graph.const(0, "int8")
    if kind == "QGemm":
        if value.rank != 2:
            return None
        found = graph.add(kind, whole, scale, zero, weights, step, none, None, *after, domain="com.microsoft")
        return graph.add("DequantizeLinear", found, *after)
    return graph.add(kind, whole, weights, scale, step, zero, none, domain="com.microsoft")
