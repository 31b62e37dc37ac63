"""Scan written as a Loop that reads one slice each turn, so that both are followed alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.analysis.tensors import Tensor

if TYPE_CHECKING:
    import onnx

__all__ = ["scan_as_loop"]


def scan_as_loop(
    node: onnx.NodeProto, fresh: Callable[[str], str], tensors: Mapping[str, Tensor]
) -> list[onnx.NodeProto] | None:
    """Return nodes that do what a Scan does; None where it collects along another axis and does not say of how many.

    Args:
        node: The Scan.
        fresh: Makes a name of a kind that nothing has yet.
        tensors: What is known, by name.
    """
    from onnx import helper

    known = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    body, read = known["body"], int(known["num_scan_inputs"])
    states = len(node.input) - read
    collected = len(body.output) - states
    named, after = list(node.output), []
    for at in range(collected):
        axis = (known.get("scan_output_axes") or [0] * collected)[at]
        reverse = (known.get("scan_output_directions") or [0] * collected)[at]
        shape = body.output[states + at].type.tensor_type
        if (axis and not shape.HasField("shape")) or states + at >= len(named):
            return None
        if axis or reverse:
            named[states + at] = fresh("collected")
            rank = len(shape.shape.dim) + 1
            after += _turned(named[states + at], node.output[states + at], axis, rank, bool(reverse), fresh)
    axes = known.get("scan_input_axes") or [0] * read
    backwards = known.get("scan_input_directions") or [0] * read
    turn, again, first = fresh("turn"), fresh("again"), fresh("again")
    count, before = _length(node.input[states], axes[0], fresh)
    inner: list[onnx.NodeProto] = []
    for at, value in enumerate(body.input[states:]):
        place = turn
        if backwards[at]:
            last, nodes = _length(node.input[states + at], axes[at], fresh)
            one, back, place = fresh("one"), fresh("back"), fresh("back")
            nodes += [_constant(one, 1), helper.make_node("Sub", [last, one], [back])]
            inner += [*nodes, helper.make_node("Sub", [back, turn], [place])]
        inner.append(helper.make_node("Gather", [node.input[states + at], place], [value.name], axis=axes[at]))
    outputs = [helper.make_tensor_value_info(fresh("again"), 9, []), *body.output]
    inner += [*body.node, helper.make_node("Identity", [again], [outputs[0].name])]
    inputs = [helper.make_tensor_value_info(turn, 7, []), helper.make_tensor_value_info(again, 9, [])]
    graph = helper.make_graph(inner, "turns", [*inputs, *body.input[:states]], outputs, list(body.initializer))
    given = [count, first, *node.input[:states]]
    loop = helper.make_node("Loop", given, named, name=node.name, body=graph)
    return [*before, _constant(first, True), loop, *after]


def _turned(
    name: str, output: str, axis: int, rank: int, reverse: bool, fresh: Callable[[str], str]
) -> list[onnx.NodeProto]:
    """Return nodes that turn what was collected round and give its first axis another place."""
    from onnx import helper

    nodes: list[onnx.NodeProto] = []
    if reverse:
        last, end, first, back = (fresh("reversed") for _ in range(4))
        numbers = [(last, -1), (end, -(1 << 62)), (first, 0)]
        nodes += [_constant(each, [number]) for each, number in numbers]
        nodes.append(helper.make_node("Slice", [name, last, end, first, last], [back if axis else output]))
        name = back
    if not axis:
        return nodes
    axis = axis % rank
    order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
    return [*nodes, helper.make_node("Transpose", [name], [output], perm=order)]


def _length(name: str, axis: int, fresh: Callable[[str], str]) -> tuple[str, list[onnx.NodeProto]]:
    """Return the name of how long an axis is, and the nodes that tell it."""
    from onnx import helper

    shape, at, found = fresh("shape"), fresh("at"), fresh("length")
    nodes = [helper.make_node("Shape", [name], [shape]), _constant(at, axis)]
    return found, [*nodes, helper.make_node("Gather", [shape, at], [found], axis=0)]


def _constant(name: str, value: Any) -> onnx.NodeProto:
    from onnx import helper, numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
