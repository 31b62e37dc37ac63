"""Decoders: causal masks in their exported forms, rotary embeddings, and a key-value cache."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import (
    attend,
    linear,
    merge_heads,
    rms_norm,
    rotate,
    split_heads,
    swish,
    transformer_layer,
)
from benchmarks.zoo.model import Fill, Sizes, Span, built, ones, tokens

__all__ = ["DECODING"]

_VOCABULARY, _WIDTH, _HEADS, _SIZE, _LONGEST = 50, 32, 4, 8, 128
_LOWEST = float(np.finfo(np.float32).min)


def _words(g: Graph, ids: str) -> str:
    return str(g.op("Gather", g.weight(_VOCABULARY, _WIDTH, scale=1.0), ids, axis=0))


def _rotary(g: Graph, positions: str) -> tuple[str, str]:
    """Return cosine and sine of rotary embeddings [batch, 1, length, size] for positions [batch, length]."""
    frequencies = g.const((10000.0 ** (-np.arange(0, _SIZE, 2) / _SIZE))[None, None].astype(np.float32))
    angles = g.op("Mul", g.op("Unsqueeze", g.cast(positions, "float32"), g.const([2])), frequencies)
    doubled = g.op("Unsqueeze", g.op("Concat", angles, angles, axis=-1), g.const([1]))
    return str(g.op("Cos", doubled)), str(g.op("Sin", doubled))


def _gated(g: Graph, x: str) -> str:
    """Return LLaMA's feed-forward part."""
    gate = swish(g, str(g.op("MatMul", x, g.weight(_WIDTH, 48))))
    return str(g.op("MatMul", g.op("Mul", gate, g.op("MatMul", x, g.weight(_WIDTH, 48))), g.weight(48, _WIDTH)))


def _heads(g: Graph, x: str) -> str:
    return split_heads(g, str(g.op("MatMul", x, g.weight(_WIDTH, _WIDTH))), _HEADS, _SIZE)


def llama_trilu() -> onnx.ModelProto:
    """A LLaMA-like block: RMS norms, rotary positions from Range, gated layers, a causal mask by Trilu."""
    g = Graph("llama_trilu")
    ids = g.input("input_ids", ["batch", "sequence"], "int64")
    x, length = _words(g, ids), g.dim(ids, 1)
    cosine, sine = _rotary(g, str(g.op("Unsqueeze", g.range(length), g.const([0]))))
    full = g.op("Expand", g.const(_LOWEST), g.vector(length, length))
    bias = str(g.op("Unsqueeze", g.op("Trilu", full, g.const(1), upper=1), g.const([0, 1])))
    for _ in range(2):
        y = rms_norm(g, x, _WIDTH)
        query, key = (rotate(g, _heads(g, y), cosine, sine, _SIZE) for _ in range(2))
        mixed = merge_heads(g, attend(g, query, key, _heads(g, y), _SIZE, bias), _WIDTH)
        x = str(g.op("Add", x, g.op("MatMul", mixed, g.weight(_WIDTH, _WIDTH))))
        x = str(g.op("Add", x, _gated(g, rms_norm(g, x, _WIDTH))))
    logits = g.op("MatMul", rms_norm(g, x, _WIDTH), g.weight(_WIDTH, _VOCABULARY))
    g.output(str(logits), "logits", ["batch", "sequence", _VOCABULARY])
    return g.model()


def gpt_buffer() -> onnx.ModelProto:
    """GPT-2's causal mask: a stored triangle cut to the length, chosen by Where, and positions from a table."""
    g = Graph("gpt_buffer")
    ids = g.input("input_ids", ["batch", "sequence"], "int64")
    length = g.dim(ids, 1)
    positions = g.slice(g.const(np.arange(_LONGEST)[None]), 1, 0, length)
    x = str(g.op("Add", _words(g, ids), g.op("Gather", g.weight(_LONGEST, _WIDTH, scale=0.5), positions)))
    triangle = g.const(np.tril(np.ones((1, 1, _LONGEST, _LONGEST), bool)))
    visible = g.slice(g.slice(triangle, 2, 0, length), 3, 0, length)
    joined = linear(g, x, _WIDTH, 3 * _WIDTH)
    query, key, value = (split_heads(g, str(part), _HEADS, _SIZE) for part in g.op("Split", joined, outputs=3, axis=2))
    scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
    scores = g.op("Where", visible, g.op("Div", scores, g.const(float(np.sqrt(_SIZE)))), g.const(-10000.0))
    mixed = merge_heads(g, str(g.op("MatMul", g.op("Softmax", scores, axis=-1), value)), _WIDTH)
    x = str(g.op("Add", x, linear(g, mixed, _WIDTH, _WIDTH)))
    last = g.op("Gather", x, g.const(-1), axis=1)
    g.output(x, "hidden_states", ["batch", "sequence", _WIDTH])
    g.output(linear(g, str(last), _WIDTH, _VOCABULARY), "next_token_logits", ["batch", _VOCABULARY])
    return g.model()


