"""Logarithms at the ends of what floats hold, for importers that compute them in the middle alone.

* The Softplus of nncase 2.11.0 is infinite from 89 on, that of MindSpore Lite 2.0.0 is never more than 88.
* The logarithm of 0 is no number in nncase and -88 in MindSpore Lite: a mask's hides nothing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import Writer, rewrite_floats

if TYPE_CHECKING:
    import onnx

__all__ = ["add_logarithms", "choose_of_nothing"]


def add_logarithms(model: onnx.ModelProto) -> bool:
    """Compute ``max(x, 0) + log(1 + exp(-|x|))`` where a Softplus is, in place; return whether there was any."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        power = write.node("Exp", [write.node("Neg", [write.node("Abs", [node.input[0]])])])
        rest = write.node("Log", [write.node("Add", [power, write.constant(1.0)])])
        write.node("Add", [write.node("Relu", [node.input[0]]), rest], node.output[0])

    return rewrite_floats(model, ["Softplus"], "ends", write_out)


def choose_of_nothing(model: onnx.ModelProto) -> bool:
    """Choose minus infinity where a Log is of 0, in place; return whether there was any."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        nothing = write.node("Equal", [node.input[0], write.constant(0.0)])
        logarithm = write.node("Log", [node.input[0]])
        write.node("Where", [nothing, write.constant(float("-inf")), logarithm], node.output[0])

    return rewrite_floats(model, ["Log"], "nothing", write_out)
