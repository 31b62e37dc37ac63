"""Operators as nncase 2.11.0 reads them.

* It refuses a Reshape that says what it is to make of sizes of 0, though there be none.
* It takes no constant for an output.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import constants_of

if TYPE_CHECKING:
    import onnx

__all__ = ["compute_constants", "reshape_without_zeros"]


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
