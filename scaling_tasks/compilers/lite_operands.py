"""Operands and names as MindSpore Lite 2.0.0 takes them.

* Its Where converts and then fails when it runs ("predict failed") unless its three inputs have one shape.
* A product, sum, minimum or maximum whose second operand comes straight from an input of the model spoils the inference
  of shapes in the converter, and what was converted fails when it runs; with that operand first all is well.
* A Clip without ``min`` takes its ``max`` for one, and a Clip to a tiny ``min`` alone counts as Relu.
* It takes a node for what computes the tensor of the same name, which may be another node's ("input U8 not found").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import CompileError

if TYPE_CHECKING:
    import onnx

    Dims = tuple[int | str | None, ...]

__all__ = ["bound_by_one", "element_type", "expand_where", "lead_with_inputs", "name_apart"]

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


def bound_by_one(model: onnx.ModelProto) -> bool:
    """Make a Max or Min of every Clip that has one bound; return whether there was any."""
    from onnx import helper

    changed = False
    for node in model.graph.node:
        if node.op_type != "Clip":
            continue
        given = {attribute.name: attribute.f for attribute in node.attribute}
        bounds = {kind: name for kind, name in zip(("min", "max"), node.input[1:], strict=False) if name}
        if len(given | bounds) != 1:
            continue
        for kind, value in given.items():  # Before opset 11, when only floating-point numbers were taken.
            bounds[kind] = f"{node.output[0]}/{kind}"
            element = element_type(model, node.input[0])
            model.graph.initializer.append(helper.make_tensor(bounds[kind], element, [], [value]))
        ((kind, bound),) = bounds.items()
        node.op_type = {"min": "Max", "max": "Min"}[kind]
        node.input[:] = [node.input[0], bound]
        del node.attribute[:]
        changed = True
    return changed


def element_type(model: onnx.ModelProto, name: str) -> int:
    """Return the element type of a tensor where the model says it, float where it does not."""
    import onnx

    known = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    types = (value.type.tensor_type.elem_type for value in known if value.name == name)
    return int(next(types, onnx.TensorProto.FLOAT))


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
        CompileError: The shape of a Where's result is neither known nor that of one of its inputs.
    """
    if all(node.op_type != "Where" for node in model.graph.node):
        return False
    shapes = _shapes(model)
    nodes = [new for node in model.graph.node for new in _expanded(model, node, shapes)]
    changed = len(nodes) != len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return changed


def _expanded(model: onnx.ModelProto, node: onnx.NodeProto, shapes: Mapping[str, Dims]) -> list[onnx.NodeProto]:
    from onnx import TensorProto, helper

    if node.op_type != "Where" or any(name not in shapes for name in node.input):
        return [node]
    known = [shapes[name] for name in node.input]
    output, shape, added = node.output[0], f"{node.output[0]}/shape", []
    if all(isinstance(dim, int) for dims in known for dim in dims):
        whole = _broadcast(known)
        needed = [at for at, dims in enumerate(known) if dims != whole]
        if needed:
            model.graph.initializer.append(helper.make_tensor(shape, TensorProto.INT64, [len(whole)], whole))
    else:
        leader = _leader(node, known)
        needed = [at for at, dims in enumerate(known) if at != leader and (dims != known[leader] or None in dims)]
        if needed:
            added.append(helper.make_node("Shape", [node.input[leader]], [shape], name=shape))
    for at in needed:
        name = f"{output}/operand{at}"
        added.append(helper.make_node("Expand", [node.input[at], shape], [name], name=name))
        node.input[at] = name
    return [*added, node]


def _broadcast(known: Sequence[Dims]) -> Dims:
    rank = max(map(len, known))
    aligned = [(1,) * (rank - len(dims)) + dims for dims in known]
    # A size of 0 is broadcast from 1, never the other way round.
    return tuple(next((dim for dim in dims if dim != 1), 1) for dims in zip(*aligned, strict=True))


def _leader(node: onnx.NodeProto, known: Sequence[Dims]) -> int:
    """Return which input has the shape of the result."""
    # The chosen content comes first where nothing tells the three apart: a mask is seldom larger than it.
    leader = min((1, 2, 0), key=lambda at: (-len(known[at]), known[at].count(1)))
    if any(_exceeds(dims, known[leader]) for dims in known):
        raise CompileError(
            f"MindSpore Lite fails at the Where {node.name or node.output[0]!r}, none of whose inputs has the shape of "
            "its result",
            fix="Choose another backend, or leave out `compile.options.dynamic`.",
        )
    return leader


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
