"""Spelling out layer norms for importers that do not know them, or not as they are meant.

nncase 2.11.0 has none. MindSpore Lite 2.0.0 takes one without ``axis`` for something else, and one with an ``epsilon``
for one without, so that its answer is NaN where nothing varies; without ``epsilon`` it may answer for one row alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import attributes_of, element_types, ranks_of
from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx

__all__ = ["FUSIONS", "spell_out"]

FUSIONS = ("LayerNormFusion", "LayerNormFusionL1")
"""What in onnxruntime makes layer norms of what is spelt out; how that is called depends on its version."""

_FLOAT, _EPSILON = 1, 1e-5
_AXES_ARE_INPUTS = 18  # From this opset on ReduceMean takes them as an input.


def spell_out(model: onnx.ModelProto) -> bool:
    """Replace layer norms in single precision, in place; return whether any was changed.

    One becomes ``(x - mean) / sqrt(variance + epsilon) * scale + bias`` over the last axes, as ONNX defines the
    operator: over which is told by ``axis``, not by the scale, which may be repeated along some. One whose mean or
    deviation is used as well is left.
    """
    graph = model.graph
    if all(node.op_type != "LayerNormalization" for node in graph.node):
        return False
    types, ranks = element_types(model), ranks_of(model)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        is_one = node.op_type == "LayerNormalization" and not any(node.output[1:])
        axes = _axes(node, ranks.get(node.input[0])) if is_one else []
        is_float = bool(axes) and _FLOAT in map(types.get, node.input[:2])
        nodes += _spelt_out(model, node, axes) if is_float else [node]
    changed = len(nodes) != len(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    return changed


def _axes(node: onnx.NodeProto, rank: int | None) -> list[int]:
    """Return over which axes a layer norm is, counted from the last; none where that cannot be told."""
    first = int(attributes_of(node).get("axis", -1))
    if first < 0:
        return list(range(first, 0))
    return [] if rank is None else list(range(first - rank, 0))


def _spelt_out(model: onnx.ModelProto, node: onnx.NodeProto, axes: list[int]) -> list[onnx.NodeProto]:
    from onnx import TensorProto, helper

    content, (output, *_) = node.input[0], node.output
    nodes: list[onnx.NodeProto] = []

    def make(kind: str, inputs: list[str], part: str) -> str:
        name = f"{output}/{part}" if part else output
        nodes.append(helper.make_node(kind, inputs, [name], name=name))
        return name

    def mean(of: str, part: str) -> str:
        name = make("ReduceMean", [of], part)
        if opset_of(model) < _AXES_ARE_INPUTS:
            nodes[-1].attribute.append(helper.make_attribute("axes", axes))
        else:
            model.graph.initializer.append(helper.make_tensor(f"{name}/axes", TensorProto.INT64, [len(axes)], axes))
            nodes[-1].input.append(f"{name}/axes")
        return name

    epsilon, value = f"{output}/epsilon", attributes_of(node).get("epsilon", _EPSILON)
    model.graph.initializer.append(helper.make_tensor(epsilon, TensorProto.FLOAT, [], [value]))
    centred = make("Sub", [content, mean(content, "mean")], "centred")
    variance = mean(make("Mul", [centred, centred], "squares"), "variance")
    deviation = make("Sqrt", [make("Add", [variance, epsilon], "moved")], "deviation")
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled = make("Mul", [make("Div", [centred, deviation], "whitened"), node.input[1]], "scaled" if bias else "")
    if bias:
        make("Add", [scaled, bias], "")
    return nodes
