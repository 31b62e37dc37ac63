"""Operators as MindSpore Lite 2.0.0 reads them.

* A pool that says how it is dilated is refused, though it say that it is not.
* Of a Split it reads the sizes as the attribute alone that they were before opset 13; without it, parts are equal.
* It pools pictures alone, which have four dimensions, and normalises no other instances.
* It leaves out a Transpose of a shape that stays the same, such as of as many heads as positions, before a Reshape.
* It loses its way where a Softmax is convolved that a Transpose and a convolution come before.
* Of a Gemm it adds a constant row alone, and multiplies nothing by ``alpha`` and ``beta``.
* It has no ArgMin, no HardSwish that its own optimiser would not stumble over, and no Gelu but with its rough Tanh.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    constants_of,
    element_types,
    replace_nodes,
    rewrite_floats,
    static_shapes,
)

if TYPE_CHECKING:
    import onnx

__all__ = [
    "DEFINED_BY_OTHERS",
    "add_apart",
    "find_least_by_greatest",
    "keep_transposes",
    "multiply_pointwise",
    "pool_pictures",
    "pool_undilated",
    "split_by_attribute",
]

DEFINED_BY_OTHERS = frozenset(
    (
        "Attention",
        "CastLike",
        "Celu",
        "Gelu",
        "GreaterOrEqual",
        "GroupNormalization",
        "HardSwish",
        "LessOrEqual",
        "MeanVarianceNormalization",
        "Mish",
        "RMSNormalization",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "RotaryEmbedding",
        "Selu",
        "Shrink",
        "Softsign",
        "SwiGLU",
        "Swish",
        "ThresholdedRelu",
    )
)
"""Operators that it does not have, and that ONNX defines by others that it has."""

_FLOAT = 1


def pool_undilated(model: onnx.ModelProto) -> bool:
    """Leave out that a pool is not dilated, in place; return whether any said so."""
    changed = False
    for node in model.graph.node:
        for attribute in [each for each in node.attribute if each.name == "dilations"]:
            if node.op_type in ("AveragePool", "MaxPool") and all(each == 1 for each in attribute.ints):
                node.attribute.remove(attribute)
                changed = True
    return changed


def pool_pictures(model: onnx.ModelProto) -> bool:
    """Pool and normalise rows as pictures one high, and the whole of anything, in place; return whether any was."""
    of_the_whole = ("GlobalAveragePool", "GlobalMaxPool", "InstanceNormalization")
    kinds = ("AveragePool", "MaxPool", *of_the_whole)
    if all(node.op_type not in kinds for node in model.graph.node):
        return False
    shapes = static_shapes(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        shape = shapes.get(node.input[0], ()) if node.op_type in kinds else ()
        if not shape or len(shape) == 4 or len(node.output) > 1:
            return None
        write = Writer(model, f"{node.output[0]}/pooled")
        if node.op_type in of_the_whole:
            flat = write.reshape(node.input[0], [*shape[:2], 1, math.prod(shape[2:])])
            made = write.node(node.op_type, [flat, *node.input[1:]], **attributes_of(node))
            normal = node.op_type == "InstanceNormalization"
            write.reshape(made, shape if normal else [*shape[:2], *[1] * (len(shape) - 2)], node.output[0])
            return write.nodes
        if len(shape) != 3:
            return None
        given = attributes_of(node)
        pads = given.get("pads", [0, 0])
        given |= {name: [1, *given[name]] for name in ("kernel_shape", "strides", "dilations") if name in given}
        given |= {"pads": [0, pads[0], 0, pads[1]]} if "pads" in given else {}
        high = write.reshape(node.input[0], [*shape[:2], 1, shape[2]])
        # Of windows that are rounded up, ONNX before opset 22 counts one that there is not.
        write.reshape(write.node(node.op_type, [high], **given), [*shape[:2], -1], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def keep_transposes(model: onnx.ModelProto) -> bool:
    """Flatten what a Transpose gives before a Reshape, where its shape stays the same, in place; return whether any."""
    made = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Transpose"}
    if not any(node.op_type == "Reshape" and node.input[0] in made for node in model.graph.node):
        return False
    shapes = static_shapes(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        source = made.get(node.input[0]) if node.op_type == "Reshape" else None
        shape = shapes.get(node.input[0])
        if source is None or shape != shapes.get(source, ()) or node.output[0] not in shapes:
            return None
        write = Writer(model, f"{node.output[0]}/flat")
        flat = write.node("Flatten", [node.input[0]], axis=1)
        write.reshape(flat, shapes[node.output[0]], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def multiply_pointwise(model: onnx.ModelProto) -> bool:
    """Make a matrix product of every convolution of single points of a Softmax, in place; return whether any was."""
    softmaxes = {node.output[0] for node in model.graph.node if node.op_type == "Softmax"}
    if not any(node.op_type == "Conv" and node.input[0] in softmaxes for node in model.graph.node):
        return False
    shapes = static_shapes(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Conv" or node.input[0] not in softmaxes:
            return None
        given, weights, shape = attributes_of(node), shapes.get(node.input[1], ()), shapes.get(node.input[0], ())
        single = weights[2:] == (1, 1) and given.get("group", 1) == 1 and not any(given.get("pads", []))
        if not single or set(given.get("strides", [1])) != {1} or len(shape) != 4:
            return None
        write, (count, channels, high, wide), made = Writer(model, f"{node.output[0]}/product"), shape, weights[0]
        factors = [
            write.reshape(node.input[1], [made, channels]),
            write.reshape(node.input[0], [count, channels, high * wide]),
        ]
        product = write.node("MatMul", factors)
        if len(node.input) > 2:
            product = write.node("Add", [product, write.reshape(node.input[2], [made, 1])])
        write.reshape(product, [count, made, high, wide], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def split_by_attribute(model: onnx.ModelProto, directory: Path) -> bool:
    """Say the sizes of every Split as an attribute, in place; return whether any said them as an input."""
    from onnx import helper

    constants, changed = constants_of(model, directory), False
    for node in model.graph.node:
        sizes = constants.get(node.input[1]) if node.op_type == "Split" and len(node.input) > 1 else None
        if sizes is not None:
            del node.input[1:]
            node.attribute.append(helper.make_attribute("split", [int(size) for size in sizes]))
            changed = True
    return changed


def add_apart(model: onnx.ModelProto) -> bool:
    """Make a product and a sum of every Gemm that adds more than a row or weighs it, in place; return whether any."""
    if all(node.op_type != "Gemm" for node in model.graph.node):
        return False
    types = element_types(model)
    rows = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 1}

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Gemm" or types.get(node.input[0]) != _FLOAT:
            return None
        given, added = attributes_of(node), [name for name in node.input[2:] if name]
        weights = {name: given.get(name, 1.0) for name in ("alpha", "beta")}
        if set(weights.values()) == {1.0} and rows.issuperset(added):
            return None
        write = Writer(model, f"{node.output[0]}/product")

        def weighed(name: str, weight: float) -> str:
            return name if weight == 1.0 else write.node("Mul", [name, write.constant(weight)])

        factors = [
            write.node("Transpose", [name], perm=[1, 0]) if given.get(turned) else name
            for name, turned in zip(node.input[:2], ("transA", "transB"), strict=True)
        ]
        product = weighed(write.node("MatMul", factors), weights["alpha"])
        if added:
            write.node("Add", [product, weighed(added[0], weights["beta"])], node.output[0])
        else:
            write.node("Identity", [product], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def find_least_by_greatest(model: onnx.ModelProto) -> bool:
    """Look for the greatest of the negative where ArgMin looks for the least, in place; return whether any does."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        negative = write.node("Neg", [node.input[0]])
        write.node("ArgMax", [negative], node.output[0], **attributes_of(node))

    return rewrite_floats(model, ["ArgMin"], "least", write_out)
