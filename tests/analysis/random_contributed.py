"""How onnxruntime's own operators are put behind a value of a random graph."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, operator

_DOMAIN = "com.microsoft"


@operator("FusedActivation")
def fused_activation(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Activations that onnxruntime has as one operator, some with an offset per channel."""
    width = value.fixed(value.rank - 1)
    kind = draw(st.sampled_from(["FastGelu", "Gelu", "QuickGelu", "BiasGelu"]))
    if kind == "BiasGelu":
        return graph.add(kind, value, graph.weight(width, scale=1.0), domain=_DOMAIN) if width else None
    known = {"alpha": 1.3} if kind == "QuickGelu" else {}
    return graph.add(kind, value, domain=_DOMAIN, **known)


@operator("FusedMatMul")
def fused_mat_mul(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A product of a value with another one, either turned, which contracts over what may vary."""
    others = [each for each in graph.values if each.rank == value.rank]
    if value.rank not in (2, 3) or not others:
        return None
    other = draw(st.sampled_from(others))
    known = {"transA": draw(st.integers(0, 1)), "transB": draw(st.integers(0, 1)), "alpha": 0.5}
    kind = draw(st.sampled_from(["FusedMatMul", "TransposeMatMul"]))
    return graph.add("Tanh", graph.add(kind, value, other, domain=_DOMAIN, **known))


@operator("FusedConv")
def fused_conv(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A convolution with its activation."""
    channels = value.fixed(1) if value.rank == 4 else None
    if channels is None:
        return None
    kernel = [draw(st.integers(1, 3)) for _ in range(2)]
    known: dict[str, Any] = {"activation": draw(st.sampled_from(["Relu", "Sigmoid", "Tanh"])), "kernel_shape": kernel}
    known["pads"] = [draw(st.integers(0, 1)) for _ in range(4)]
    weights = graph.weight(2, channels, *kernel)
    return graph.add("FusedConv", value, weights, graph.weight(2, scale=1.0), domain=_DOMAIN, **known)


@operator("FusedGemm")
def fused_gemm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A matrix product with its activation."""
    width = value.fixed(1) if value.rank == 2 else None
    if width is None:
        return None
    numbers = graph.weight(width, 3), graph.weight(3, scale=1.0)
    return graph.add("FusedGemm", value, *numbers, activation="Relu", domain=_DOMAIN)


@operator("SkippedNorm")
def skipped_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A sum of two and its norm in one operator."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None:
        return None
    others = [each for each in graph.values if each.same_shape(value)]
    other = draw(st.sampled_from([value, *others]))
    numbers = [graph.weight(width, scale=1.0) for _ in range(2)]
    if draw(st.booleans()):
        kind, numbers = "SkipSimplifiedLayerNormalization", numbers[:1]
    else:
        kind = "SkipLayerNormalization"
    return graph.add(kind, value, other, *numbers, epsilon=0.01, domain=_DOMAIN)


@operator("FusedAttention")
def fused_attention(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """onnxruntime's attention of several heads, of a value to itself or to another one."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None:
        return None
    heads = 2 if width % 2 == 0 else 1
    if draw(st.booleans()):
        weights = graph.weight(width, 3 * width), graph.weight(3 * width, scale=1.0)
        known = {"unidirectional": draw(st.integers(0, 1)), "num_heads": heads}
        return graph.add("Attention", value, *weights, domain=_DOMAIN, **known)
    others = [each for each in graph.values if each.rank == 3 and each.fixed(2) == width]
    other = draw(st.sampled_from([value, *others]))
    return graph.add("MultiHeadAttention", value, other, other, num_heads=heads, domain=_DOMAIN)


@operator("GroupQueryAttention")
def group_query_attention(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Causal attention as decoders are exported for onnxruntime, without any past."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None or width % 8:
        return None
    batch = graph.shape_of(value, [graph.size(value, 0)])
    last = graph.cast(graph.add("Sub", graph.size(value, 1), graph.const(1)), "int32")
    lengths = graph.add("Expand", last, batch)
    total = graph.cast(graph.size(value, 1), "int32")
    operands = (value, value, value, None, None, lengths, total)
    known = {"num_heads": 1, "kv_num_heads": 1}
    return graph.add("GroupQueryAttention", *operands, outputs=3, domain=_DOMAIN, **known)[0]


@operator("BlockWeights")
def block_weights(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A product with weights of four bits, widened to a whole block first."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    wide = graph.add("MatMul", value, graph.weight(width, 16))
    weights = graph.const(graph.random.integers(0, 256, (3, 1, 8)), "uint8")
    scales = graph.const(graph.random.uniform(0.05, 0.2, 3))
    known = {"K": 16, "N": 3, "bits": 4, "block_size": 16}
    return graph.add("MatMulNBits", wide, weights, scales, domain=_DOMAIN, **known)


@operator("Inverse")
def inverse(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The inverse of a small matrix per position."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank != 3:
        return None
    turned = graph.add("Transpose", value, perm=[0, 2, 1])
    steady = graph.add(
        "Mul", graph.const([[float(at == to) for to in range(width)] for at in range(width)]), graph.const(9.0)
    )
    squares = graph.add("Add", graph.add("Tanh", graph.add("MatMul", turned, value)), steady)
    return graph.add("Inverse", squares, domain=_DOMAIN)


@operator("OwnNorm")
def own_norm(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A norm by the root of the mean square, as onnxruntime had it before ONNX did."""
    width = value.fixed(value.rank - 1)
    if width is None:
        return None
    if draw(st.booleans()):
        gate = graph.add("Neg", value)
        return graph.add("GatedRMSNorm", value, graph.weight(width, scale=1.0), gate, epsilon=0.01, domain=_DOMAIN)
    return graph.add("SimplifiedLayerNormalization", value, graph.weight(width, scale=1.0), epsilon=0.01, axis=-1)


@operator("OwnRotaryEmbedding")
def own_rotary_embedding(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """onnxruntime's rotary embedding, by the position of the first token."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None or width % 2:
        return None
    angles = graph.weight(40, width // 2, scale=1.0)
    tables = graph.add("Cos", angles), graph.add("Sin", angles)
    known = {"num_heads": 1, "rotary_embedding_dim": width, "interleaved": draw(st.integers(0, 1))}
    return graph.add("RotaryEmbedding", value, graph.const([1]), *tables, domain=_DOMAIN, **known)


@operator("FewBits")
def few_bits(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Rows of a table of four bits, or a product with weights of four bits in another code."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    if draw(st.booleans()):
        wide = graph.add("MatMul", value, graph.weight(width, 16))
        weights = graph.const(graph.random.integers(0, 256, 24), "uint8")
        largest = graph.const(graph.random.uniform(0.2, 0.9, 3))
        known = {"K": 16, "N": 3, "block_size": 16, "quant_type": draw(st.integers(0, 1))}
        return graph.add("MatMulBnb4", wide, weights, largest, domain=_DOMAIN, **known)
    best = graph.add("ArgMax", value, axis=value.rank - 1, keepdims=0)
    table = graph.const(graph.random.integers(0, 256, (width, 8)), "uint8")
    scales = graph.const(graph.random.uniform(0.05, 0.2, (width, 1)))
    known = {"gather_axis": 0, "quantize_axis": 1, "block_size": 16, "bits": 4}
    return graph.add("GatherBlockQuantized", table, best, scales, domain=_DOMAIN, **known)
