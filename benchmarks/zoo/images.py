"""Networks over pictures that end in classes, windows, patches or steps."""

from __future__ import annotations

from typing import Any

import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import attend, batch_norm, conv, linear, norm, relu_conv, split_heads, transformer_layer
from benchmarks.zoo.model import Span, built

__all__ = ["IMAGES"]

_IMAGE = ("N", 3, "H", "W")


def efficientnet() -> onnx.ModelProto:
    """EfficientNet's blocks as tf2onnx writes them: auto_pad SAME_UPPER, squeeze-excite by GlobalAveragePool."""
    g = Graph("efficientnet")
    y, width = g.input("image", _IMAGE), 3
    for out, stride in ((8, 2), (16, 1), (16, 2)):
        y = g.op("Conv", y, g.weight(2 * out, width, 1, 1), g.weight(2 * out, scale=0.3))
        y = g.op("Mul", y, g.op("Sigmoid", y))
        y = conv(g, y, 2 * out, 2 * out, 3, group=2 * out, strides=[stride, stride], auto_pad="SAME_UPPER")
        y = batch_norm(g, y, 2 * out)
        squeezed = g.op("GlobalAveragePool", y)
        squeezed = conv(g, str(g.op("Relu", conv(g, squeezed, 2 * out, 4, 1))), 4, 2 * out, 1)
        y = g.op("Mul", y, g.op("Sigmoid", squeezed))
        y, width = conv(g, y, 2 * out, out, 1), out
    flat = g.op("Flatten", g.op("GlobalAveragePool", y), axis=1)
    g.output(str(g.op("Softmax", linear(g, str(flat), width, 10), axis=-1)), "probabilities", ["N", 10])
    g.output(y, "features", ["N", width, "height", "width"])
    return g.model()


def mobilenet() -> onnx.ModelProto:
    """MobileNetV3's blocks: HardSwish, squeeze-excite by ReduceMean, pooled and classified by ReduceMean as well."""
    g = Graph("mobilenet")
    y = str(g.op("HardSwish", conv(g, g.input("image", _IMAGE), 3, 8, 3, strides=[2, 2])))
    for kernel, stride in ((3, 1), (5, 2)):
        wide = str(g.op("HardSwish", conv(g, y, 8, 24, 1)))
        wide = str(g.op("HardSwish", conv(g, wide, 24, 24, kernel, group=24, strides=[stride, stride])))
        mean = str(g.op("ReduceMean", wide, axes=[2, 3], keepdims=1))
        gate = g.op("HardSigmoid", conv(g, str(g.op("Relu", conv(g, mean, 24, 8, 1))), 8, 24, 1), alpha=0.1667)
        out = conv(g, str(g.op("Mul", wide, gate)), 24, 8, 1)
        y = str(g.op("Add", y, out)) if stride == 1 else out
    pooled = str(g.op("ReduceMean", y, axes=[2, 3], keepdims=0))
    g.output(linear(g, pooled, 8, 10), "logits", ["N", 10])
    return g.model()


def classifier() -> onnx.ModelProto:
    """A convolutional classifier: max pool, convolutions, the global mean, Flatten by Reshape with Shape arithmetic."""
    g = Graph("classifier")
    y = relu_conv(g, g.input("image", _IMAGE), 3, 8, 7, strides=[2, 2])
    y = str(g.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))
    short = conv(g, y, 8, 16, 1, strides=[2, 2])
    y = g.op("Relu", g.op("Add", short, conv(g, relu_conv(g, y, 8, 16, strides=[2, 2]), 16, 16, 3)))
    pooled = g.op("GlobalAveragePool", y)
    g.output(linear(g, g.reshape(str(pooled), g.dim(str(pooled), 0), -1), 16, 10), "logits", ["N", 10])
    return g.model()


