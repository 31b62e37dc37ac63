"""Spelling out what nncase's ONNX importer does not know: 2.11.0 has no LayerNormalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx

__all__ = ["spell_out"]

_AXES_ARE_INPUTS = 18  # From this opset on ReduceMean takes them as an input.


def spell_out(model: onnx.ModelProto) -> None:
    """Replace layer norms in single precision, in place.

    One becomes ``(x - mean) / sqrt(variance + epsilon) * scale + bias`` over the last axes, as ONNX defines the
    operator. One whose mean or deviation is used as well is left, as is one whose scale is computed.
    """
    graph = model.graph
    scales = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        scale = scales.get(node.input[1]) if node.op_type == "LayerNormalization" else None
        nodes += [node] if scale is None or any(node.output[1:]) else _spelt_out(model, node, scale)
    del graph.node[:]
    graph.node.extend(nodes)


def _spelt_out(model: onnx.ModelProto, node: onnx.NodeProto, scale: onnx.TensorProto) -> list[onnx.NodeProto]:
    from onnx import TensorProto, helper

    if scale.data_type != TensorProto.FLOAT:
        return [node]
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
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
    model.graph.initializer.append(helper.make_tensor(epsilon, TensorProto.FLOAT, [], [given.get("epsilon", 1e-5)]))
    centred = make("Sub", [content, mean(content, "mean")], "centred")
    variance = mean(make("Mul", [centred, centred], "squares"), "variance")
    deviation = make("Sqrt", [make("Add", [variance, epsilon], "moved")], "deviation")
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled = make("Mul", [make("Div", [centred, deviation], "whitened"), scale.name], "scaled" if bias else "")
    if bias:
        make("Add", [scaled, bias], "")
    return nodes
