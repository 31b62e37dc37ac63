"""Models of sound: strided convolutions over time, statistics of an utterance, causal and relative positions."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import (
    attend,
    batch_norm,
    conv,
    feed_forward,
    gelu,
    linear,
    merge_heads,
    norm,
    recurrent,
    split_heads,
    swish,
    transformer_layer,
)
from benchmarks.zoo.model import Sizes, Span, built

__all__ = ["AUDIO"]

_BANDS, _WIDTH, _HEADS = 20, 32, 4
_FRAMES = {"batch": Span(1, 3), "frames": Span(8, 96)}


def _downsampled(g: Graph, x: str) -> str:
    """Turn [batch, frames, bands] into [batch, width, frames ÷ 4]."""
    y = str(g.op("Relu", conv(g, str(g.op("Transpose", x, perm=[0, 2, 1])), _BANDS, _WIDTH, (3,), strides=[2])))
    return str(g.op("Relu", conv(g, y, _WIDTH, _WIDTH, (3,), strides=[2])))


def ctc_lstm() -> onnx.ModelProto:
    """Speech to characters: two strided convolutions, a bidirectional LSTM, LogSoftmax."""
    g = Graph("ctc_lstm")
    x = g.input("features", ["batch", "frames", _BANDS])
    y = str(g.op("Transpose", _downsampled(g, x), perm=[2, 0, 1]))
    y = recurrent(g, "LSTM", y, _WIDTH, 16, direction="bidirectional")[0]
    y = g.op("Reshape", g.op("Transpose", y, perm=[2, 0, 1, 3]), g.const([0, 0, -1]))
    g.output(str(g.op("LogSoftmax", linear(g, str(y), 32, 30), axis=-1)), "log_probs", ["batch", "steps", 30])
    return g.model()


def ctc_transformer() -> onnx.ModelProto:
    """Speech to characters: strided convolutions, layer norms, a Transformer without a mask."""
    g = Graph("ctc_transformer")
    x = g.input("features", ["batch", "frames", _BANDS])
    y = norm(g, str(g.op("Transpose", _downsampled(g, x), perm=[0, 2, 1])), _WIDTH)
    y = transformer_layer(g, y, _WIDTH, _HEADS)
    g.output(str(g.op("LogSoftmax", linear(g, y, _WIDTH, 30), axis=-1)), "log_probs", ["batch", "steps", 30])
    return g.model()


def convolved_in_two() -> onnx.ModelProto:
    """DeepSpeech-like: 2-D convolutions over time and bands, both made one axis by Reshape before the classifier."""
    g = Graph("convolved_in_two")
    x = g.input("features", ["batch", 1, "frames", _BANDS])
    y = str(g.op("Clip", conv(g, x, 1, 8, (5, 3), strides=[2, 2]), g.const(0.0), g.const(20.0)))
    y = str(g.op("Transpose", y, perm=[0, 2, 1, 3]))
    y = g.reshape(y, g.dim(y, 0), -1, 8 * _BANDS // 2)
    g.output(linear(g, y, 8 * _BANDS // 2, 12), "logits", ["batch", "steps", 12])
    return g.model()


def statistics_pooling() -> onnx.ModelProto:
    """Speaker embedding: dilated convolutions, then mean and standard deviation over time."""
    g = Graph("statistics_pooling")
    x = g.input("features", ["batch", "frames", _BANDS])
    y, width = str(g.op("Transpose", x, perm=[0, 2, 1])), _BANDS
    for dilation in (1, 2, 3):
        y = batch_norm(g, str(g.op("Relu", conv(g, y, width, 24, (3,), dilations=[dilation]))), 24)
        width = 24
    mean = g.op("ReduceMean", y, axes=[2], keepdims=1)
    centred = g.op("Sub", y, mean)
    total = g.op("ReduceSum", g.op("Mul", centred, centred), g.const([2]), keepdims=0)
    count = g.op("Sub", g.cast(g.dim(y, 2), "float32"), g.const(1.0))
    spread = g.op("Sqrt", g.op("Add", g.op("Div", total, count), g.const(1e-5)))
    joined = g.op("Concat", g.op("Squeeze", mean, g.const([2])), spread, axis=1)
    g.output(linear(g, str(joined), 48, 16), "embedding", ["batch", 16])
    return g.model()


def attentive_pooling() -> onnx.ModelProto:
    """Softmax over time as weights of a mean and of a second moment."""
    g = Graph("attentive_pooling")
    x = g.input("features", ["batch", _BANDS, "frames"])
    y = str(g.op("Relu", conv(g, x, _BANDS, 24, (5,))))
    weights = g.op("Softmax", conv(g, str(g.op("Tanh", conv(g, y, 24, 8, (1,)))), 8, 24, (1,)), axis=2)
    mean = g.op("ReduceSum", g.op("Mul", weights, y), g.const([2]), keepdims=0)
    square = g.op("ReduceSum", g.op("Mul", weights, g.op("Mul", y, y)), g.const([2]), keepdims=0)
    spread = g.op("Sqrt", g.op("Clip", g.op("Sub", square, g.op("Mul", mean, mean)), g.const(1e-4)))
    g.output(linear(g, str(g.op("Concat", mean, spread, axis=1)), 48, 16), "embedding", ["batch", 16])
    return g.model()


def wav2vec_groups() -> onnx.ModelProto:
    """Raw samples: convolutions without padding, a group norm spelt as InstanceNormalization between Reshapes."""
    g = Graph("wav2vec_groups")
    samples = g.input("samples", ["batch", "samples"])
    y = str(g.op("Unsqueeze", samples, g.const([1])))
    y = conv(g, y, 1, 16, (10,), strides=[5], pads=[0, 0])
    grouped = g.op("Reshape", y, g.const([0, 4, -1]))
    even = g.op("InstanceNormalization", grouped, g.const(np.ones(4)), g.const(np.zeros(4)))
    y = str(g.op("Reshape", even, g.op("Shape", y)))
    y = str(g.op("Mul", y, g.const(g.numbers(16, 1, scale=0.2, mean=1.0))))
    y = gelu(g, str(g.op("Add", y, g.const(g.numbers(16, 1, scale=0.3)))))
    y = gelu(g, conv(g, y, 16, 16, (3,), strides=[2], pads=[0, 0]))
    around = gelu(g, conv(g, y, 16, 16, (8,), group=4, pads=[4, 3]))
    y = str(g.op("Transpose", g.op("Add", y, around), perm=[0, 2, 1]))
    g.output(linear(g, norm(g, y, 16), 16, 12), "logits", ["batch", "steps", 12])
    return g.model()


def instance_norm() -> onnx.ModelProto:
    """Instance norm over time between convolutions."""
    g = Graph("instance_norm")
    x = g.input("features", ["batch", _BANDS, "frames"])
    y = conv(g, x, _BANDS, 16, (5,))
    y = g.op("InstanceNormalization", y, g.weight(16, scale=0.2, mean=1.0), g.weight(16, scale=0.3))
    y = conv(g, str(g.op("LeakyRelu", y, alpha=0.2)), 16, 8, (3,))
    g.output(y, "y", ["batch", 8, "frames"])
    return g.model()


def group_norm_op() -> onnx.ModelProto:
    """Opset 21: the GroupNormalization operator."""
    g = Graph("group_norm_op", opset=21)
    x = g.input("features", ["batch", _BANDS, "frames"])
    y = conv(g, x, _BANDS, 16, (3,))
    y = g.op("GroupNormalization", y, g.weight(16, scale=0.2, mean=1.0), g.weight(16, scale=0.3), num_groups=4)
    g.output(conv(g, str(g.op("Relu", y)), 16, 8, (3,)), "y", ["batch", 8, "frames"])
    return g.model()


def conformer() -> onnx.ModelProto:
    """A Conformer block: attention with shifted relative positions, gated and depthwise convolution, batch norm."""
    g = Graph("conformer")
    x = g.input("x", ["batch", "frames", _WIDTH])
    x = str(g.op("Add", x, g.op("Mul", g.const(0.5), feed_forward(g, norm(g, x, _WIDTH), _WIDTH))))
    y = norm(g, x, _WIDTH)
    query, key, value = (split_heads(g, linear(g, y, _WIDTH, _WIDTH), _HEADS, 8) for _ in range(3))
    bias = _shifted_positions(g, query, g.dim(x, 1))
    mixed = merge_heads(g, attend(g, query, key, value, 8, bias), _WIDTH)
    x = str(g.op("Add", x, linear(g, mixed, _WIDTH, _WIDTH)))
    y = str(g.op("Transpose", norm(g, x, _WIDTH), perm=[0, 2, 1]))
    content, gate = g.op("Split", conv(g, y, _WIDTH, 2 * _WIDTH, (1,)), outputs=2, axis=1)
    y = str(g.op("Mul", content, g.op("Sigmoid", gate)))
    y = swish(g, batch_norm(g, conv(g, y, _WIDTH, _WIDTH, (7,), group=_WIDTH), _WIDTH))
    y = str(g.op("Transpose", conv(g, y, _WIDTH, _WIDTH, (1,)), perm=[0, 2, 1]))
    g.output(norm(g, str(g.op("Add", x, y)), _WIDTH), "y", ["batch", "frames", _WIDTH])
    return g.model()


def _shifted_positions(g: Graph, query: str, length: str) -> str:
    """Return Transformer-XL's position scores [batch, heads, length, length], shifted by padding and reshaping."""
    offsets = g.op("Range", g.op("Sub", length, g.const(1)), g.op("Neg", length), g.const(-1))
    angles = g.op("Mul", g.op("Unsqueeze", g.cast(str(offsets), "float32"), g.const([1])), g.weight(1, 4, scale=0.3))
    table = g.op("Concat", g.op("Sin", angles), g.op("Cos", angles), axis=1)
    scores = g.op("MatMul", query, g.op("Transpose", table, perm=[1, 0]))
    padded = g.op("Pad", scores, g.const([0, 0, 0, 1, 0, 0, 0, 0]))
    turned = g.reshape(str(padded), g.dim(query, 0), _HEADS, -1, length)
    shifted = g.op("Reshape", g.slice(turned, 2, 1, 2**62), g.op("Shape", scores))
    return g.slice(str(shifted), 3, 0, length)