def pools() -> onnx.ModelProto:
    """Pools of every kind: ceil_mode, padding counted and not, overlapping, dilated, by the power mean."""
    g = Graph("pools")
    y = relu_conv(g, g.input("image", _IMAGE), 3, 6)
    ceiling: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    around: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}
    a = g.op("MaxPool", y, **ceiling)
    b = g.op("AveragePool", y, **ceiling)
    c = g.op("AveragePool", y, pads=[1, 1, 1, 1], count_include_pad=1, kernel_shape=[3, 3], strides=[2, 2])
    d = g.op("AveragePool", g.op("Sub", y, g.const(3.0)), **around)
    e = g.op("AveragePool", y, count_include_pad=1, **around)
    f = g.op("MaxPool", g.op("Sub", y, g.const(3.0)), **around)
    h = g.op("LpPool", y, p=2, **around)
    same = str(g.op("Concat", d, e, f, h, axis=1))
    lower = g.op("MaxPool", y, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_LOWER")
    g.output(conv(g, same, 24, 4, 3), "same", ["N", 4, "H", "W"])
    for name, value in (("max", a), ("average", b), ("counted", c), ("lower", lower)):
        g.output(str(value), name, ["N", 6, f"{name}_h", f"{name}_w"])
    return g.model()


def non_local() -> onnx.ModelProto:
    """Attention over all positions of a picture, height and width made one axis and two again."""
    g = Graph("non_local")
    x = relu_conv(g, g.input("image", _IMAGE), 3, 8, strides=[2, 2])
    flat = [g.reshape(conv(g, x, 8, 8, 1), g.dim(x, 0), 8, -1) for _ in range(3)]
    scores = g.op("Softmax", g.op("MatMul", g.op("Transpose", flat[0], perm=[0, 2, 1]), flat[1]), axis=-1)
    mixed = g.op("MatMul", flat[2], g.op("Transpose", scores, perm=[0, 2, 1]))
    y = g.op("Reshape", mixed, g.op("Shape", x))
    g.output(conv(g, str(g.op("Add", x, y)), 8, 4, 3), "y", ["N", 4, "height", "width"])
    return g.model()


def vision_transformer() -> onnx.ModelProto:
    """Patches by a strided convolution, a class token, position embeddings interpolated to the grid, two layers."""
    g = Graph("vision_transformer")
    x = conv(g, g.input("image", _IMAGE), 3, 32, 8, strides=[8, 8], pads=[0, 0, 0, 0])
    flat = g.op("Transpose", g.reshape(x, g.dim(x, 0), 32, -1), perm=[0, 2, 1])
    grid = g.op("Slice", g.op("Shape", x), g.const([2]), g.const([4]))
    table = g.const(g.numbers(1, 32, 6, 6, scale=0.5))
    sizes = g.op("Concat", g.const([1, 32]), grid, axis=0)
    laid = g.op("Resize", table, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    places = g.op("Transpose", g.reshape(str(laid), 1, 32, -1), perm=[0, 2, 1])
    token = g.op("Expand", g.weight(1, 1, 32, scale=1.0), g.vector(g.dim(x, 0), 1, 32))
    y = str(g.op("Concat", token, g.op("Add", flat, places), axis=1))
    for _ in range(2):
        y = transformer_layer(g, y, 32, 4)
    first = str(g.op("Gather", y, g.const(0), axis=1))
    g.output(linear(g, norm(g, first, 32), 32, 10), "logits", ["N", 10])
    return g.model()


def swin_windows() -> onnx.ModelProto:
    """Swin: padded to whole windows by shape arithmetic, shifted by Slice and Concat, attended inside, cut back."""
    g = Graph("swin_windows")
    x = conv(g, g.input("image", _IMAGE), 3, 16, 2, strides=[2, 2], pads=[0, 0, 0, 0])
    x = str(g.op("Transpose", x, perm=[0, 2, 3, 1]))
    batch, high, wide = (g.dim(x, axis) for axis in range(3))
    missing = [g.op("Mod", g.op("Sub", g.const(4), g.op("Mod", each, g.const(4))), g.const(4)) for each in (high, wide)]
    y = str(g.op("Pad", norm(g, x, 16), g.vector(0, 0, 0, 0, 0, *map(str, missing), 0)))
    full_high, full_wide = g.dim(y, 1), g.dim(y, 2)
    for axis in (1, 2):
        y = str(g.op("Concat", g.slice(y, axis, 2, 2**62), g.slice(y, axis, 0, 2), axis=axis))
    down, across = (str(g.op("Div", each, g.const(4))) for each in (full_high, full_wide))
    y = str(g.op("Transpose", g.reshape(y, batch, down, 4, across, 4, 16), perm=[0, 1, 3, 2, 4, 5]))
    y = g.reshape(y, -1, 16, 16)
    query, key, value = (split_heads(g, linear(g, y, 16, 16), 2, 8) for _ in range(3))
    mixed = str(g.op("Transpose", attend(g, query, key, value, 8), perm=[0, 2, 1, 3]))
    y = str(g.op("Transpose", g.reshape(mixed, batch, down, across, 4, 4, 16), perm=[0, 1, 3, 2, 4, 5]))
    y = g.reshape(y, batch, full_high, full_wide, 16)
    for axis in (1, 2):
        y = str(g.op("Concat", g.slice(y, axis, -2, 2**62), g.slice(y, axis, 0, -2), axis=axis))
    y = g.slice(g.slice(y, 1, 0, high), 2, 0, wide)
    g.output(str(g.op("Add", x, y)), "y", ["N", "height", "width", 16])
    return g.model()


def swin_multiples() -> onnx.ModelProto:
    """Windows at sizes that are whole multiples only: no padding, no shift, plain Reshape and Transpose."""
    g = Graph("swin_multiples")
    x = str(g.op("Transpose", conv(g, g.input("image", _IMAGE), 3, 16, 1), perm=[0, 2, 3, 1]))
    batch, high, wide = (g.dim(x, axis) for axis in range(3))
    down, across = (str(g.op("Div", each, g.const(4))) for each in (high, wide))
    y = str(g.op("Transpose", g.reshape(x, batch, down, 4, across, 4, 16), perm=[0, 1, 3, 2, 4, 5]))
    y = transformer_layer(g, g.reshape(y, -1, 16, 16), 16, 2)
    y = str(g.op("Transpose", g.reshape(y, batch, down, across, 4, 4, 16), perm=[0, 1, 3, 2, 4, 5]))
    g.output(g.reshape(y, batch, high, wide, 16), "y", ["N", "H", "W", 16])
    return g.model()


def quantised_convolutions() -> onnx.ModelProto:
    """Convolutions between QuantizeLinear and DequantizeLinear, whose zero point is not zero."""
    g = Graph("quantised_convolutions")
    x = g.input("image", _IMAGE)

    def rounded(value: str, scale: float) -> str:
        numbers = (g.const(scale), g.const(97, "uint8"))
        return str(g.op("DequantizeLinear", g.op("QuantizeLinear", value, *numbers), *numbers))

    y = rounded(relu_conv(g, rounded(x, 0.03), 3, 8), 0.03)
    y = rounded(str(g.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])), 0.03)
    g.output(conv(g, y, 8, 4, 3), "y", ["N", 4, "height", "width"])
    return g.model()


