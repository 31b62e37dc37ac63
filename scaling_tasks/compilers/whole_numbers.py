"""Whole numbers as importers compute them: dynamic quantisation in floats, rounding, and remainders.

* MindSpore Lite 2.0.0 has no DynamicQuantizeLinear, MatMulInteger and ConvInteger. The numbers of eight bits are whole
  numbers in floats then, and products of them as exact as floats are.
* Neither it nor nncase 2.11.0 rounds a half to the even number: the one rounds it away from 0, the other -1.5 to 0.
* Both give the remainder of whole numbers the sign of the dividend, where ONNX says that of the divisor.
"""

from __future__ import annotations

from collections.abc import Mapping
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
)

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

__all__ = ["quantise_in_floats", "round_to_even", "take_remainders"]

_PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
_FLOAT, _INT32, _INT64 = 1, 6, 7


def quantise_in_floats(model: onnx.ModelProto, directory: Path) -> bool:
    """Compute dynamic quantisation in floats, in place; return whether there was any.

    Nothing is done where anything but products takes what is quantised, or where a product's weights are computed.

    Args:
        model: The model.
        directory: Where its external data is.
    """
    graph = model.graph
    held = {name for node in graph.node if node.op_type == "DynamicQuantizeLinear" for name in node.output[::2]}
    if not held:
        return False
    constants = constants_of(model, directory)
    takers = [node for node in graph.node if held.intersection(node.input)]
    given = {value.name for value in graph.output}
    if held & given or not all(_is_product(node, held, constants) for node in takers):
        return False
    made = {node.output[0] for node in takers}
    kept = [value for value in graph.value_info if value.name not in held | made]
    del graph.value_info[:]
    graph.value_info.extend(kept)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type == "DynamicQuantizeLinear":
            return _quantised(Writer(model, f"{node.output[0]}/quantised"), node)
        if node.op_type in _PRODUCTS and node.output[0] in made:
            return _multiplied(Writer(model, f"{node.output[0]}/product"), node, constants)
        return None

    return replace_nodes(model, replace)


def _is_product(node: onnx.NodeProto, held: set[str], constants: Mapping[str, NDArray[Any]]) -> bool:
    if node.op_type not in _PRODUCTS:
        return False
    first, second, *points = node.input
    others = [name for name in (second, *points[1:]) if name]
    known = first in held and bool(points) and points[0] in held
    return known and all(name in constants for name in others)


def _quantised(write: Writer, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Write ``round(x / scale) + zero``, where the scale is what 255 steps make of the range with zero in it.

    It is 1 where there is nothing but zeros, of which nothing could be divided.
    """
    (x,), (y, scale, point) = node.input, node.output
    nothing, most = write.constant(0.0), write.constant(255.0)
    low = write.node("Min", [write.node("ReduceMin", [x], keepdims=0), nothing])
    high = write.node("Max", [write.node("ReduceMax", [x], keepdims=0), nothing])
    span = write.node("Sub", [high, low])
    empty = write.node("Cast", [write.node("Equal", [span, nothing])], to=_FLOAT)
    write.node("Add", [write.node("Div", [span, most]), empty], scale)
    start = write.node("Div", [write.node("Sub", [nothing, low]), scale])
    write.node("Round", [write.node("Clip", [start, nothing, most])], point)
    moved = write.node("Add", [write.node("Round", [write.node("Div", [x, scale])]), point])
    write.node("Clip", [moved, nothing, most], y)
    return write.nodes


def _multiplied(write: Writer, node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    given, point = attributes_of(node), node.input[2]
    weights = constants[node.input[1]].astype(np.float32)
    if len(node.input) > 3 and node.input[3]:
        zero = constants[node.input[3]].astype(np.float32)
        weights -= zero.reshape(-1, *[1] * (weights.ndim - 1)) if node.op_type == "ConvInteger" else zero
    centred = write.node("Sub", [node.input[0], point])
    product = write.node(_PRODUCTS[node.op_type], [centred, write.constant(weights)], **given)
    write.node("Cast", [product], node.output[0], to=_INT32)
    return write.nodes


def round_to_even(model: onnx.ModelProto) -> bool:
    """Round halves to the even number, in place; return whether anything is rounded."""

    def write_out(write: Writer, node: onnx.NodeProto) -> None:
        half, two = write.constant(0.5), write.constant(2.0)
        below = write.node("Floor", [node.input[0]])
        rest = write.node("Sub", [node.input[0], below])
        more, as_far = (
            write.node("Cast", [write.node(kind, [rest, half])], to=_FLOAT) for kind in ("Greater", "Equal")
        )
        pairs = write.node("Mul", [write.node("Floor", [write.node("Mul", [below, half])]), two])
        odd = write.node("Mul", [write.node("Sub", [below, pairs]), as_far])
        write.node("Add", [write.node("Add", [below, more]), odd], node.output[0])

    return rewrite_floats(model, ["Round"], "rounded", write_out)


def take_remainders(model: onnx.ModelProto) -> bool:
    """Take remainders of whole numbers twice, which have the divisor's sign then, in place; return whether any was."""
    if all(node.op_type != "Mod" for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Mod" or attributes_of(node).get("fmod") or types.get(node.input[0]) not in (_INT32, _INT64):
            return None
        write, divisor = Writer(model, f"{node.output[0]}/remainder"), node.input[1]
        once = write.node("Mod", [node.input[0], divisor])
        write.node("Mod", [write.node("Add", [once, divisor]), divisor], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)
