"""How less common arithmetic, logic and norms are put behind a value of a random graph."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, axis_of, operator

_OF_ONE = [
    ("Acos", "unit"),
    ("Acosh", "above"),
    ("Asin", "unit"),
    ("Asinh", ""),
    ("Atan", ""),
    ("Atanh", "unit"),
    ("Ceil", "twice"),
    ("Celu", ""),
    ("Cosh", "unit"),
    ("Elu", ""),
    ("Exp", "unit"),
    ("Floor", "twice"),
    ("HardSigmoid", ""),
    ("Round", "twice"),
    ("Selu", ""),
    ("Shrink", ""),
    ("Sign", ""),
    ("Sin", ""),
    ("Sinh", "unit"),
    ("Softsign", ""),
    ("Tan", "unit"),
    ("ThresholdedRelu", ""),
]
"""Operators of one tensor, and to what it is brought before."""


@operator("LessCommonUnary")
def unary(graph: Growing, draw: Draw, value: Value) -> Value:
    """One of the rarer operators that keep positions apart."""
    later = [("Mish", "")] * (graph.opset >= 18) + [("Gelu", "")] * (graph.opset >= 20)
    kind, first = draw(st.sampled_from(_OF_ONE + later))
    if first == "unit":
        value = graph.add("Mul", graph.add("Tanh", value), graph.const(0.9))
    elif first == "above":
        value = graph.add("Add", graph.add("Abs", value), graph.const(1.1))
    elif first == "twice":
        value = graph.add("Mul", value, graph.const(2.5))
    return graph.add(kind, value)


@operator("Clip")
def clip(graph: Growing, draw: Draw, value: Value) -> Value:
    """Bounded below, above or both; zero need not lie between."""
    least, most = draw(st.sampled_from([(-0.5, 0.5), (0.3, None), (None, -0.2), (0.2, 0.9)]))
    return graph.add("Clip", value, *(None if end is None else graph.const(end) for end in (least, most)))


@operator("Power")
def power(graph: Growing, draw: Draw, value: Value) -> Value:
    """A power by a number, or of a number."""
    kind = draw(st.sampled_from(["square", "root", "exponent", "per channel"]))
    if kind == "square":
        return graph.add("Pow", value, graph.const(2.0))
    if kind == "root":
        return graph.add("Pow", graph.add("Add", graph.add("Abs", value), graph.const(0.1)), graph.const(-0.5))
    if kind == "exponent":
        return graph.add("Pow", graph.const(1.3), graph.add("Tanh", value))
    slopes = graph.weight(value.fixed(value.rank - 1) or 1, scale=0.5)
    return graph.add("PRelu", value, slopes)


@operator("Modulo")
def modulo(graph: Growing, draw: Draw, value: Value) -> Value:
    """The rest of a division, of whole numbers or not."""
    if draw(st.booleans()):
        return graph.add("Mod", value, graph.const(0.75), fmod=1)
    whole = graph.cast(graph.add("Mul", value, graph.const(4.0)), "int64")
    return graph.cast(graph.add("Mod", whole, graph.const(3)), "float32")


@operator("Logic")
def logic(graph: Growing, draw: Draw, value: Value) -> Value:
    """Two comparisons joined, and a choice by what they say."""
    above = graph.add(draw(st.sampled_from(["Greater", "GreaterOrEqual"])), value, graph.const(0.3))
    below = graph.add(draw(st.sampled_from(["Less", "LessOrEqual"])), value, graph.const(-0.4))
    joined = graph.add(draw(st.sampled_from(["And", "Or", "Xor"])), above, graph.add("Not", below))
    if draw(st.booleans()):
        rounded = graph.cast(value, "int32")
        joined = graph.add("Or", joined, graph.add("Equal", rounded, graph.const(0, "int32")))
    if draw(st.booleans()):
        return graph.add("Mul", value, graph.cast(joined, "float32"))
    return graph.add("Where", joined, graph.const(draw(st.sampled_from([0.0, 1.0, -2.0]))), value)


@operator("Bits")
def bits(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Arithmetic on the bits of whole numbers."""
    if draw(st.booleans()):
        small = graph.cast(graph.add("Abs", graph.add("Mul", graph.add("Tanh", value), graph.const(30.0))), "uint8")
        shift = graph.const(draw(st.integers(1, 2)), "uint8")
        way = draw(st.sampled_from(["LEFT", "RIGHT"]))
        return graph.cast(graph.add("BitShift", small, shift, direction=way), "float32")
    if graph.opset < 18:
        return None
    whole = graph.cast(graph.add("Mul", value, graph.const(8.0)), "int32")
    kind = draw(st.sampled_from(["BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"]))
    others = [] if kind == "BitwiseNot" else [graph.const(5, "int32")]
    return graph.cast(graph.add(kind, whole, *others), "float32")


