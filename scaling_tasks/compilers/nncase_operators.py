"""Operators as nncase 2.11.0 reads them.

* It refuses a Reshape that says what it is to make of sizes of 0, though there be none.
* It takes no constant for an output, and no Slice of some axes that leaves out which.
* It makes one of a Pad and of what slides over it, and forgets with what was padded, and that a mean is to count it.
* Its OneHot writes what lies beyond its places into the next row.
* Its LogSoftmax is the logarithm of a Softmax: minus infinity from 104 below the greatest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    constants_of,
    element_types,
    ranks_of,
    replace_nodes,
    rewrite_floats,
    static_shapes,
)

if TYPE_CHECKING:
    import onnx

__all__ = [
    "compute_constants",
    "copied",
    "keep_pads_apart",
    "mark_by_comparing",
    "reshape_without_zeros",
    "say_axes_of_slices",
    "subtract_logarithms",
]

_WHOLE = {6: "int32", 7: "int64"}
_CONVOLUTIONS, _POOLS = frozenset(("Conv", "ConvTranspose")), frozenset(("AveragePool", "LpPool", "MaxPool"))


def reshape_without_zeros(model: onnx.ModelProto, directory: Path) -> bool:
    """Say nothing of sizes of 0 in a Reshape to others, in place; return whether any did."""
    constants, changed = constants_of(model, directory), False
    for node in model.graph.node:
        said = [each for each in node.attribute if node.op_type == "Reshape" and each.name == "allowzero"]
        sizes = constants.get(node.input[1]) if said else None
        if said and (not said[0].i or (sizes is not None and (sizes != 0).all())):
            node.attribute.remove(said[0])
            changed = True
    return changed


def say_axes_of_slices(model: onnx.ModelProto) -> bool:
    """Say along which axes a Slice cuts that leaves them out, in place; return whether any did."""
    bare = [node for node in model.graph.node if node.op_type == "Slice" and not "".join(node.input[3:4])]
    shapes = static_shapes(model) if bare else {}
    changed = False
    for node in bare:
        bounds = shapes.get(node.input[1]) if len(node.input) > 1 else None
        if bounds:
            write = Writer(model, f"{node.output[0]}/cut")
            node.input[3:4] = [write.constant(range(bounds[0]), "int64")]
            changed = True
    return changed


def compute_constants(model: onnx.ModelProto) -> bool:
    """Give every output that is a constant by a node, in place; return whether any was."""
    from onnx import helper

    outputs, changed = {value.name for value in model.graph.output}, False
    for tensor in model.graph.initializer:
        if tensor.name in outputs:
            name, tensor.name = tensor.name, f"{tensor.name}/constant"
            for node in model.graph.node:
                node.input[:] = [tensor.name if each == name else each for each in node.input]
            model.graph.node.append(helper.make_node("Identity", [tensor.name], [name], name=name))
            changed = True
    return changed


def copied(write: Writer, name: str, shape: Sequence[int], output: str = "") -> str:
    """Copy a tensor by a Gather of everything in its order, which none of nncase's rules sees through."""
    return write.node("Gather", [name, write.constant(range(shape[0]), "int64")], output, axis=0)


def keep_pads_apart(model: onnx.ModelProto, directory: Path) -> bool:
    """Copy what is padded with numbers before a convolution or a pool, in place; return whether any was.

    Zeros before a convolution stay.
    """
    if all(node.op_type != "Pad" for node in model.graph.node):
        return False
    shapes, constants = static_shapes(model), constants_of(model, directory)
    taken_by: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            taken_by.setdefault(name, set()).add(node.op_type)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        given, name = attributes_of(node), next(iter(node.output), "")
        if node.op_type != "Pad" or given.get("mode", "constant") != "constant" or not shapes.get(name):
            return None
        told = node.input[2] if len(node.input) > 2 else ""
        value = constants.get(told) if told else given.get("value", 0.0)
        slides = _POOLS if value is not None and not np.any(value) else _POOLS | _CONVOLUTIONS
        if not slides & taken_by.get(name, set()):
            return None
        write, padded = Writer(model, f"{name}/apart"), type(node)()
        padded.CopyFrom(node)
        padded.output[0] = f"{name}/padded"
        write.nodes.append(padded)
        copied(write, padded.output[0], shapes[name], name)
        return write.nodes

    return replace_nodes(model, replace)


def mark_by_comparing(model: onnx.ModelProto, directory: Path) -> bool:
    """Compare places with those that a OneHot has, in place; return whether there was any of known places."""
    if all(node.op_type != "OneHot" for node in model.graph.node):
        return False
    ranks, types, constants = ranks_of(model), element_types(model), constants_of(model, directory)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "OneHot" or node.input[0] not in ranks:
            return None
        depth, values = (constants.get(name) for name in node.input[1:])
        dtype = _WHOLE.get(types.get(node.input[0], 0))
        if depth is None or values is None or dtype is None:
            return None
        write, rank, many = Writer(model, f"{node.output[0]}/marked"), ranks[node.input[0]] + 1, int(depth.item())
        axis = attributes_of(node).get("axis", -1) % rank
        places = write.over("Unsqueeze", node.input[0], [axis])
        shape = [many if at == axis else 1 for at in range(rank)]
        hits = [
            write.node("Equal", [places, write.constant(np.arange(first, first + many).reshape(shape), dtype)])
            for first in (0, -many)
        ]
        off, on = (write.constant(each, str(values.dtype)) for each in values)
        write.node("Where", [write.node("Or", hits), on, off], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def subtract_logarithms(model: onnx.ModelProto) -> bool:
    """Subtract the logarithm of a sum of powers where a LogSoftmax is, in place; return whether there was any."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        axis = attributes_of(node).get("axis", -1)
        left = write.node("Sub", [node.input[0], write.over("ReduceMax", node.input[0], [axis])])
        total = write.over("ReduceSum", write.node("Exp", [left]), [axis])
        write.node("Sub", [left, write.node("Log", [total])], node.output[0])

    return rewrite_floats(model, ["LogSoftmax"], "logarithm", write_out)
