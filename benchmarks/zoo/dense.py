"""Networks over pictures that give a picture: down and up again, edges continued, places computed."""

from __future__ import annotations

from typing import Any

import onnx

from benchmarks.zoo.graph import Graph
from benchmarks.zoo.layers import conv, relu_conv
from benchmarks.zoo.model import Span, built

__all__ = ["DENSE"]

_IMAGE = ("N", 3, "H", "W")


def _as_large_as(g: Graph, x: str, other: str, **attributes: Any) -> str:
    """Resize to the height and width of ``other``, as torch exports ``interpolate(x, size=other.shape[2:])``."""
    front = g.op("Slice", g.op("Shape", x), g.const([0]), g.const([2]))
    back = g.op("Slice", g.op("Shape", other), g.const([2]), g.const([4]))
    return str(g.op("Resize", x, "", "", g.op("Concat", front, back, axis=0), **attributes))


def _unet(name: str, **resize: object) -> Graph:
    """A network of two levels down and up, whose upper half is resized to the sizes of the lower."""
    g = Graph(name)
    x = g.input("image", _IMAGE)
    first = relu_conv(g, x, 3, 8)
    second = relu_conv(g, str(g.op("MaxPool", first, kernel_shape=[2, 2], strides=[2, 2])), 8, 16)
    y = relu_conv(g, str(g.op("MaxPool", second, kernel_shape=[2, 2], strides=[2, 2])), 16, 16)
    y = relu_conv(g, str(g.op("Concat", _as_large_as(g, y, second, **resize), second, axis=1)), 32, 8)
    y = relu_conv(g, str(g.op("Concat", _as_large_as(g, y, first, **resize), first, axis=1)), 16, 8)
    g.output(str(g.op("Sigmoid", conv(g, y, 8, 2, 1))), "mask", ["N", 2, "H", "W"])
    return g


def unet_nearest() -> onnx.ModelProto:
    """A U-Net at any size, its upper half resized to the skip connections by nearest neighbour."""
    mode: dict[str, Any] = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return _unet("unet_nearest", **mode).model()


def unet_half_pixel() -> onnx.ModelProto:
    """A U-Net at any size, resized linearly between half pixels."""
    return _unet("unet_half_pixel", mode="linear", coordinate_transformation_mode="half_pixel").model()


def unet_align_corners() -> onnx.ModelProto:
    """A U-Net at any size, resized linearly with aligned corners."""
    return _unet("unet_align_corners", mode="linear", coordinate_transformation_mode="align_corners").model()


def unet_transposed() -> onnx.ModelProto:
    """A U-Net whose upper half is made by ConvTranspose and cut by Slice where the lower half has an odd size."""
    g = Graph("unet_transposed")
    x = g.input("image", _IMAGE)
    first = relu_conv(g, x, 3, 8)
    second = relu_conv(g, str(g.op("MaxPool", first, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)), 8, 16)
    third = relu_conv(g, str(g.op("MaxPool", second, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)), 16, 16)
    y = third
    for skip, channels in ((second, 16), (first, 8)):
        kernel, bias = g.weight(16, channels, 2, 2, scale=0.2), g.weight(channels, scale=0.3)
        y = str(g.op("ConvTranspose", y, kernel, bias, strides=[2, 2], kernel_shape=[2, 2]))
        y = g.slice(g.slice(y, 2, 0, g.dim(skip, 2)), 3, 0, g.dim(skip, 3))
        y = relu_conv(g, str(g.op("Concat", y, skip, axis=1)), 2 * channels, 16)
    g.output(conv(g, y, 16, 2, 1), "logits", ["N", 2, "H", "W"])
    return g.model()