@operator("NotFinite")
def not_finite(graph: Growing, draw: Draw, value: Value) -> Value:
    """What is infinite or no number, and other numbers in its place."""
    kind = draw(st.sampled_from(["IsInf", "IsNaN"]))
    found = graph.add(kind, value)
    return graph.add("Where", found, graph.const(0.5), value)


@operator("GroupNorm")
def group_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A norm of groups of channels, over all positions."""
    channels = value.fixed(1) if value.rank >= 3 else None
    if channels is None or graph.opset < 21:
        return None
    numbers = [graph.weight(channels, scale=1.0) for _ in range(2)]
    groups = draw(st.sampled_from([count for count in (1, 2, channels) if channels % count == 0]))
    return graph.add("GroupNormalization", value, *numbers, num_groups=groups, epsilon=0.01)


@operator("RootMeanSquareNorm")
def root_mean_square_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A norm by the root of the mean square of the last axis."""
    width = value.fixed(value.rank - 1)
    if width is None or graph.opset < 23:
        return None
    return graph.add("RMSNormalization", value, graph.weight(width, scale=1.0), epsilon=0.01)


@operator("MeanVarianceNorm")
def mean_variance_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A norm over some axes, which may vary."""
    if value.rank < 2 or value.probes[0].dtype.kind != "f":
        return None
    axes = sorted({axis_of(draw, value) for _ in range(draw(st.integers(1, 3)))})
    noise = graph.add("Add", value, graph.add("Sin", graph.add("Mul", value, graph.const(9.0))))
    return graph.add("Tanh", graph.add("MeanVarianceNormalization", noise, axes=axes))


@operator("LengthNorm")
def length_norm(graph: Growing, draw: Draw, value: Value) -> Value:
    """Divided by the length along an axis."""
    safe = graph.add("Add", graph.add("Abs", value), graph.const(0.1))
    return graph.add("LpNormalization", safe, axis=axis_of(draw, value), p=draw(st.integers(1, 2)))


@operator("LocalResponseNorm")
def local_response_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Divided by what neighbouring channels hold."""
    if value.rank != 4:
        return None
    return graph.add("LRN", value, size=draw(st.sampled_from([1, 3, 5])), alpha=0.5, bias=1.5)


@operator("Hardmax")
def hardmax(graph: Growing, draw: Draw, value: Value) -> Value:
    """One where the greatest of an axis stands."""
    return graph.add("Hardmax", value, axis=axis_of(draw, value))


