"""Layers in the patterns that exporters write them in."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.graph import Graph

__all__ = [
    "attend",
    "attention",
    "batch_norm",
    "conv",
    "feed_forward",
    "gelu",
    "layer_norm",
    "linear",
    "merge_heads",
    "norm",
    "recurrent",
    "relu_conv",
    "rms_norm",
    "rotate",
    "split_heads",
    "swish",
    "transformer_layer",
]


def linear(g: Graph, x: str, width: int, out: int) -> str:
    """Multiply the last axis with a matrix and add a bias, as torch exports ``nn.Linear``."""
    return str(g.op("Add", g.op("MatMul", x, g.weight(width, out)), g.weight(out, scale=0.3)))


def conv(g: Graph, x: str, channels: int, out: int, kernel: int | tuple[int, ...], **attributes: Any) -> str:
    """Convolve with bias; ``group`` and all else as ONNX has it, padding as much as keeps the size at stride 1."""
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    if "pads" not in attributes and "auto_pad" not in attributes:
        dilations = attributes.get("dilations", [1] * len(sizes))
        sides = [d * (k - 1) // 2 for d, k in zip(dilations, sizes, strict=True)]
        attributes["pads"] = sides + [d * (k - 1) - s for d, k, s in zip(dilations, sizes, sides, strict=True)]
    kernel_weights = g.weight(out, channels // attributes.get("group", 1), *sizes)
    return str(g.op("Conv", x, kernel_weights, g.weight(out, scale=0.3), kernel_shape=list(sizes), **attributes))


def relu_conv(g: Graph, x: str, channels: int, out: int, kernel: int = 3, **attributes: Any) -> str:
    """Convolve and keep what is positive."""
    return str(g.op("Relu", conv(g, x, channels, out, kernel, **attributes)))


def batch_norm(g: Graph, x: str, channels: int) -> str:
    """Normalise with stored statistics: per channel a factor and an addend."""
    variance = g.const(np.abs(g.numbers(channels, scale=0.3, mean=1.0)))
    numbers = [g.weight(channels, scale=0.2, mean=mean) for mean in (1.0, 0.2, 0.1)]
    return str(g.op("BatchNormalization", x, *numbers, variance))


def norm(g: Graph, x: str, width: int) -> str:
    """Normalise the last axis with the operator of opset 17."""
    return str(g.op("LayerNormalization", x, g.weight(width, scale=0.2, mean=1.0), g.weight(width, scale=0.2), axis=-1))


def layer_norm(g: Graph, x: str, width: int) -> str:
    """Normalise the last axis, spelt out as before opset 17."""
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1]))
    variance = g.op("ReduceMean", g.op("Pow", centred, g.const(2.0)), axes=[-1])
    scaled = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.const(1e-5))))
    return str(g.op("Add", g.op("Mul", scaled, g.weight(width, scale=0.2, mean=1.0)), g.weight(width, scale=0.2)))


def rms_norm(g: Graph, x: str, width: int) -> str:
    """Divide the last axis by its root mean square, as LLaMA is exported."""
    mean = g.op("ReduceMean", g.op("Pow", x, g.const(2.0)), axes=[-1])
    root = g.op("Sqrt", g.op("Add", mean, g.const(1e-6)))
    return str(g.op("Mul", g.weight(width, scale=0.2, mean=1.0), g.op("Mul", x, g.op("Div", g.const(1.0), root))))


def gelu(g: Graph, x: str) -> str:
    """Return x · (1 + erf(x ÷ √2)) ÷ 2."""
    erf = g.op("Erf", g.op("Div", x, g.const(1.4142135)))
    return str(g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.const(1.0))), g.const(0.5)))


def swish(g: Graph, x: str) -> str:
    """Return x · sigmoid(x)."""
    return str(g.op("Mul", x, g.op("Sigmoid", x)))


def split_heads(g: Graph, x: str, heads: int, size: int) -> str:
    """Turn [batch, length, heads · size] into [batch, heads, length, size]."""
    return str(g.op("Transpose", g.reshape(x, g.dim(x, 0), g.dim(x, 1), heads, size), perm=[0, 2, 1, 3]))


def merge_heads(g: Graph, x: str, width: int) -> str:
    """Turn [batch, heads, length, size] into [batch, length, width]."""
    turned = g.op("Transpose", x, perm=[0, 2, 1, 3])
    return g.reshape(turned, g.dim(turned, 0), g.dim(turned, 1), width)


def attend(g: Graph, query: str, key: str, value: str, size: int, bias: str = "") -> str:
    """Return the attention over heads laid out as ``split_heads`` gives them; ``bias`` is added to the scores."""
    scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
    scores = g.op("Div", scores, g.const(float(np.sqrt(size))))
    scores = g.op("Add", scores, bias) if bias else scores
    return str(g.op("MatMul", g.op("Softmax", scores, axis=-1), value))


def attention(g: Graph, x: str, width: int, heads: int, bias: str = "", memory: str = "") -> str:
    """Attend from ``x`` to ``memory`` (to itself by default), projections included."""
    size = width // heads
    query = split_heads(g, linear(g, x, width, width), heads, size)
    key, value = (split_heads(g, linear(g, memory or x, width, width), heads, size) for _ in range(2))
    return linear(g, merge_heads(g, attend(g, query, key, value, size, bias), width), width, width)


def feed_forward(g: Graph, x: str, width: int) -> str:
    """Two layers with GELU between."""
    return linear(g, gelu(g, linear(g, x, width, 2 * width)), 2 * width, width)


def transformer_layer(g: Graph, x: str, width: int, heads: int, bias: str = "", memory: str = "") -> str:
    """One layer that normalises behind each part; with ``memory`` it attends to that as well."""
    x = norm(g, str(g.op("Add", x, attention(g, x, width, heads, bias))), width)
    if memory:
        x = norm(g, str(g.op("Add", x, attention(g, x, width, heads, memory=memory))), width)
    return norm(g, str(g.op("Add", x, feed_forward(g, x, width))), width)


def rotate(g: Graph, x: str, cosine: str, sine: str, size: int) -> str:
    """Apply rotary position embeddings, as ``rotate_half`` is exported."""
    half = g.dim(x, 3)
    half = str(g.op("Div", half, g.const(2)))
    turned = g.op("Concat", g.op("Neg", g.slice(x, 3, half, 2**62)), g.slice(x, 3, 0, half), axis=-1)
    return str(g.op("Add", g.op("Mul", x, cosine), g.op("Mul", turned, sine)))


def recurrent(
    g: Graph, kind: str, x: str, width: int, hidden: int, states: tuple[str, ...] = (), lengths: str = "", **extra: Any
) -> Any:
    """Run LSTM, GRU or RNN over [length, batch, width]; returns all of its outputs."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    ways = 2 if extra.get("direction") == "bidirectional" else 1
    weights = [g.weight(ways, gates * hidden, size, scale=1 / float(np.sqrt(size))) for size in (width, hidden)]
    bias = g.weight(ways, 2 * gates * hidden, scale=0.2)
    if kind == "GRU":
        extra["linear_before_reset"] = 1
    outputs = 3 if kind == "LSTM" else 2
    return g.op(kind, x, *weights, bias, lengths, *states, outputs=outputs, hidden_size=hidden, **extra)
