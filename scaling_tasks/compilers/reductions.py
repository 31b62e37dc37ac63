"""Reductions, softmaxes and the like in plainer ones, for importers that know no others or take them otherwise.

* MindSpore Lite 2.0.0 has no ReduceL1 and no Hardmax, and no ReduceLogSum and no ReduceLogSumExp where ONNX does not
  define them by others, before opset 18. Its ReduceMax is of no number below 0, and its ReduceL2 and ReduceSumSquare
  leave squares where their input was, for whoever takes that next.
* The TopK of MindSpore Lite finds no least. Of equal values that of nncase 2.11.0 finds the last of the greatest first,
  and of the least the first.
* Where the last that is greatest is asked for, MindSpore Lite finds the first, and nncase one that is nearly as great.
* OpenVINO 2026.4 takes all axes for those of a ReduceL1, ReduceLogSum and ReduceLogSumExp before opset 18, and a
  softmax before opset 13, which is over all axes from one on, for one over that axis; so nncase does a Hardmax. The
  ReduceLogSumExp of nncase is infinite where a number is 89 or more.
* The LpNormalization of OpenVINO adds something to the norm, which is 0.1 off where numbers are near 1e-6.
"""

from __future__ import annotations

import math
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
from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx

__all__ = [
    "LOGARITHMS",
    "find_by_opposites",
    "find_by_places",
    "find_last_by_first",
    "flatten_softmaxes",
    "normalise_plainly",
    "reduce_plainly",
]

LOGARITHMS = ("ReduceLogSum", "ReduceLogSumExp")
"""What is a sum's logarithm."""

_FLOAT, _ORDERED = 1, {1: "float32", 6: "int32", 7: "int64"}
_ONE_AXIS = 13  # From this opset on a softmax is over one axis.
_LEAST = -3.4028234663852886e38


def reduce_plainly(model: onnx.ModelProto, kinds: Collection[str]) -> bool:
    """Replace reductions of floats by sums and by the least, in place; return whether there was any.

    Args:
        model: The model.
        kinds: Which of ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp, ReduceMax and ReduceSumSquare.
    """

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        given = attributes_of(node)
        axes, told = given.pop("axes", None), list(node.input[1:])

        def reduced(kind: str, name: str, keeps: int, output: str = "") -> str:
            said = {name: value for name, value in given.items() if name != "keepdims"} | {"keepdims": keeps}
            if axes is None:
                return write.node(kind, [name, *told], output, **said)
            return write.over(kind, name, axes, output, **said)

        def greatest(name: str, keeps: int, output: str = "") -> str:
            if "ReduceMax" not in kinds:
                return reduced("ReduceMax", name, keeps, output)
            return write.node("Neg", [reduced("ReduceMin", write.node("Neg", [name]), keeps)], output)

        keeps, (x, *_), y = given.get("keepdims", 1), node.input, node.output[0]
        if node.op_type == "ReduceMax":
            greatest(x, keeps, y)
        elif node.op_type == "ReduceL1":
            reduced("ReduceSum", write.node("Abs", [x]), keeps, y)
        elif node.op_type == "ReduceSumSquare":
            reduced("ReduceSum", write.node("Mul", [x, x]), keeps, y)
        elif node.op_type == "ReduceL2":
            write.node("Sqrt", [reduced("ReduceSum", write.node("Mul", [x, x]), keeps)], y)
        elif node.op_type == "ReduceLogSum":
            write.node("Log", [reduced("ReduceSum", x, keeps)], y)
        else:
            # Nothing is taken from minus infinity, which would make no number of it.
            least = write.constant(_LEAST)
            powers = write.node("Exp", [write.node("Sub", [x, write.node("Max", [greatest(x, 1), least])])])
            total = write.node("Log", [reduced("ReduceSum", powers, keeps)])
            write.node("Add", [total, write.node("Max", [greatest(x, keeps), least])], y)

    return rewrite_floats(model, kinds, "reduced", write_out)