def unet_scales() -> onnx.ModelProto:
    """A network that resizes by fixed scales: its output is a multiple of four, larger than odd inputs."""
    g = Graph("unet_scales")
    x = g.input("image", _IMAGE)
    y = relu_conv(g, relu_conv(g, x, 3, 8, strides=[2, 2]), 8, 8, strides=[2, 2])
    mode: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    y = relu_conv(g, str(g.op("Resize", y, "", g.const([1.0, 1.0, 2.0, 2.0]), **mode)), 8, 8)
    y = g.op("Resize", y, "", g.const([1.0, 1.0, 2.0, 2.0]), mode="cubic", cubic_coeff_a=-0.75)
    g.output(conv(g, str(y), 8, 1, 3), "y", ["N", 1, "height", "width"])
    return g.model()


def style_transfer() -> onnx.ModelProto:
    """Reflected edges, instance norms, nearest-neighbour upsampling by a factor: fast style transfer."""
    g = Graph("style_transfer")
    y, channels = g.input("image", _IMAGE), 3
    for out, stride in ((8, 2), (8, 1)):
        padded = str(g.op("Pad", y, g.const([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"))
        y = conv(g, padded, channels, out, 3, strides=[stride, stride], pads=[0, 0, 0, 0])
        y = g.op("InstanceNormalization", y, g.weight(out, scale=0.2, mean=1.0), g.weight(out, scale=0.3))
        y, channels = str(g.op("Relu", y)), out
    y = str(
        g.op(
            "Resize",
            y,
            "",
            g.const([1.0, 1.0, 2.0, 2.0]),
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
    )
    y = g.op("InstanceNormalization", conv(g, y, 8, 8, 3), g.weight(8, scale=0.2, mean=1.0), g.weight(8, scale=0.3))
    g.output(conv(g, str(g.op("Relu", y)), 8, 3, 3), "styled", ["N", 3, "height", "width"])
    return g.model()


def super_resolution() -> onnx.ModelProto:
    """Convolutions, then DepthToSpace and its opposite."""
    g = Graph("super_resolution")
    x = g.input("image", ["N", 1, "H", "W"])
    y = relu_conv(g, relu_conv(g, x, 1, 8, 5), 8, 8)
    large = g.op("DepthToSpace", conv(g, y, 8, 4, 3), blocksize=2, mode="CRD")
    small = g.op("SpaceToDepth", relu_conv(g, str(large), 1, 2), blocksize=2)
    g.output(str(large), "large", ["N", 1, "2H", "2W"])
    g.output(conv(g, str(small), 8, 2, 3), "small", ["N", 2, "H", "W"])
    return g.model()


def pyramid_pooling() -> onnx.ModelProto:
    """The global mean expanded back over the picture beside the picture itself, as DeepLab's head does."""
    g = Graph("pyramid_pooling")
    x = relu_conv(g, g.input("image", _IMAGE), 3, 8, strides=[2, 2])
    mean = relu_conv(g, str(g.op("GlobalAveragePool", x)), 8, 4, 1)
    mean = _as_large_as(g, mean, x, mode="linear", coordinate_transformation_mode="half_pixel")
    branches = [conv(g, x, 8, 4, 3, dilations=[rate, rate]) for rate in (1, 2, 4)]
    y = relu_conv(g, str(g.op("Concat", mean, *branches, axis=1)), 16, 4)
    g.output(y, "y", ["N", 4, "height", "width"])
    return g.model()


def grid_sampled() -> onnx.ModelProto:
    """GridSample over a grid made from the sizes, moved by a learnt offset."""
    g = Graph("grid_sampled", opset=20)
    x = g.input("image", _IMAGE)
    offset = g.op("Mul", g.op("Tanh", conv(g, x, 3, 2, 3)), g.const(0.2))
    axes = []
    for axis in (3, 2):
        size = g.dim(x, axis)
        steps = g.op("Add", g.op("Mul", g.cast(g.range(size), "float32"), g.const(2.0)), g.const(1.0))
        axes.append(g.op("Sub", g.op("Div", steps, g.cast(size, "float32")), g.const(1.0)))
    across = g.op("Expand", g.op("Unsqueeze", axes[0], g.const([0])), g.vector(g.dim(x, 2), g.dim(x, 3)))
    down = g.op("Expand", g.op("Unsqueeze", axes[1], g.const([1])), g.vector(g.dim(x, 2), g.dim(x, 3)))
    grid = g.op(
        "Unsqueeze",
        g.op("Concat", *(g.op("Unsqueeze", each, g.const([2])) for each in (across, down)), axis=2),
        g.const([0]),
    )
    grid = g.op("Add", grid, g.op("Transpose", offset, perm=[0, 2, 3, 1]))
    y = g.op("GridSample", x, grid, mode="linear", padding_mode="zeros", align_corners=0)
    g.output(str(y), "y", ["N", 3, "H", "W"])
    return g.model()


def deformable() -> onnx.ModelProto:
    """A deformable convolution, whose offsets and weights are convolved from the picture."""
    g = Graph("deformable", opset=19)
    x = relu_conv(g, g.input("image", _IMAGE), 3, 6)
    offset = g.op("Mul", conv(g, x, 6, 18, 3), g.const(0.7))
    weight = g.op("Sigmoid", conv(g, x, 6, 9, 3))
    size: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    y = g.op("DeformConv", x, g.weight(4, 6, 3, 3), offset, g.weight(4, scale=0.3), weight, **size)
    g.output(conv(g, str(y), 4, 4, 3), "y", ["N", 4, "H", "W"])
    return g.model()


def pad_modes() -> onnx.ModelProto:
    """Pad by reflection, by the edge, by wrapping and by a constant, each before a convolution."""
    g = Graph("pad_modes", opset=19)
    y = g.input("image", _IMAGE)
    x, channels = y, 3
    for mode in ("reflect", "edge", "constant", "wrap"):
        padded = g.op(
            "Pad", y, g.const([0, 0, 2, 1, 0, 0, 1, 2]), g.const(0.7) if mode == "constant" else "", mode=mode
        )
        y = str(g.op("Tanh", conv(g, str(padded), channels, 4, (4, 4), pads=[0, 0, 0, 0])))
        channels = 4
    g.output(str(g.op("Concat", x, y, axis=1)), "y", ["N", 7, "H", "W"])
    return g.model()


def channels_last() -> onnx.ModelProto:
    """A picture with channels last, as Keras has it: transposed in, convolved with asymmetric pads, transposed out."""
    g = Graph("channels_last")
    x = g.op("Transpose", g.input("image", ["N", "H", "W", 3]), perm=[0, 3, 1, 2])
    y = str(g.op("Relu", conv(g, str(x), 3, 8, 3, strides=[2, 2], pads=[0, 0, 1, 1])))
    y = str(g.op("Transpose", conv(g, y, 8, 4, 3), perm=[0, 2, 3, 1]))
    g.output(str(g.op("Softmax", y, axis=-1)), "classes", ["N", "height", "width", 4])
    return g.model()


_ANY = {"N": Span(1, 2), "H": Span(16, 72), "W": Span(16, 96)}

DENSE = (
    *(built("image", make, _ANY) for make in (unet_nearest, unet_half_pixel, unet_align_corners, unet_transposed)),
    built("image", unet_scales, _ANY),
    built("image", pad_modes, {"N": Span(1, 2), "H": Span(5, 40), "W": Span(5, 48)}),
    built("image", style_transfer, _ANY),
    built("image", super_resolution, {"N": Span(1, 2), "H": Span(4, 32), "W": Span(4, 40)}),
    built("image", pyramid_pooling, _ANY),
    built("image", grid_sampled, {"N": Span(1, 2), "H": Span(4, 32), "W": Span(4, 40)}),
    built("image", deformable, {"N": Span(1, 2), "H": Span(4, 24), "W": Span(4, 32)}),
    built("image", channels_last, _ANY),
)
