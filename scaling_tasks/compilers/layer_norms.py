"""Spelling out layer norms for importers that do not know them, or not as they are meant.

nncase 2.11.0 has none. MindSpore Lite 2.0.0 takes one without ``axis`` for something else, and one with an ``epsilon``
for one without, so that its answer is NaN where nothing varies; without ``epsilon`` it may answer for one row alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import Writer, attributes_of, element_types, ranks_of, replace_nodes

if TYPE_CHECKING:
    import onnx

__all__ = ["FUSIONS", "spell_out"]

FUSIONS = ("LayerNormFusion", "LayerNormFusionL1")
"""What in onnxruntime makes layer norms of what is spelt out; how that is called depends on its version."""

_FLOAT, _EPSILON = 1, 1e-5


def spell_out(model: onnx.ModelProto) -> bool:
    """Replace layer norms in single precision, in place; return whether any was changed.

    One becomes ``(x - mean) / sqrt(variance + epsilon) * scale + bias`` over the last axes, as ONNX defines the
    operator: over which is told by ``axis``, not by the scale, which may be repeated along some. One whose mean or
    deviation is used as well is left.
    """
    if all(node.op_type != "LayerNormalization" for node in model.graph.node):
        return False
    types, ranks = element_types(model), ranks_of(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        is_one = node.op_type == "LayerNormalization" and not any(node.output[1:])
        axes = _axes(node, ranks.get(node.input[0])) if is_one else []
        return _spelt_out(model, node, axes) if axes and _FLOAT in map(types.get, node.input[:2]) else None

    return replace_nodes(model, replace)


def _axes(node: onnx.NodeProto, rank: int | None) -> list[int]:
    """Return over which axes a layer norm is, counted from the last; none where that cannot be told."""
    first = int(attributes_of(node).get("axis", -1))
    if first < 0:
        return list(range(first, 0))
    return [] if rank is None else list(range(first - rank, 0))


def _spelt_out(model: onnx.ModelProto, node: onnx.NodeProto, axes: list[int]) -> list[onnx.NodeProto]:
    write, (content, scale, *bias) = Writer(model, f"{node.output[0]}/spelt"), node.input
    centred = write.node("Sub", [content, write.over("ReduceMean", content, axes)])
    variance = write.over("ReduceMean", write.node("Mul", [centred, centred]), axes)
    epsilon = write.constant(attributes_of(node).get("epsilon", _EPSILON))
    whitened = write.node("Div", [centred, write.node("Sqrt", [write.node("Add", [variance, epsilon])])])
    if any(bias):
        write.node("Add", [write.node("Mul", [whitened, scale]), *bias], node.output[0])
    else:
        write.node("Mul", [whitened, scale], node.output[0])
    return write.nodes