def normalise_plainly(model: onnx.ModelProto) -> bool:
    """Divide by the norm where an LpNormalization is, by 1 where that is 0, in place; return whether there was any."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        given, (x,) = attributes_of(node), node.input
        total = write.node("Abs", [x]) if given.get("p", 2) == 1 else write.node("Mul", [x, x])
        norm = write.over("ReduceSum", total, [given.get("axis", -1)], keepdims=1)
        norm = norm if given.get("p", 2) == 1 else write.node("Sqrt", [norm])
        nothing = write.node("Cast", [write.node("Equal", [norm, write.constant(0.0)])], to=_FLOAT)
        write.node("Div", [x, write.node("Add", [norm, nothing])], node.output[0])

    return rewrite_floats(model, ["LpNormalization"], "norm", write_out)


def flatten_softmaxes(model: onnx.ModelProto, kinds: Collection[str] = ("LogSoftmax", "Softmax")) -> bool:
    """Make one axis of those that a softmax before opset 13 is over, in place; return whether any was of several.

    Args:
        model: The model, of one shape or of any.
        kinds: LogSoftmax, Softmax and Hardmax, or some of them.
    """
    if opset_of(model) >= _ONE_AXIS or all(node.op_type not in kinds for node in model.graph.node):
        return False
    shapes, ranks = static_shapes(model), ranks_of(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        rank = ranks.get(node.input[0]) if node.op_type in kinds else None
        if not rank:
            return None
        shape, axis = shapes.get(node.input[0]), attributes_of(node).get("axis", 1) % rank
        single = axis == rank - 1 if shape is None else math.prod(shape[axis + 1 :]) == 1
        if single and node.attribute:
            return None
        write = Writer(model, f"{node.output[0]}/flat")
        if shape is not None:
            flat = write.reshape(node.input[0], [math.prod(shape[:axis]), math.prod(shape[axis:])])
            write.reshape(write.node(node.op_type, [flat], axis=1), shape, node.output[0])
        else:
            flat = write.node("Flatten", [node.input[0]], axis=axis)
            made = write.node(node.op_type, [flat], axis=1)
            write.node("Reshape", [made, write.node("Shape", [node.input[0]])], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def find_by_places(model: onnx.ModelProto) -> bool:
    """Mark the place of the greatest where a Hardmax is over one axis, in place; return whether any was."""
    if all(node.op_type != "Hardmax" for node in model.graph.node):
        return False
    shapes, types, old = static_shapes(model), element_types(model), opset_of(model) < _ONE_AXIS

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        shape = shapes.get(node.input[0], ()) if node.op_type == "Hardmax" else ()
        if not shape or types.get(node.input[0]) != _FLOAT:
            return None
        axis = attributes_of(node).get("axis", 1 if old else -1) % len(shape)
        write = Writer(model, f"{node.output[0]}/place")
        # A OneHot takes no place without an axis.
        place = write.node("ArgMax", [node.input[0]], axis=axis, keepdims=int(len(shape) == 1))
        marks = [write.constant(shape[axis], "int64"), write.constant([0.0, 1.0])]
        if len(shape) > 1:
            write.node("OneHot", [place, *marks], node.output[0], axis=axis)
        else:
            write.reshape(write.node("OneHot", [place, *marks], axis=1), shape, node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def find_by_opposites(model: onnx.ModelProto, kinds: Collection[str], *, greatest: bool) -> bool:
    """Look for the other end of the opposites in place of what a TopK looks for, in place; return whether any did.

    The opposite of a whole number is the one that is as far below -1 as it is above 0, which every one has.

    Args:
        model: The model.
        kinds: Of which element types: float32, int32 and int64, or some of them.
        greatest: Whether those that look for the greatest are changed, or those that look for the least.
    """
    if all(node.op_type != "TopK" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        given = attributes_of(node) if node.op_type == "TopK" else {}
        kind = _ORDERED.get(types.get(node.input[0], 0)) if node.op_type == "TopK" else None
        if kind is None or kind not in kinds or bool(given.pop("largest", 1)) != greatest:
            return None
        write = Writer(model, f"{next(filter(None, node.output))}/opposite")

        def opposite(name: str, output: str = "") -> str:
            if kind == "float32":
                return write.node("Neg", [name], output)
            return write.node("Sub", [write.constant(-1, kind), name], output)

        values, places = [*node.output, ""][:2]
        found = write.several("TopK", [opposite(node.input[0]), *node.input[1:]], 2, **given, largest=int(not greatest))
        if values:
            opposite(found[0], values)
        if places:
            write.node("Identity", [found[1]], places)
        return write.nodes

    return replace_nodes(model, replace)


def find_last_by_first(model: onnx.ModelProto) -> bool:
    """Look from the end for the first where an ArgMax or ArgMin looks for the last, in place.

    Its axis must have one length. Returns whether any did.
    """
    kinds = ("ArgMax", "ArgMin")
    if all(node.op_type not in kinds for node in model.graph.node):
        return False
    shapes = static_shapes(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        given = attributes_of(node) if node.op_type in kinds else {}
        shape = shapes.get(node.input[0], ())
        if not given.pop("select_last_index", 0) or not shape:
            return None
        write = Writer(model, f"{node.output[0]}/last")
        length = shape[given.get("axis", 0)]
        places = write.constant(range(length - 1, -1, -1), "int64")
        turned = write.node("Gather", [node.input[0], places], axis=given.get("axis", 0) % len(shape))
        first = write.node(node.op_type, [turned], **given)
        write.node("Sub", [write.constant(length - 1, "int64"), first], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)
