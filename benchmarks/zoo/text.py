"""Encoders of text and of sequences that somebody embedded already."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import (
    attention,
    feed_forward,
    gelu,
    layer_norm,
    linear,
    merge_heads,
    norm,
    split_heads,
    transformer_layer,
)
from benchmarks.zoo.model import Span, built, mask, tokens

__all__ = ["TEXT"]

_VOCABULARY, _WIDTH, _HEADS, _LONGEST = 50, 32, 4, 128
_SIZES = {"batch": Span(1, 4), "sequence": Span(2, 48)}
_IDS: dict[str, Any] = {"input_ids": tokens(_VOCABULARY), "attention_mask": mask}


def _embed(g: Graph, ids: str) -> str:
    """Sum the embeddings of tokens and of positions, these cut from a stored table to the length."""
    table = g.const(np.arange(_LONGEST)[None])
    positions = g.slice(table, 1, 0, g.dim(ids, 1))
    words = g.op("Gather", g.weight(_VOCABULARY, _WIDTH, scale=1.0), ids, axis=0)
    return str(g.op("Add", words, g.op("Gather", g.weight(_LONGEST, _WIDTH, scale=0.5), positions, axis=0)))


def _additive_mask(g: Graph, given: str) -> str:
    """Return (1 - mask) · -10000, as early versions of BERT were exported."""
    wide = g.cast(str(g.op("Unsqueeze", given, g.const([1, 2]))), "float32")
    return str(g.op("Mul", g.op("Sub", g.const(1.0), wide), g.const(-10000.0)))


def bert_masked() -> onnx.ModelProto:
    """BERT with its mask as (1 - mask) · -10000, and the pooled first token."""
    g = Graph("bert_masked")
    ids = g.input("input_ids", ["batch", "sequence"], "int64")
    visible = g.input("attention_mask", ["batch", "sequence"], "int64")
    kinds = g.input("token_type_ids", ["batch", "sequence"], "int64")
    x = str(g.op("Add", _embed(g, ids), g.op("Gather", g.weight(2, _WIDTH, scale=1.0), kinds)))
    x, bias = layer_norm(g, x, _WIDTH), _additive_mask(g, visible)
    for _ in range(2):
        x = transformer_layer(g, x, _WIDTH, _HEADS, bias)
    first = g.op("Gather", x, g.const(0), axis=1)
    g.output(x, "last_hidden_state", ["batch", "sequence", _WIDTH])
    g.output(str(g.op("Tanh", linear(g, str(first), _WIDTH, _WIDTH))), "pooler_output", ["batch", _WIDTH])
    return g.model()


def bert_where() -> onnx.ModelProto:
    """BERT whose mask is expanded and chosen by Where with -inf, pooled by the mean over the mask."""
    g = Graph("bert_where")
    ids = g.input("input_ids", ["batch", "sequence"], "int64")
    visible = g.input("attention_mask", ["batch", "sequence"], "int64")
    x, length = norm(g, _embed(g, ids), _WIDTH), g.dim(ids, 1)
    wide = g.op("Unsqueeze", visible, g.const([1, 2]))
    full = g.op("Expand", wide, g.vector(g.dim(ids, 0), 1, length, length))
    hidden = g.op("Equal", full, g.const(0))
    bias = str(g.op("Where", hidden, g.const(-np.inf), g.const(0.0)))
    for _ in range(2):
        x = transformer_layer(g, x, _WIDTH, _HEADS, bias)
    weights = g.cast(str(g.op("Expand", g.op("Unsqueeze", visible, g.const([-1])), g.op("Shape", x))), "float32")
    total = g.op("ReduceSum", g.op("Mul", x, weights), g.const([1]), keepdims=0)
    count = g.op("Clip", g.op("ReduceSum", weights, g.const([1]), keepdims=0), g.const(1e-9))
    mean = g.op("Div", total, count)
    length_of_it = g.op("ReduceL2", mean, axes=[1])
    unit = g.op("Div", mean, g.op("Expand", g.op("Clip", length_of_it, g.const(1e-12)), g.op("Shape", mean)))
    g.output(str(unit), "sentence_embedding", ["batch", _WIDTH])
    g.output(x, "token_embeddings", ["batch", "sequence", _WIDTH])
    return g.model()


def encoder_unmasked() -> onnx.ModelProto:
    """A Transformer encoder without any mask, over embedded tokens."""
    g = Graph("encoder_unmasked")
    x = g.input("inputs_embeds", ["batch", "sequence", _WIDTH])
    y = linear(g, x, _WIDTH, _WIDTH)
    for _ in range(2):
        y = transformer_layer(g, y, _WIDTH, _HEADS)
    g.output(y, "last_hidden_state", ["batch", "sequence", _WIDTH])
    return g.model()


def unbatched_encoder() -> onnx.ModelProto:
    """A Transformer without a batch: the first axis of its input and output is the length."""
    g = Graph("unbatched_encoder")
    x = g.input("x", ["length", _WIDTH])
    y = str(g.op("Unsqueeze", x, g.const([0])))
    y = transformer_layer(g, y, _WIDTH, _HEADS)
    g.output(str(g.op("Squeeze", y, g.const([0]))), "y", ["length", _WIDTH])
    return g.model()


def attention_op() -> onnx.ModelProto:
    """Opset 23: the Attention operator without a mask, and RMSNormalization."""
    g = Graph("attention_op", opset=23)
    x = g.input("x", ["batch", "sequence", _WIDTH])
    y = g.op("RMSNormalization", x, g.weight(_WIDTH, scale=0.2, mean=1.0), axis=-1)
    parts = [linear(g, str(y), _WIDTH, _WIDTH) for _ in range(3)]
    mixed = g.op("Attention", *parts, q_num_heads=_HEADS, kv_num_heads=_HEADS)
    g.output(str(g.op("Add", x, mixed)), "y", ["batch", "sequence", _WIDTH])
    return g.model()


def attention_op_causal() -> onnx.ModelProto:
    """Opset 23: the Attention operator, causal, with fewer heads for keys than for queries."""
    g = Graph("attention_op_causal", opset=23)
    x = g.input("x", ["batch", "sequence", _WIDTH])
    query = split_heads(g, linear(g, x, _WIDTH, _WIDTH), _HEADS, 8)
    key, value = (split_heads(g, linear(g, x, _WIDTH, 16), 2, 8) for _ in range(2))
    mixed = g.op("Attention", query, key, value, is_causal=1)
    g.output(merge_heads(g, str(mixed), _WIDTH), "y", ["batch", "sequence", _WIDTH])
    return g.model()


def encoder_decoder() -> onnx.ModelProto:
    """Encoder and decoder in one, in the shapes of nncase's documentation, without any mask but the causal one."""
    g = Graph("encoder_decoder")
    source = g.input("src", ["batch_size", "seq_len"], "int64")
    target = g.input("tgt", ["batch_size", "tgt_seq_len"], "int64")
    memory = transformer_layer(g, _embed(g, source), _WIDTH, _HEADS)
    length = g.dim(target, 1)
    ones = g.op(
        "ConstantOfShape", g.vector(length, length), value=onnx.numpy_helper.from_array(np.array([1], np.float32))
    )
    later = g.op("Trilu", ones, g.const(1), upper=1)
    bias = str(g.op("Mul", later, g.const(-1e9)))
    y = transformer_layer(g, _embed(g, target), _WIDTH, _HEADS, bias, memory)
    g.output(linear(g, y, _WIDTH, _VOCABULARY), "logits", ["batch_size", "tgt_seq_len", _VOCABULARY])
    return g.model()