def global_pools() -> onnx.ModelProto:
    """The greatest, the mean and the power mean of a picture, and of each of its rows."""
    g = Graph("global_pools")
    x = g.op("Sub", relu_conv(g, g.input("image", _IMAGE), 3, 6), g.const(2.0))
    whole = [g.op("GlobalMaxPool", x), g.op("GlobalAveragePool", x), g.op("GlobalLpPool", x, p=2)]
    g.output(str(g.op("Concat", *whole, axis=1)), "whole", ["N", 18, 1, 1])
    rows = [g.op("ReduceMax", x, axes=[3]), g.op("ReduceMean", x, axes=[3])]
    g.output(conv(g, str(g.op("Concat", *rows, axis=1)), 12, 4, (3, 1)), "rows", ["N", 4, "H", 1])
    return g.model()


def compared() -> onnx.ModelProto:
    """Two pictures of different sizes through the same layers, the distance of what they are embedded as."""
    g = Graph("compared")
    kernel, bias = g.weight(8, 3, 3, 3), g.weight(8, scale=0.3)
    made = []
    for name in ("first", "second"):
        x = g.input(name, ["N", 3, f"{name}_height", f"{name}_width"])
        y = g.op("Relu", g.op("Conv", x, kernel, bias, pads=[1, 1, 1, 1], strides=[2, 2]))
        made.append(g.op("ReduceMean", y, axes=[2, 3], keepdims=0))
    g.output(str(g.op("ReduceL2", g.op("Sub", *made), axes=[1], keepdims=0)), "distance", ["N"])
    return g.model()


