"""Logarithms at the ends of what floats hold, for importers that compute them in the middle alone.

* The Softplus of nncase 2.11.0 is infinite from 89 on, that of MindSpore Lite 2.0.0 is never more than 88.
* The logarithm of 0 is no number in nncase and -88 in MindSpore Lite: a mask's hides nothing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import Writer, element_types, replace_nodes

if TYPE_CHECKING:
    import onnx

__all__ = ["add_logarithms", "choose_of_nothing"]

_FLOAT = 1


def add_logarithms(model: onnx.ModelProto) -> bool:
    """Compute ``max(x, 0) + log(1 + exp(-|x|))`` where a Softplus is, in place; return whether there was any."""
    if all(node.op_type != "Softplus" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Softplus" or types.get(node.input[0]) != _FLOAT:
            return None
        write = Writer(model, f"{node.output[0]}/ends")
        power = write.node("Exp", [write.node("Neg", [write.node("Abs", [node.input[0]])])])
        rest = write.node("Log", [write.node("Add", [power, write.constant(1.0)])])
        write.node("Add", [write.node("Relu", [node.input[0]]), rest], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def choose_of_nothing(model: onnx.ModelProto) -> bool:
    """Choose minus infinity where a Log is of 0, in place; return whether there was any."""
    if all(node.op_type != "Log" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Log" or types.get(node.input[0]) != _FLOAT:
            return None
        write = Writer(model, f"{node.output[0]}/nothing")
        nothing = write.node("Equal", [node.input[0], write.constant(0.0)])
        logarithm = write.node("Log", [node.input[0]])
        write.node("Where", [nothing, write.constant(float("-inf")), logarithm], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)