def encoder_decoder_masked() -> onnx.ModelProto:
    """A decoder that attends to given states of an encoder, whose mask is an input."""
    g = Graph("encoder_decoder_masked")
    ids = g.input("input_ids", ["batch", "decoder_sequence"], "int64")
    states = g.input("encoder_hidden_states", ["batch", "encoder_sequence", _WIDTH])
    visible = g.input("encoder_attention_mask", ["batch", "encoder_sequence"], "int64")
    x = _embed(g, ids)
    x = str(g.op("Add", x, attention(g, x, _WIDTH, _HEADS, _additive_mask(g, visible), states)))
    g.output(feed_forward(g, norm(g, x, _WIDTH), _WIDTH), "y", ["batch", "decoder_sequence", _WIDTH])
    return g.model()


def text_cnn() -> onnx.ModelProto:
    """Embedding, convolutions of three widths over time, the greatest over time, a classifier."""
    g = Graph("text_cnn")
    ids = g.input("tokens", ["batch", "sequence"], "int64")
    x = str(g.op("Transpose", g.op("Gather", g.weight(_VOCABULARY, 16, scale=1.0), ids), perm=[0, 2, 1]))
    greatest = []
    for kernel in (3, 4, 5):
        weights = g.weight(8, 16, kernel)
        y = g.op("Relu", g.op("Conv", x, weights, g.weight(8, scale=0.3), pads=[0, 0]))
        greatest.append(str(g.op("ReduceMax", y, axes=[2], keepdims=0)))
    g.output(linear(g, str(g.op("Concat", *greatest, axis=1)), 24, 5), "logits", ["batch", 5])
    return g.model()


