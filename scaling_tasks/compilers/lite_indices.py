"""Gathers and outputs as MindSpore Lite 2.0.0 takes them.

* It makes no truth of whole numbers, neither gathers nor reshapes it, and its GatherND takes batch dimensions for none.
* An input that nothing takes it does not find ("input U15 not found in graph").
* An output that is an input goes by another name then, or gives it to the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaling_tasks.compilers.node_writer import Writer, attributes_of, element_types, replace_nodes, static_shapes

if TYPE_CHECKING:
    import onnx

__all__ = ["compare_with_nothing", "compute_outputs", "gather_plainly", "take_inputs"]

_FLOAT, _BOOL = 1, 9
_WHOLE = {6: "int32", 7: "int64"}
_NUMBERS = {1: "float32", **_WHOLE}
_GATHERS = ("Gather", "GatherElements", "GatherND", "Reshape")


def gather_plainly(model: onnx.ModelProto) -> bool:
    """Gather and reshape truth as numbers, and gather by places in the whole, in place; return whether any was."""
    if all(node.op_type not in _GATHERS for node in model.graph.node):
        return False
    shapes, types = static_shapes(model), element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type not in _GATHERS:
            return None
        given, places = attributes_of(node), shapes.get(node.input[1], ())
        is_truth = types.get(node.input[0]) == _BOOL
        batched = given.pop("batch_dims", 0) if node.op_type == "GatherND" and places else 0
        if not is_truth and not batched:
            return None
        write = Writer(model, f"{node.output[0]}/gathered")
        inputs = list(node.input)
        if is_truth:
            inputs[0] = write.node("Cast", [inputs[0]], to=_FLOAT)
        if batched:
            rows = np.stack(np.meshgrid(*map(np.arange, places[:batched]), indexing="ij"), axis=-1)
            rows = rows.reshape(*places[:batched], *[1] * (len(places) - batched - 1), batched)
            whole = write.constant(np.broadcast_to(rows, (*places[:-1], batched)), "int64")
            inputs[1] = write.node("Concat", [whole, inputs[1]], axis=len(places) - 1)
        if is_truth:
            write.node("Cast", [write.node(node.op_type, inputs, **given)], node.output[0], to=_BOOL)
        else:
            write.node(node.op_type, inputs, node.output[0], **given)
        return write.nodes

    return replace_nodes(model, replace)


def compare_with_nothing(model: onnx.ModelProto) -> bool:
    """Ask whether a whole number is 0 where it is to become truth, in place; return whether any is."""
    if all(node.op_type != "Cast" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        dtype = _WHOLE.get(types.get(node.input[0], 0))
        if node.op_type != "Cast" or dtype is None or attributes_of(node).get("to") != _BOOL:
            return None
        write = Writer(model, f"{node.output[0]}/truth")
        write.node("Not", [write.node("Equal", [node.input[0], write.constant(0, dtype)])], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def compute_outputs(model: onnx.ModelProto) -> bool:
    """Add nothing to every input that is an output under another name, in place; return whether any is."""
    given = {value.name for value in model.graph.input}
    wanted = {value.name for value in model.graph.output}
    if all(node.op_type != "Identity" or node.input[0] not in given for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Identity" or node.input[0] not in given or node.output[0] not in wanted:
            return None
        dtype = _NUMBERS.get(types.get(node.input[0], 0))
        if dtype is None:
            return None
        write = Writer(model, f"{node.output[0]}/computed")
        write.node("Add", [node.input[0], write.constant(0, dtype)], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def take_inputs(model: onnx.ModelProto) -> bool:
    """Add nothing to an output for every input that nothing takes, in place; return whether any was added to.

    The nothing is made of whether the input is equal to itself, for a number that is none times 0 is none.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    taken = {name for node in model.graph.node for name in node.input} | stored
    types = element_types(model)
    kinds = (*_NUMBERS, _BOOL)
    idle = [value.name for value in model.graph.input if value.name not in taken and types[value.name] in kinds]
    outputs = {value.name for value in model.graph.output if types.get(value.name) == _FLOAT} - taken
    node = next((node for node in model.graph.node if len(node.output) == 1 and node.output[0] in outputs), None)
    if not idle or node is None:
        return False
    output, made = node.output[0], f"{node.output[0]}/before"
    write, node.output[0] = Writer(model, f"{output}/taken"), made
    for at, name in enumerate(idle, 1):
        number = write.node("Cast", [name], to=_FLOAT)
        same = write.node("Cast", [write.node("Equal", [number, number])], to=_FLOAT)
        nothing = write.node("Mul", [write.node("ReduceMin", [same], keepdims=0), write.constant(0.0)])
        made = write.node("Add", [made, nothing], output if at == len(idle) else "")
    model.graph.node.extend(write.nodes)
    return True
