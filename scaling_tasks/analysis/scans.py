"""Scan written as a Loop that reads one slice each turn, so that both are followed alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

__all__ = ["scan_as_loop"]


def scan_as_loop(node: onnx.NodeProto, fresh: Callable[[str], str]) -> list[onnx.NodeProto] | None:
    """Return nodes that do what a Scan does; None where it collects backwards or along another axis than the first.

    Args:
        node: The Scan.
        fresh: Makes a name of a kind that nothing has yet.
    """
    from onnx import helper

    known = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if any(known.get("scan_output_axes", [])) or any(known.get("scan_output_directions", [])):
        return None
    body, read = known["body"], int(known["num_scan_inputs"])
    states = len(node.input) - read
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
    return [*before, _constant(first, True), helper.make_node("Loop", given, node.output, name=node.name, body=graph)]


def _length(name: str, axis: int, fresh: Callable[[str], str]) -> tuple[str, list[onnx.NodeProto]]:
    """Return the name of how long an axis is, and the nodes that tell it."""
    from onnx import helper

    shape, at, found = fresh("shape"), fresh("at"), fresh("length")
    nodes = [helper.make_node("Shape", [name], [shape]), _constant(at, axis)]
    return found, [*nodes, helper.make_node("Gather", [shape, at], [found], axis=0)]


def _constant(name: str, value: Any) -> onnx.NodeProto:
    from onnx import helper, numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