def causal_convolutions() -> onnx.ModelProto:
    """Dilated convolutions padded on the left only: nothing looks ahead."""
    g = Graph("causal_convolutions")
    x = g.input("x", ["batch", _BANDS, "frames"])
    y, width = x, _BANDS
    for dilation in (1, 2, 4):
        padded = str(g.op("Pad", y, g.const([0, 0, 2 * dilation, 0, 0, 0])))
        y = str(g.op("Relu", conv(g, padded, width, 16, (3,), dilations=[dilation], pads=[0, 0])))
        width = 16
    g.output(y, "y", ["batch", 16, "frames"])
    return g.model()


def spectrogram() -> onnx.ModelProto:
    """A spectrogram by convolution over samples padded by reflection, its logarithm normalised over the utterance."""
    g = Graph("spectrogram")
    samples = g.input("samples", ["batch", "samples"])
    y = g.op("Unsqueeze", samples, g.const([1]))
    y = g.op("Pad", y, g.const([0, 0, 16, 0, 0, 16]), mode="reflect")
    angles = 2 * np.pi * np.outer(np.arange(17), np.arange(32)) / 32
    window = np.hanning(33)[:32]
    parts = [
        g.op("Conv", y, g.const((wave(angles) * window)[:, None].astype(np.float32)), strides=[8])
        for wave in (np.cos, np.sin)
    ]
    power = g.op("Add", *(g.op("Mul", part, part) for part in parts))
    decibel = g.op(
        "Log", g.op("Clip", g.op("MatMul", g.const(np.abs(g.numbers(12, 17, scale=0.2))), power), g.const(1e-5))
    )
    centred = g.op("Sub", decibel, g.op("ReduceMean", decibel, axes=[2]))
    highest = g.op("ReduceMax", decibel, axes=[1, 2])
    g.output(str(centred), "normalised", ["batch", 12, "steps"])
    g.output(str(g.op("Max", decibel, g.op("Sub", highest, g.const(8.0)))), "clipped", ["batch", 12, "steps"])
    return g.model()


