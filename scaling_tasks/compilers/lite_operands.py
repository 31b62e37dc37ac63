"""Operands and names as MindSpore Lite 2.0.0 takes them.

* Its Where converts and then fails when it runs ("predict failed") unless its three inputs have one shape.
* A product, sum, minimum or maximum whose second operand comes straight from an input of the model spoils the inference
  of shapes in the converter, and what was converted fails when it runs; with that operand first all is well.
* It takes a node for what computes the tensor of the same name, which may be another node's ("input U8 not found").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import CompileError

if TYPE_CHECKING:
    import onnx

    Dims = tuple[int | str | None, ...]

__all__ = ["expand_where", "lead_with_inputs", "name_apart"]

_COMMUTATIVE = ("Add", "Mul", "Min", "Max")
_RESHAPING = ("Unsqueeze", "Cast")


def lead_with_inputs(model: onnx.ModelProto) -> bool:
    """Put operands that come straight from the model's inputs first; return whether any was moved."""
    weights = {tensor.name for tensor in model.graph.initializer}
    direct = {value.name for value in model.graph.input} - weights
    moved = False
    for node in model.graph.node:
        if node.op_type in _RESHAPING and node.input[0] in direct:
            direct.add(node.output[0])
        elif node.op_type in _COMMUTATIVE and [name in direct for name in node.input] == [False, True]:
            node.input[:] = reversed(node.input)
            moved = True
    return moved


def name_apart(model: onnx.ModelProto) -> bool:
    """Rename nodes that are called like another node's output; return whether any was."""
    made_by = {name: at for at, node in enumerate(model.graph.node) for name in node.output}
    renamed = False
    for at, node in enumerate(model.graph.node):
        if made_by.get(node.name, at) != at:
            node.name = node.output[0]
            renamed = True
    return renamed


def expand_where(model: onnx.ModelProto) -> bool:
    """Give the inputs of every Where the shape of its result; return whether any needed it.

    Raises:
        CompileError: No input of a Where has the shape of its result.
    """
    if all(node.op_type != "Where" for node in model.graph.node):
        return False
    shapes = _shapes(model)
    nodes = [new for node in model.graph.node for new in _expanded(node, shapes)]
    changed = len(nodes) != len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return changed


def _expanded(node: onnx.NodeProto, shapes: Mapping[str, Dims]) -> list[onnx.NodeProto]:
    from onnx import helper

    if node.op_type != "Where" or any(name not in shapes for name in node.input):
        return [node]
    known = [shapes[name] for name in node.input]
    # The chosen content comes first where nothing tells the three apart: a mask is seldom larger than it.
    leader = min((1, 2, 0), key=lambda at: (-len(known[at]), known[at].count(1)))
    if any(_exceeds(dims, known[leader]) for dims in known):
        raise CompileError(
            f"MindSpore Lite fails at the Where {node.name or node.output[0]!r}, none of whose inputs has the shape of "
            "its result",
            fix="Choose another backend.",
        )
    output = node.output[0]
    shape = helper.make_node("Shape", [node.input[leader]], [f"{output}/shape"], name=f"{output}/shape")
    added = []
    for at, dims in enumerate(known):
        if at != leader and (dims != known[leader] or None in dims):
            name = f"{output}/operand{at}"
            added.append(helper.make_node("Expand", [node.input[at], shape.output[0]], [name], name=name))
            node.input[at] = name
    return [shape, *added, node] if added else [node]


def _exceeds(dims: Dims, leader: Dims) -> bool:
    """Return whether an operand is longer than the leader along an axis."""
    aligned = leader[len(leader) - len(dims) :]
    return any(room == 1 and dim != 1 for dim, room in zip(dims, aligned, strict=True))


def _shapes(model: onnx.ModelProto) -> dict[str, Dims]:
    import onnx

    inferred: Any = onnx.shape_inference.infer_shapes(model).graph
    found: dict[str, Dims] = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            found[value.name] = tuple(dim.dim_value or dim.dim_param or None for dim in dims)
    return found