@operator("GlobalLpPool")
def global_lp_pool(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The length of all positions of an image."""
    return graph.add("GlobalLpPool", value, p=draw(st.integers(1, 2))) if value.rank in (3, 4) else None


@operator("Gemm")
def gemm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A matrix product of two axes, turned or not, with factors and an offset."""
    if value.rank != 2:
        return None
    across = draw(st.integers(0, 1))
    width = value.fixed(0 if across else 1)
    if width is None:
        return None
    turned = draw(st.integers(0, 1))
    weights = graph.weight(*((3, width) if turned else (width, 3)))
    offset = [graph.weight(3, scale=1.0)] if draw(st.booleans()) else []
    factors = {"alpha": 0.5, "beta": 1.5} if draw(st.booleans()) else {}
    return graph.add("Gemm", value, weights, *offset, transA=across, transB=turned, **factors)


@operator("Spectrum")
def spectrum(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A Fourier transform along a fixed axis, or of windows of a signal."""
    if graph.opset < 17 or value.rank != 3:
        return None
    fixed = [axis for axis in value.fixed_axes if axis > 0]
    if draw(st.booleans()) and fixed:
        wide = graph.add("Unsqueeze", value, graph.const([3]))
        axis = draw(st.sampled_from(fixed))
        known: dict[str, Any] = {"onesided": draw(st.integers(0, 1))}
        if graph.opset >= 20:
            found = graph.add("DFT", wide, None, graph.const(axis), **known)
        else:
            found = graph.add("DFT", wide, axis=axis, **known)
    else:
        signal = graph.reduced("ReduceMean", value, [value.rank - 1])
        step = graph.const(draw(st.integers(1, 3)))
        found = graph.add("STFT", signal, step, graph.const([0.3, 1.0, 0.8, 0.5]), graph.const(4))
    return graph.reduced("ReduceSumSquare", found, [3], 0)


@operator("RotaryEmbedding")
def rotary_embedding(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Pairs of channels turned by angles that grow with the position."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None or width % 2 or graph.opset < 23:
        return None
    length = graph.size(value, 1)
    numbers = graph.add("Range", graph.const(0), length, graph.const(1))
    wide = graph.add("Expand", numbers, graph.shape_of(value, [graph.size(value, 0), length]))
    angles = graph.weight(40, width // 2, scale=1.0)
    tables = [graph.add("Cos", angles), graph.add("Sin", angles)]
    return graph.add("RotaryEmbedding", value, *tables, wide, num_heads=1, interleaved=draw(st.integers(0, 1)))


@operator("AttentionOperator")
def attention_operator(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Opset 23's attention, of a value to itself or to another one, causal or not."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None or graph.opset < 23:
        return None
    others = [each for each in graph.values if each.rank == 3 and each.fixed(2) == width]
    other = draw(st.sampled_from([value, *others]))
    causal = draw(st.integers(0, 1))
    return graph.add("Attention", value, other, other, q_num_heads=1, kv_num_heads=1, is_causal=causal)


@operator("Several")
def several(graph: Growing, draw: Draw, value: Value) -> Value:
    """The sum or mean of several values, each as it is or broadcast."""
    others = [each for each in graph.values if each.same_shape(value)] or [value]
    other = draw(st.sampled_from(others))
    kind = draw(st.sampled_from(["Sum", "Mean", "Max", "Min"]))
    row = graph.weight(value.fixed(value.rank - 1) or 1, scale=1.0)
    return graph.add(kind, value, other, row, graph.const(0.4))


@operator("Unchanged")
def unchanged(graph: Growing, draw: Draw, value: Value) -> Value:
    """What does nothing when a model is served."""
    kind = draw(st.sampled_from(["Identity", "Dropout", "CastLike"]))
    if kind == "CastLike" and graph.opset >= 15:
        return graph.add("CastLike", graph.cast(value, "int32"), graph.const(0.5))
    return graph.add("Identity" if kind == "CastLike" else kind, value)


@operator("DivideByCount")
def divide_by_count(graph: Growing, draw: Draw, value: Value) -> Value:
    """A value divided by how many numbers it has, and a constant of its shape added."""
    count = graph.cast(graph.add("Size", value), "float32")
    ones = graph.add("ConstantOfShape", graph.add("Shape", value))
    return graph.add("Add", graph.add("Div", value, count), ones)


@operator("Determinant")
def determinant(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The determinant of a small matrix per position."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    wide = graph.add("Unsqueeze", value, graph.const([value.rank]))
    row = graph.const(graph.random.standard_normal((1, width)))
    return graph.add("Det", graph.add("Tanh", graph.add("MatMul", wide, row)))


@operator("Turned")
def turned(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """An image read at places that a matrix per image gives."""
    if value.rank != 4 or graph.opset < 20:
        return None
    matrix = graph.const([[[0.9, 0.2, 0.1], [-0.1, 1.1, 0.0]]])
    batch = graph.shape_of(value, [graph.size(value, 0), 2, 3])
    corners = draw(st.integers(0, 1))
    places = graph.add(
        "AffineGrid", graph.add("Expand", matrix, batch), graph.add("Shape", value), align_corners=corners
    )
    known = {"mode": draw(st.sampled_from(["linear", "nearest"])), "align_corners": corners}
    return graph.add("GridSample", value, places, **known)


@operator("Deformed")
def deformed(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A convolution that reads at places which follow from the image."""
    channels = value.fixed(1) if value.rank == 4 and graph.opset >= 19 else None
    if channels is None:
        return None
    weights = graph.weight(8, channels, 2, 2, scale=0.3)
    offsets = graph.add("Conv", value, weights)
    return graph.add("DeformConv", value, graph.weight(2, channels, 2, 2), offsets)