def causal_less() -> onnx.ModelProto:
    """A causal mask from comparing two Ranges, and no batch axis that varies."""
    g = Graph("causal_less")
    x = g.input("x", [1, "sequence", _WIDTH])
    positions = g.range(g.dim(x, 1))
    rows, columns = (g.op("Unsqueeze", positions, g.const([axis])) for axis in (1, 0))
    hidden = g.op("Less", rows, columns)
    bias = str(g.op("Where", hidden, g.const(-1e9), g.const(0.0)))
    g.output(transformer_layer(g, x, _WIDTH, _HEADS, bias), "y", [1, "sequence", _WIDTH])
    return g.model()


def decoder_cache() -> onnx.ModelProto:
    """A decoder with a key-value cache: past and new positions, a mask over both, rotary positions as an input."""
    g = Graph("decoder_cache")
    ids = g.input("input_ids", ["batch", "sequence_length"], "int64")
    visible = g.input("attention_mask", ["batch", "past_sequence_length + sequence_length"], "int64")
    positions = g.input("position_ids", ["batch", "sequence_length"], "int64")
    dims = ("batch", _HEADS, "past_sequence_length", _SIZE)
    past = [(g.input(f"past_key_values.{i}.key", dims), g.input(f"past_key_values.{i}.value", dims)) for i in (0, 1)]
    x = _words(g, ids)
    bias = _cache_bias(g, visible, g.dim(past[0][0], 2), g.dim(ids, 1))
    cosine, sine = _rotary(g, positions)
    presents = []
    for keys, values in past:
        y = rms_norm(g, x, _WIDTH)
        query, key = (rotate(g, _heads(g, y), cosine, sine, _SIZE) for _ in range(2))
        key = str(g.op("Concat", keys, key, axis=2))
        value = str(g.op("Concat", values, _heads(g, y), axis=2))
        presents.append((key, value))
        mixed = merge_heads(g, attend(g, query, key, value, _SIZE, bias), _WIDTH)
        x = str(g.op("Add", x, g.op("MatMul", mixed, g.weight(_WIDTH, _WIDTH))))
        x = str(g.op("Add", x, _gated(g, rms_norm(g, x, _WIDTH))))
    logits = g.op("MatMul", rms_norm(g, x, _WIDTH), g.weight(_WIDTH, _VOCABULARY))
    g.output(str(logits), "logits", ["batch", "sequence_length", _VOCABULARY])
    dims = ("batch", _HEADS, "past_sequence_length + sequence_length", _SIZE)
    for index, pair in enumerate(presents):
        for value, part in zip(pair, ("key", "value"), strict=True):
            g.output(value, f"present.{index}.{part}", dims)
    return g.model()


def _cache_bias(g: Graph, visible: str, past: str, new: str) -> str:
    """Return the additive mask [batch, 1, new, past + new]: causal from the past's length on, and the given one."""
    total = str(g.op("Add", past, new))
    rows = g.op("Unsqueeze", g.op("Add", g.range(new), past), g.const([1]))
    later = g.op("Less", rows, g.op("Unsqueeze", g.range(total), g.const([0])))
    masked = g.op("Equal", g.op("Unsqueeze", visible, g.const([1, 2])), g.const(0))
    return str(g.op("Where", g.op("Or", masked, later), g.const(_LOWEST), g.const(0.0)))