def given_lengths() -> onnx.ModelProto:
    """A recogniser that is given each row's length: masked attention and a mean over as many frames as it says."""
    g = Graph("given_lengths")
    x = g.input("features", ["batch", "frames", _BANDS])
    lengths = g.input("lengths", ["batch"], "int64")
    y = linear(g, x, _BANDS, _WIDTH)
    seen = g.op("Less", g.op("Unsqueeze", g.range(g.dim(x, 1)), g.const([0])), g.op("Unsqueeze", lengths, g.const([1])))
    bias = str(g.op("Where", g.op("Unsqueeze", seen, g.const([1, 2])), g.const(0.0), g.const(-1e9)))
    y = transformer_layer(g, y, _WIDTH, _HEADS, bias)
    kept = g.op("Where", g.op("Unsqueeze", seen, g.const([2])), y, g.const(0.0))
    count = g.op("Unsqueeze", g.cast(lengths, "float32"), g.const([1]))
    mean = g.op("Div", g.op("ReduceSum", kept, g.const([1]), keepdims=0), count)
    g.output(y, "y", ["batch", "frames", _WIDTH])
    g.output(str(mean), "mean", ["batch", _WIDTH])
    return g.model()


def stacked_frames() -> onnx.ModelProto:
    """Pairs of frames made one by Reshape, as low-frame-rate encoders do; runs at even lengths only."""
    g = Graph("stacked_frames")
    x = g.input("features", ["batch", "frames", _BANDS])
    half = str(g.op("Div", g.dim(x, 1), g.const(2)))
    y = g.reshape(x, g.dim(x, 0), half, 2 * _BANDS)
    y = transformer_layer(g, linear(g, y, 2 * _BANDS, _WIDTH), _WIDTH, _HEADS)
    g.output(y, "y", ["batch", "steps", _WIDTH])
    return g.model()


