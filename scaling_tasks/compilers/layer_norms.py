"""Spelling out layer norms for importers that do not know them, or not as they are meant.

nncase 2.11.0 has none. MindSpore Lite 2.0.0 takes one without ``axis`` for something else, and one with an ``epsilon``
for one without, so that its answer is NaN where nothing varies; without ``epsilon`` it may answer for one row alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx

__all__ = ["FUSIONS", "spell_out"]

FUSIONS = ("LayerNormFusion", "LayerNormFusionL1")
"""What in onnxruntime makes layer norms of what is spelt out; how that is called depends on its version."""

_EPSILON = 1e-5
_AXES_ARE_INPUTS = 18  # From this opset on ReduceMean takes them as an input.


def spell_out(model: onnx.ModelProto) -> bool:
    """Replace layer norms in single precision, in place; return whether any was changed.

    One becomes ``(x - mean) / sqrt(variance + epsilon) * scale + bias`` over the last axes, as ONNX defines the
    operator. One whose mean or deviation is used as well is left, as is one whose scale is computed.
    """
    graph = model.graph
    scales = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        scale = scales.get(node.input[1]) if node.op_type == "LayerNormalization" else None
        nodes += [node] if scale is None or any(node.output[1:]) else _spelt_out(model, node, scale)
    changed = len(nodes) != len(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    return changed


def _epsilon(node: onnx.NodeProto) -> float:
    return next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), _EPSILON)


def _spelt_out(model: onnx.ModelProto, node: onnx.NodeProto, scale: onnx.TensorProto) -> list[onnx.NodeProto]:
    from onnx import TensorProto, helper

    if scale.data_type != TensorProto.FLOAT:
        return [node]
    content, (output, *_) = node.input[0], node.output
    nodes: list[onnx.NodeProto] = []

    def make(kind: str, inputs: list[str], part: str) -> str:
        name = f"{output}/{part}" if part else output
        nodes.append(helper.make_node(kind, inputs, [name], name=name))
        return name

    def mean(of: str, part: str) -> str:
        axes = list(range(-len(scale.dims), 0))
        name = make("ReduceMean", [of], part)
        if opset_of(model) < _AXES_ARE_INPUTS:
            nodes[-1].attribute.append(helper.make_attribute("axes", axes))
        else:
            model.graph.initializer.append(helper.make_tensor(f"{name}/axes", TensorProto.INT64, [len(axes)], axes))
            nodes[-1].input.append(f"{name}/axes")
        return name

    epsilon = f"{output}/epsilon"
    model.graph.initializer.append(helper.make_tensor(epsilon, TensorProto.FLOAT, [], [_epsilon(node)]))
    centred = make("Sub", [content, mean(content, "mean")], "centred")
    variance = mean(make("Mul", [centred, centred], "squares"), "variance")
    deviation = make("Sqrt", [make("Add", [variance, epsilon], "moved")], "deviation")
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled = make("Mul", [make("Div", [centred, deviation], "whitened"), scale.name], "scaled" if bias else "")
    if bias:
        make("Add", [scaled, bias], "")
    return nodes