def recommender() -> onnx.ModelProto:
    """Bags of items summed and averaged over a history in which 0 means none, beside dense features."""
    g = Graph("recommender")
    history = g.input("history", ["batch", "items"], "int64")
    weights = g.input("weights", ["batch", "items"])
    dense = g.input("dense", ["batch", 6])
    rows = g.op("Gather", g.weight(_VOCABULARY, 16, scale=1.0), history, axis=0)
    weighted = g.op("ReduceSum", g.op("Mul", rows, g.op("Unsqueeze", weights, g.const([-1]))), g.const([1]), keepdims=0)
    seen = g.cast(str(g.op("Not", g.op("Equal", history, g.const(0)))), "float32")
    count = g.op("Max", g.op("ReduceSum", seen, g.const([1])), g.const(1.0))
    shown = g.op("ReduceSum", g.op("Mul", rows, g.op("Unsqueeze", seen, g.const([-1]))), g.const([1]), keepdims=0)
    joined = g.op("Concat", weighted, g.op("Div", shown, count), linear(g, dense, 6, 8), axis=1)
    score = linear(g, str(g.op("Relu", linear(g, str(joined), 40, 16))), 16, 1)
    g.output(str(g.op("Sigmoid", score)), "score", ["batch", 1])
    return g.model()


def relative_bias() -> onnx.ModelProto:
    """Attention with T5's buckets of relative positions, computed from Range, Log and Where."""
    g = Graph("relative_bias")
    x = g.input("x", ["batch", "sequence", _WIDTH])
    positions = g.range(g.dim(x, 1))
    rows, columns = (g.op("Unsqueeze", positions, g.const([axis])) for axis in (1, 0))
    apart = g.op("Sub", columns, rows)
    side = g.op("Mul", g.cast(str(g.op("Greater", apart, g.const(0))), "int64"), g.const(8))
    far = g.op("Abs", apart)
    scaled = g.op("Log", g.op("Div", g.cast(str(far), "float32"), g.const(4.0)))
    large = g.op("Add", g.cast(str(g.op("Mul", scaled, g.const(1.3))), "int64"), g.const(4))
    large = g.op("Min", large, g.op("Expand", g.const(7), g.op("Shape", large)))
    bucket = g.op("Add", side, g.op("Where", g.op("Less", far, g.const(4)), far, large))
    values = g.op("Gather", g.weight(16, _HEADS, scale=1.0), bucket, axis=0)
    bias = str(g.op("Unsqueeze", g.op("Transpose", values, perm=[2, 0, 1]), g.const([0])))
    g.output(transformer_layer(g, x, _WIDTH, _HEADS, bias), "y", ["batch", "sequence", _WIDTH])
    return g.model()


def perceiver() -> onnx.ModelProto:
    """Eight learnt queries that attend to inputs of any length; what comes out has a fixed size."""
    g = Graph("perceiver")
    x = g.input("x", ["batch", "length", _WIDTH])
    start = g.op("Expand", g.weight(1, 8, _WIDTH, scale=1.0), g.vector(g.dim(x, 0), 8, _WIDTH))
    latent = transformer_layer(g, str(start), _WIDTH, _HEADS, memory=norm(g, x, _WIDTH))
    g.output(latent, "latents", ["batch", 8, _WIDTH])
    return g.model()


def einsum_attention() -> onnx.ModelProto:
    """Attention and projections by Einsum."""
    g = Graph("einsum_attention")
    x = g.input("x", ["batch", "length", _WIDTH])
    query, key, value = (
        g.op("Einsum", x, g.weight(_WIDTH, _HEADS, 8, scale=0.2), equation="bld,dhk->bhlk") for _ in range(3)
    )
    scores = g.op("Softmax", g.op("Einsum", query, key, equation="bhik,bhjk->bhij"), axis=3)
    mixed = g.op("Einsum", scores, value, equation="bhij,bhjk->bihk")
    y = g.op("Einsum", mixed, g.weight(_HEADS, 8, _WIDTH, scale=0.2), equation="bihk,hkd->bid")
    g.output(str(g.op("Add", x, y)), "y", ["batch", "length", _WIDTH])
    return g.model()


