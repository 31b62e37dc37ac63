"""Operators that some importers do not have, in others that all have.

Neither MindSpore Lite 2.0.0 nor nncase 2.11.0 has an IsNaN; nncase has no Reciprocal. MindSpore Lite takes no sum, no
least and no greatest of three, of which nncase leaves some out, and neither takes them of one. Both lose
their way in a OneHot whose new axis is counted from the end, and in a Reshape to no dimensions: MindSpore Lite, whose
run never ends, takes its empty shape for one that is not there yet. It counts no axis of a softmax from the end either.
Neither limits whole numbers on both sides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    element_types,
    ranks_of,
    replace_nodes,
    rewrite_floats,
    static_shapes,
)
from scaling_tasks.errors import CompileError

if TYPE_CHECKING:
    import onnx

__all__ = [
    "bound_whole_numbers",
    "compare_with_itself",
    "count_axes_from_first",
    "count_places_from_first",
    "divide_one",
    "refuse_reductions",
    "squeeze_to_scalars",
    "take_two_at_a_time",
]

_FLOAT, _INT32, _INT64 = 1, 6, 7
_COUNT_FROM_FIRST = ("ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "Shape", "TopK")
_SOFTMAXES = ("Hardmax", "LogSoftmax", "Softmax")
_OF_MANY = {"Max": "Max", "Mean": "Add", "Min": "Min", "Sum": "Add"}


def compare_with_itself(model: onnx.ModelProto) -> bool:
    """Ask whether a number is not equal to itself where IsNaN does, in place; return whether any does."""

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "IsNaN":
            return None
        write = Writer(model, f"{node.output[0]}/itself")
        write.node("Not", [write.node("Equal", [node.input[0], node.input[0]])], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def divide_one(model: onnx.ModelProto) -> bool:
    """Divide one by what a Reciprocal is of, in place; return whether there was any."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        write.node("Div", [write.constant(1.0), node.input[0]], node.output[0])

    return rewrite_floats(model, ["Reciprocal"], "quotient", write_out)


def bound_whole_numbers(model: onnx.ModelProto) -> bool:
    """Compare a whole number with its bounds one by one where a Clip is, in place; return whether there was any."""
    if all(node.op_type != "Clip" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Clip" or types.get(node.input[0]) not in (_INT32, _INT64):
            return None
        write, made = Writer(model, f"{node.output[0]}/bounded"), node.input[0]
        for kind, bound in zip(("Max", "Min"), node.input[1:], strict=False):
            made = write.node(kind, [made, bound]) if bound else made
        write.node("Identity", [made], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def take_two_at_a_time(model: onnx.ModelProto) -> bool:
    """Compute sums, means, the least and the greatest of two at a time, in place; return whether any was of others."""

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        kind = _OF_MANY.get(node.op_type)
        if kind is None or (node.op_type == kind and len(node.input) == 2):
            return None
        write, (made, *rest) = Writer(model, f"{node.output[0]}/two"), node.input
        for at, name in enumerate(rest, 2):
            is_last = at == len(node.input) and node.op_type != "Mean"
            made = write.node(kind, [made, name], node.output[0] if is_last else "")
        if node.op_type == "Mean":
            write.node("Mul", [made, write.constant(1 / len(node.input))], node.output[0])
        elif not rest:
            write.node("Identity", [made], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def refuse_reductions(model: onnx.ModelProto, importer: str) -> None:
    """Refuse a ScatterND that adds to what there is, or the like, which importers let write over it.

    Raises:
        CompileError: Naming it.
    """
    for node in model.graph.node:
        reduction = attributes_of(node).get("reduction", "none") if node.op_type == "ScatterND" else "none"
        if reduction != "none":
            raise CompileError(
                f"{importer} leaves out the reduction {reduction!r} of the ScatterND {node.name or node.output[0]!r}",
                fix="Export the model otherwise, or choose another backend.",
            )


def count_axes_from_first(model: onnx.ModelProto) -> bool:
    """Count the axis of a softmax, and the new one of a OneHot, from the first, in place; return whether any was not.

    That of a softmax may be the last of all.
    """
    from onnx import helper

    if all(node.op_type not in ("OneHot", *_SOFTMAXES) for node in model.graph.node):
        return False
    ranks, changed = ranks_of(model), False
    for node in model.graph.node:
        is_new = node.op_type == "OneHot"
        axis = attributes_of(node).get("axis", -1) if is_new or node.op_type in _SOFTMAXES else 0
        if node.input and node.input[0] in ranks and axis < (0 if is_new else -1):
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", ranks[node.input[0]] + is_new + axis))
            changed = True
    return changed


def count_places_from_first(model: onnx.ModelProto, kinds: Collection[str]) -> bool:
    """Count places from the first that may be counted from the end, in place; return whether any may be.

    Args:
        model: The model; what has no shape of its own is left.
        kinds: Which of GatherElements, GatherND and ScatterND.
    """
    from onnx import numpy_helper

    if all(node.op_type not in kinds for node in model.graph.node):
        return False
    shapes = static_shapes(model)
    # What lies in a side file is too much to be a list of places.
    stored = [tensor for tensor in model.graph.initializer if not tensor.external_data]
    never = {
        tensor.name for tensor in stored if tensor.data_type == _INT64 and (numpy_helper.to_array(tensor) >= 0).all()
    }
    never |= {name for node in model.graph.node if node.op_type in _COUNT_FROM_FIRST for name in node.output}

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type not in kinds or node.input[1] in never or any(name not in shapes for name in node.input[:2]):
            return None
        shape, given = shapes[node.input[0]], attributes_of(node)
        write, kept = Writer(model, f"{node.output[0]}/counted"), type(node)()
        if node.op_type == "GatherElements":
            lengths: list[int] = [shape[given.get("axis", 0)]]
        else:
            first = given.get("batch_dims", 0)
            lengths = list(shape[first : first + shapes[node.input[1]][-1]])
        places = write.node("Cast", [node.input[1]], to=_FLOAT)
        behind = write.node("Cast", [write.node("Less", [places, write.constant(0.0)])], to=_FLOAT)
        counted = write.node("Add", [places, write.node("Mul", [behind, write.constant(lengths)])])
        kept.CopyFrom(node)
        kept.input[1] = write.node("Cast", [counted], to=_INT64)
        write.nodes.append(kept)
        return write.nodes

    return replace_nodes(model, replace)


def squeeze_to_scalars(model: onnx.ModelProto) -> bool:
    """Make a Squeeze of every Reshape to no dimensions, in place; return whether there was any."""
    constants = {
        node.output[0]: attribute.t
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    }
    constants |= {tensor.name: tensor for tensor in model.graph.initializer}
    empty = {name for name, tensor in constants.items() if list(tensor.dims) == [0]}
    changed = [node for node in model.graph.node if node.op_type == "Reshape" and empty.intersection(node.input[1:])]
    for node in changed:
        node.op_type, node.input[:] = "Squeeze", [node.input[0]]
        del node.attribute[:]
    return bool(changed)