def upsampled_speech() -> onnx.ModelProto:
    """A vocoder: transposed convolutions that make eight samples of each frame, residual dilated convolutions."""
    g = Graph("upsampled_speech")
    x = g.input("mel", ["batch", _BANDS, "frames"])
    y, width = conv(g, x, _BANDS, 16, (7,)), 16
    for factor in (4, 2):
        kernel = g.weight(width, width // 2, 2 * factor, scale=0.2)
        y = g.op("LeakyRelu", y, alpha=0.1)
        pads = [factor // 2, factor // 2]
        y = g.op("ConvTranspose", y, kernel, g.weight(width // 2, scale=0.3), strides=[factor], pads=pads)
        width //= 2
        around = conv(g, str(g.op("LeakyRelu", y, alpha=0.1)), width, width, (3,), dilations=[3])
        y = str(g.op("Add", y, around))
    g.output(str(g.op("Tanh", conv(g, str(y), width, 1, (7,)))), "samples", ["batch", 1, "samples"])
    return g.model()


def _up_to_frames(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[np.int64]:
    return generator.integers(1, sizes["frames"] + 1, shape)


AUDIO = (
    built("audio", ctc_lstm, _FRAMES),
    built("audio", ctc_transformer, _FRAMES),
    built("audio", convolved_in_two, _FRAMES),
    built("audio", statistics_pooling, _FRAMES),
    built("audio", attentive_pooling, _FRAMES),
    built("audio", wav2vec_groups, {"batch": Span(1, 2), "samples": Span(80, 800)}),
    built("audio", instance_norm, _FRAMES),
    built("audio", group_norm_op, _FRAMES),
    built("audio", conformer, _FRAMES),
    built("audio", causal_convolutions, _FRAMES),
    built("audio", spectrogram, {"batch": Span(1, 2), "samples": Span(40, 640)}),
    built("audio", given_lengths, {"batch": Span(1, 3), "frames": Span(1, 48)}, lengths=_up_to_frames),
    built("audio", stacked_frames, {"batch": Span(1, 3), "frames": Span(2, 64, 2)}),
    built("audio", upsampled_speech, {"batch": Span(1, 2), "frames": Span(4, 48)}),
)
