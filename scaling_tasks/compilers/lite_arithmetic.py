"""Functions of numbers that MindSpore Lite 2.0.0 computes roughly on a CPU, in others that it computes to rounding.

* Its Tanh is a fraction of polynomials, off by 1e-4 where it is nearly 1, and -1 or 0 where these are infinite.
* Its Cos is off by 2e-3, where its Sin is right.
* What a node leaves out of ``alpha``, ``epsilon`` and ``keepdims`` is 0.
* It takes a Cast to whole numbers or truth values and one back for nothing at all, though the first cuts off what is
  behind the point. Those of eight bits it casts from and to floats alone.
* It divides whole numbers by one, but not by several.
* Its Pow takes a whole number for a float of the same bits, and a power of a constant stops it. It has no Sign.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    constants_of,
    element_types,
    replace_nodes,
    rewrite_floats,
    static_shapes,
)

if TYPE_CHECKING:
    import onnx

__all__ = [
    "compare_for_signs",
    "compute_by_halves",
    "cut_off_before_casts",
    "divide_in_floats",
    "raise_plainly",
    "say_defaults",
]

_FLOAT, _UINT8, _BOOL = 1, 2, 9
_FLAT = 10.0  # From here on a Tanh is 1 in single precision.
_WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
_MAKE_WHOLE = ("Ceil", "Floor", "Round", "Sign")
_DEFAULTS: dict[str, tuple[str, float]] = {
    "ArgMax": ("keepdims", 1),
    "BatchNormalization": ("epsilon", 1e-5),
    "Elu": ("alpha", 1.0),
    "InstanceNormalization": ("epsilon", 1e-5),
    "LeakyRelu": ("alpha", 0.01),
}


def compute_by_halves(model: onnx.ModelProto) -> bool:
    """Compute Tanh and Cos from what Tanh and Sin are at half the number, in place; return whether there was any.

    What is off in ``t = tanh(x / 2)`` hardly shows in ``tanh(x) = 2 t / (1 + t²)``: where t is nearly 1, that is flat.
    ``cos(x) = 1 - 2 sin²(x / 2)`` moves no number, as adding a quarter turn would.
    """

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        one, two = write.constant(1.0), write.constant(2.0)
        half = write.node("Mul", [node.input[0], write.constant(0.5)])
        if node.op_type == "Tanh":
            below = write.node("Min", [half, write.constant(_FLAT)])
            part = write.node("Tanh", [write.node("Max", [below, write.constant(-_FLAT)])])
        else:
            part = write.node("Sin", [half])
        square = write.node("Mul", [part, part])
        if node.op_type == "Tanh":
            write.node("Div", [write.node("Mul", [part, two]), write.node("Add", [square, one])], node.output[0])
        else:
            write.node("Sub", [one, write.node("Mul", [square, two])], node.output[0])

    return rewrite_floats(model, ["Cos", "Tanh"], "halved", write_out)


def cut_off_before_casts(model: onnx.ModelProto) -> bool:
    """Make numbers whole, or truth values, before they are cast to such, in place; return whether any are."""
    kinds = (*_WHOLE, _BOOL)
    if all(node.op_type != "Cast" or attributes_of(node)["to"] not in kinds for node in model.graph.node):
        return False
    types = element_types(model)
    whole = {name for node in model.graph.node if node.op_type in _MAKE_WHOLE for name in node.output}

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        kind = attributes_of(node)["to"] if node.op_type == "Cast" else None
        if kind not in kinds or types.get(node.input[0]) != _FLOAT or (kind != _BOOL and node.input[0] in whole):
            return None
        write = Writer(model, f"{node.output[0]}/whole")
        zero = write.constant(0.0)
        if kind == _BOOL:
            write.node("Not", [write.node("Equal", [node.input[0], zero])], node.output[0])
        else:
            below = write.node("Min", [write.node("Ceil", [node.input[0]]), zero])
            above = write.node("Max", [write.node("Floor", [node.input[0]]), zero])
            write.node("Cast", [write.node("Add", [above, below])], node.output[0], to=kind)
        return write.nodes

    return replace_nodes(model, replace)


def divide_in_floats(model: onnx.ModelProto) -> bool:
    """Divide whole numbers by several, and cast those of eight bits, as floats, in place; return whether any were.

    What is behind the point is cut off by ``cut_off_before_casts``.
    """
    if all(node.op_type not in ("Cast", "Div") for node in model.graph.node):
        return False
    types, shapes = element_types(model), static_shapes(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        source = types.get(node.input[0]) if node.op_type in ("Cast", "Div") else None
        if node.op_type == "Cast":
            kind = attributes_of(node)["to"]
            fails = _UINT8 in (source, kind) and {source, kind} <= {*_WHOLE, _BOOL}
        else:
            kind, fails = source, source in _WHOLE and math.prod(shapes.get(node.input[1], (0,))) != 1
        if not fails:
            return None
        write = Writer(model, f"{node.output[0]}/floats")
        floats = [write.node("Cast", [name], to=_FLOAT) for name in node.input]
        made = write.node("Div", floats) if node.op_type == "Div" else floats[0]
        write.node("Cast", [made], node.output[0], to=kind)
        return write.nodes

    return replace_nodes(model, replace)


def compare_for_signs(model: onnx.ModelProto) -> bool:
    """Compare with 0 where a Sign is, in place; return whether there was any."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        nothing = write.constant(0.0)
        sides = [write.node(kind, [node.input[0], nothing]) for kind in ("Greater", "Less")]
        write.node("Sub", [write.node("Cast", [side], to=_FLOAT) for side in sides], node.output[0])

    return rewrite_floats(model, ["Sign"], "sign", write_out)


def raise_plainly(model: onnx.ModelProto, directory: Path) -> bool:
    """Raise floats to floats, and compute ``exp(x log(c))`` for powers of a constant, in place.

    Returns whether there was any such.
    """
    if all(node.op_type != "Pow" for node in model.graph.node):
        return False
    types, constants = element_types(model), constants_of(model, directory)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Pow" or types.get(node.input[0]) != _FLOAT:
            return None
        write = Writer(model, f"{node.output[0]}/power")
        base: Any = constants.get(node.input[0])
        exponent = constants.get(node.input[1])
        is_float = types.get(node.input[1]) == _FLOAT
        if exponent is None and base is not None and (base > 0).all():
            name = node.input[1] if is_float else write.node("Cast", [node.input[1]], to=_FLOAT)
            write.node("Exp", [write.node("Mul", [name, write.constant(np.log(base))])], node.output[0])
            return write.nodes
        if is_float:
            return None
        floats = write.node("Cast", [node.input[1]], to=_FLOAT) if exponent is None else write.constant(exponent)
        write.node("Pow", [node.input[0], floats], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def say_defaults(model: onnx.ModelProto) -> bool:
    """Say ``alpha``, ``epsilon`` and ``keepdims`` wherever they are left out, in place; return whether any was."""
    from onnx import helper

    changed = False
    for node in model.graph.node:
        name, value = _DEFAULTS.get(node.op_type, ("", 0.0))
        if name and all(each.name != name for each in node.attribute):
            node.attribute.append(helper.make_attribute(name, value))
            changed = True
    return changed
