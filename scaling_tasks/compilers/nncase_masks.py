"""Cleaning in the form that survives eight bits.

On the k230 a product of a quantised tensor and a mask that is repeated along its channels comes out as noise (nncase
2.11.0, uint8 and int8: cosine 0.01), and a bound that is infinite ends the search for ranges. A choice between the
content and a constant is not quantised at all: as exact as without a mask, whatever the constant. Nor is a quotient,
where a product with the ratio of sizes is cut off at the largest ratio among the samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from scaling_tasks.shapes.size_inputs import SizeInput

__all__ = ["choose_by_masks"]

_LARGEST = 3e38
_FACTORS = ("valid", "ratio")
_RESHAPING = ("Expand", "Unsqueeze", "Reshape", "Identity")


def choose_by_masks(model: onnx.ModelProto, size_inputs: Sequence[SizeInput]) -> None:
    """Turn products with masks, and minima and maxima with bounds, into Where; products with ratios into quotients.

    Args:
        model: The model to change; its weights may be missing.
        size_inputs: What tells exact sizes; masks and bounds are of kind ``valid``, ratios ``ratio``.
    """
    masks = {spec.name: spec for spec in size_inputs if spec.kind in _FACTORS and spec.dtype == "float32"}
    chosen: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type in _RESHAPING and node.input[0] in masks:
            masks[node.output[0]] = masks[node.input[0]]
        mask = next((name for name in node.input if name in masks), None)
        if mask is None or not _cleans(node, masks[mask]):
            nodes.append(node)
            continue
        spec = masks[mask]
        if mask not in chosen:
            chosen[mask] = f"{mask}/chosen"
            nodes.append(_derived(model, mask, spec, chosen[mask]))
        (content,) = (name for name in node.input if name != mask)
        if spec.kind == "valid":
            node.op_type = "Where"
            node.input[:] = [chosen[mask], content, _constant(model, min(max(spec.off, -_LARGEST), _LARGEST))]
        else:
            node.op_type = "Div"
            node.input[:] = [content, chosen[mask]]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _cleans(node: onnx.NodeProto, mask: SizeInput) -> bool:
    """Return whether a node scales by a ratio, or sets positions that are not valid to what the mask holds there."""
    if len(set(node.input)) != 2:
        return False
    if mask.kind == "ratio":
        return bool(node.op_type == "Mul")
    if node.op_type == "Mul":
        return (mask.on, mask.off) == (1.0, 0.0)
    large = abs(mask.off) >= _LARGEST / 10 and mask.on == -mask.off
    return large and node.op_type == ("Min" if mask.off < 0 else "Max")


def _derived(model: onnx.ModelProto, mask: str, spec: SizeInput, name: str) -> onnx.NodeProto:
    """Return the node that says where positions are valid, or what to divide by."""
    from onnx import helper

    if spec.kind == "ratio":
        return helper.make_node("Div", [_constant(model, 1.0), mask], [name], name=name)
    middle = _constant(model, 0.5 if spec.off == 0 else 0.0)
    return helper.make_node("Greater" if spec.on > spec.off else "Less", [mask, middle], [name], name=name)


def _constant(model: onnx.ModelProto, value: float) -> str:
    from onnx import TensorProto, helper

    name = f"st_choice_{value:g}"
    if all(tensor.name != name for tensor in model.graph.initializer):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
    return name
