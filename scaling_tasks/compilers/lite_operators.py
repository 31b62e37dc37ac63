"""Operators as MindSpore Lite 2.0.0 reads them.

* A pool that says how it is dilated is refused, though it say that it is not.
* Of a Split it reads the sizes as the attribute alone that they were before opset 13; without it, parts are equal.
* Of a Gemm it adds a constant row alone, and multiplies nothing by ``alpha`` and ``beta``.
* It has no ArgMin, and no HardSwish that its own optimiser would not stumble over.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import Writer, attributes_of, constants_of, element_types, replace_nodes

if TYPE_CHECKING:
    import onnx

__all__ = ["DEFINED_BY_OTHERS", "add_apart", "find_least_by_greatest", "pool_undilated", "split_by_attribute"]

DEFINED_BY_OTHERS = frozenset(
    (
        "Attention",
        "CastLike",
        "Celu",
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
    if all(node.op_type != "ArgMin" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "ArgMin" or types.get(node.input[0]) != _FLOAT:
            return None
        write = Writer(model, f"{node.output[0]}/least")
        negative = write.node("Neg", [node.input[0]])
        write.node("ArgMax", [negative], node.output[0], **attributes_of(node))
        return write.nodes

    return replace_nodes(model, replace)