def rows_of_text() -> onnx.ModelProto:
    """A recogniser of text lines: height pooled away, width made time, a recurrent network, Softmax per step."""
    g = Graph("rows_of_text")
    x = g.input("image", ["N", 1, 16, "W"])
    y = relu_conv(g, x, 1, 8)
    y = str(g.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    y = relu_conv(g, y, 8, 16)
    y = str(g.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 1], pads=[0, 1, 0, 1]))
    y = conv(g, y, 16, 16, (4, 2), pads=[0, 0, 0, 0])
    y = g.op("Transpose", g.op("Squeeze", y, g.const([2])), perm=[2, 0, 1])
    weights = [g.weight(2, 4 * 8, 16, scale=0.25), g.weight(2, 4 * 8, 8, scale=0.35), g.weight(2, 8 * 8, scale=0.2)]
    y = g.op("LSTM", y, *weights, outputs=3, hidden_size=8, direction="bidirectional")[0]
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.const([0, 0, -1]))
    g.output(str(g.op("Softmax", linear(g, str(y), 16, 11), axis=2)), "steps", ["T", "N", 11])
    return g.model()


def spatial_transformer() -> onnx.ModelProto:
    """Opset 20: AffineGrid over a picture's own sizes, from a matrix that is computed of it, read by GridSample."""
    g = Graph("spatial_transformer", opset=20)
    x = g.input("image", _IMAGE)
    pooled = g.op("ReduceMean", relu_conv(g, x, 3, 8), g.const([2, 3]), keepdims=0)
    theta = g.op("Add", linear(g, str(pooled), 8, 6), g.const([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    grid = g.op("AffineGrid", g.op("Reshape", theta, g.const([-1, 2, 3])), g.op("Shape", x), align_corners=0)
    g.output(str(g.op("GridSample", x, grid, align_corners=0)), "straight", _IMAGE)
    return g.model()


def resized_by_quotients() -> onnx.ModelProto:
    """Opset 9: Upsample by one size over another, as torch wrote ``size=`` in those days, added to the larger one."""
    g = Graph("resized_by_quotients", opset=9)
    x = g.input("image", _IMAGE)
    small = relu_conv(g, relu_conv(g, x, 3, 8, strides=[2, 2]), 8, 8, strides=[2, 2])
    sizes = [[g.cast(g.dim(each, axis), "float32") for each in (x, small)] for axis in (2, 3)]
    scales = [g.op("Unsqueeze", g.op("Div", *each), axes=[0]) for each in sizes]
    large = g.op("Upsample", small, g.op("Concat", g.const([1.0, 1.0]), *scales, axis=0), mode="nearest")
    g.output(conv(g, str(g.op("Add", large, conv(g, x, 3, 8, 1))), 8, 2, 3), "map", ["N", 2, "H", "W"])
    return g.model()


_ANY = {"N": Span(1, 2), "H": Span(16, 72), "W": Span(16, 96)}

IMAGES = (
    built("image", efficientnet, _ANY),
    built("image", mobilenet, _ANY),
    built("image", classifier, _ANY),
    built("image", pools, {"N": Span(1, 2), "H": Span(5, 40), "W": Span(5, 48)}),
    built("image", non_local, {"N": Span(1, 2), "H": Span(4, 32), "W": Span(4, 40)}),
    built("image", vision_transformer, {"N": Span(1, 2), "H": Span(16, 80, 8), "W": Span(16, 96, 8)}),
    built("image", swin_windows, {"N": Span(1, 2), "H": Span(6, 46), "W": Span(6, 64)}),
    built("image", swin_multiples, {"N": Span(1, 2), "H": Span(4, 32, 4), "W": Span(4, 40, 4)}),
    built("image", quantised_convolutions, {"N": Span(1, 2), "H": Span(4, 32), "W": Span(4, 40)}),
    built("image", global_pools, {"N": Span(1, 2), "H": Span(2, 32), "W": Span(2, 40)}),
    built(
        "image",
        compared,
        {
            "N": Span(1, 3),
            **{f"{name}_{side}": Span(4, 32) for name in ("first", "second") for side in ("height", "width")},
        },
    ),
    built("image", rows_of_text, {"N": Span(1, 4), "W": Span(8, 160)}),
    built("image", spatial_transformer, {"N": Span(1, 2), "H": Span(4, 32), "W": Span(4, 40)}),
    built("image", resized_by_quotients, _ANY),
)