def joined_modalities() -> onnx.ModelProto:
    """Text and picture tokens of two lengths joined, attended to together, and taken apart again."""
    g = Graph("joined_modalities")
    words = g.input("words", ["batch", "text_length", _WIDTH])
    patches = g.input("patches", ["batch", "patch_count", _WIDTH])
    token = g.op("Expand", g.weight(1, 1, _WIDTH, scale=1.0), g.vector(g.dim(words, 0), 1, _WIDTH))
    x = str(g.op("Concat", token, patches, words, axis=1))
    y = transformer_layer(g, x, _WIDTH, _HEADS)
    first = str(g.op("Gather", y, g.const(0), axis=1))
    text = g.slice(y, 1, str(g.op("Add", g.dim(patches, 1), g.const(1))), 2**62)
    g.output(first, "pooled", ["batch", _WIDTH])
    g.output(text, "text_states", ["batch", "text_length", _WIDTH])
    return g.model()


def flattened_tokens() -> onnx.ModelProto:
    """Batch and length made one axis for the dense layers, as some exporters do, and taken apart again."""
    g = Graph("flattened_tokens")
    x = g.input("x", ["batch", "length", _WIDTH])
    flat = g.reshape(x, -1, _WIDTH)
    flat = gelu(g, str(g.op("Gemm", flat, g.weight(_WIDTH, _WIDTH), g.weight(_WIDTH, scale=0.3))))
    y = g.reshape(flat, g.dim(x, 0), g.dim(x, 1), _WIDTH)
    g.output(transformer_layer(g, y, _WIDTH, _HEADS), "y", ["batch", "length", _WIDTH])
    g.output(flat, "flat", ["rows", _WIDTH])
    return g.model()


def linear_attention() -> onnx.ModelProto:
    """Attention without softmax over keys: features, their sums over the length, a division."""
    g = Graph("linear_attention")
    x = g.input("x", ["batch", "length", _WIDTH])
    query, key = (g.op("Add", g.op("Elu", linear(g, x, _WIDTH, 16)), g.const(1.0)) for _ in range(2))
    value = linear(g, x, _WIDTH, 16)
    summary = g.op("MatMul", g.op("Transpose", key, perm=[0, 2, 1]), value)
    weight = g.op("ReduceSum", key, g.const([1]))
    share = g.op("ReduceSum", g.op("Mul", query, weight), g.const([-1]))
    g.output(str(g.op("Div", g.op("MatMul", query, summary), share)), "y", ["batch", "length", 16])
    return g.model()


_LENGTHS = {"batch": Span(1, 4), "length": Span(1, 48)}

TEXT = (
    built("text", bert_masked, _SIZES, **_IDS),
    built("text", bert_where, _SIZES, **_IDS),
    built("text", encoder_unmasked, _SIZES),
    built("text", unbatched_encoder, {"length": Span(1, 48)}),
    built("text", attention_op, _SIZES),
    built("text", attention_op_causal, _SIZES),
    built(
        "text",
        encoder_decoder,
        {"batch_size": Span(1, 3), "seq_len": Span(1, 40), "tgt_seq_len": Span(1, 40)},
        src=tokens(_VOCABULARY),
        tgt=tokens(_VOCABULARY),
    ),
    built(
        "text",
        encoder_decoder_masked,
        {"batch": Span(1, 3), "decoder_sequence": Span(1, 16), "encoder_sequence": Span(1, 40)},
        input_ids=tokens(_VOCABULARY),
        encoder_attention_mask=mask,
    ),
    built("text", text_cnn, {"batch": Span(1, 4), "sequence": Span(5, 48)}, tokens=tokens(_VOCABULARY)),
    built("text", recommender, {"batch": Span(1, 8), "items": Span(1, 30)}, history=tokens(_VOCABULARY)),
    built("text", relative_bias, _SIZES),
    built("text", perceiver, _LENGTHS),
    built("text", einsum_attention, _LENGTHS),
    built("text", joined_modalities, {"batch": Span(1, 3), "text_length": Span(1, 24), "patch_count": Span(1, 36)}),
    built("text", flattened_tokens, _LENGTHS),
    built("text", linear_attention, _LENGTHS),
)