def decoder_step() -> onnx.ModelProto:
    """One step of decoding: a single new token over a cache, with no mask; the present is one longer than the past."""
    g = Graph("decoder_step")
    x = g.input("x", ["batch", 1, _WIDTH])
    dims = ("batch", _HEADS, "past", _SIZE)
    keys, values = g.input("past_key", dims), g.input("past_value", dims)
    key = str(g.op("Concat", keys, _heads(g, x), axis=2))
    value = str(g.op("Concat", values, _heads(g, x), axis=2))
    mixed = merge_heads(g, attend(g, _heads(g, x), key, value, _SIZE), _WIDTH)
    g.output(linear(g, str(g.op("Add", x, mixed)), _WIDTH, _VOCABULARY), "logits", ["batch", 1, _VOCABULARY])
    g.output(key, "present_key", ["batch", _HEADS, "past + 1", _SIZE])
    g.output(value, "present_value", ["batch", _HEADS, "past + 1", _SIZE])
    return g.model()


def attention_op_cache() -> onnx.ModelProto:
    """Opset 23: the Attention operator with past keys and values and a mask as its inputs."""
    g = Graph("attention_op_cache", opset=23)
    x = g.input("x", ["batch", "new", _WIDTH])
    visible = g.input("attention_mask", ["batch", "past + new"], "int64")
    dims = ("batch", _HEADS, "past", _SIZE)
    keys, values = g.input("past_key", dims), g.input("past_value", dims)
    bias = g.op("Where", g.op("Equal", visible, g.const(0)), g.const(-10000.0), g.const(0.0))
    bias = g.op("Unsqueeze", bias, g.const([1, 2]))
    bias = g.op("Expand", bias, g.vector(1, 1, g.dim(x, 1), 1))
    query, key, value = (_heads(g, x) for _ in range(3))
    mixed, key, value = g.op("Attention", query, key, value, str(bias), keys, values, outputs=3)
    g.output(merge_heads(g, mixed, _WIDTH), "y", ["batch", "new", _WIDTH])
    g.output(key, "present_key", ["batch", _HEADS, "past + new", _SIZE])
    g.output(value, "present_value", ["batch", _HEADS, "past + new", _SIZE])
    return g.model()


def state_space() -> onnx.ModelProto:
    """Mamba-2: a decaying state as sums of segments, CumSum and Exp below a triangle, in one Einsum of four tensors."""
    g = Graph("state_space")
    x = g.input("x", ["batch", "length", _WIDTH])
    decay = g.op("CumSum", g.op("Neg", g.op("Softplus", linear(g, x, _WIDTH, _HEADS))), g.const(1))
    between = g.op("Sub", *(g.op("Unsqueeze", decay, g.const([at])) for at in (2, 1)))
    length = g.dim(x, 1)
    triangle = g.op("Trilu", g.op("Expand", g.const(1.0), g.vector(length, length)), upper=0)
    seen = g.op("Unsqueeze", g.op("Cast", triangle, to=9), g.const([0, 3]))
    weights = g.op("Exp", g.op("Where", seen, between, g.const(float("-inf"))))
    given, read = (linear(g, x, _WIDTH, _HEADS) for _ in range(2))
    y = g.op("Einsum", read, given, weights, x, equation="bih,bjh,bijh,bjd->bid")
    g.output(str(y), "y", ["batch", "length", _WIDTH])
    return g.model()


def _after(past: str) -> Fill:
    """Return a filler of the positions that follow ``past`` ones."""

    def fill(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[np.int64]:
        return np.broadcast_to(np.arange(shape[1]) + sizes[past], shape)

    return fill


_SIZES = {"batch": Span(1, 3), "sequence": Span(1, 40)}
_IDS = tokens(_VOCABULARY)

DECODING = (
    built("decoding", llama_trilu, _SIZES, input_ids=_IDS),
    built("decoding", gpt_buffer, _SIZES, input_ids=_IDS),
    built("decoding", causal_less, {"sequence": Span(1, 48)}),
    built(
        "decoding",
        decoder_cache,
        {"batch": Span(1, 2), "sequence_length": Span(1, 8), "past_sequence_length": Span(1, 40)},
        input_ids=_IDS,
        attention_mask=ones,
        position_ids=_after("past_sequence_length"),
    ),
    built("decoding", state_space, {"batch": Span(1, 3), "length": Span(1, 40)}),
    built("decoding", decoder_step, {"batch": Span(1, 2), "past": Span(1, 40)}),
    built(
        "decoding",
        attention_op_cache,
        {"batch": Span(1, 2), "new": Span(1, 8), "past": Span(1, 40)},
        attention_mask=ones,
    ),
)
