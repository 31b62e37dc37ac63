"""States of a Loop to which each turn adds one position, written as what the loop collects.

Decoders that are exported from a loop in Python begin with a tensor of no positions and put one behind it each turn.
Its shape differs from turn to turn, which no state may whose content is followed; what is collected may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from scaling_tasks.analysis.preparation import outer_names
from scaling_tasks.analysis.tensors import Tensor

if TYPE_CHECKING:
    import onnx

__all__ = ["collect_what_grows"]


def collect_what_grows(
    node: onnx.NodeProto, fresh: Callable[[str], str], tensors: Mapping[str, Tensor]
) -> list[onnx.NodeProto] | None:
    """Return nodes that do what a Loop does without states that grow; None where it has none.

    Args:
        node: The Loop.
        fresh: Makes a name of a kind that nothing has yet.
        tensors: What is known, by name.
    """
    from onnx import helper

    turned = type(node).FromString(node.SerializeToString())
    body = next(attribute.g for attribute in turned.attribute if attribute.name == "body")
    after: list[onnx.NodeProto] = []
    collected: list[tuple[str, str]] = []
    for at in reversed(range(min(len(node.input) - 2, len(node.output)))):
        first = tensors.get(node.input[2 + at])
        if first is None or first.axes is None or first.rank == 0:
            continue
        found = _put_behind(body, at, first.rank, tensors)
        if found is None:
            continue
        part, axis = found
        output = node.output[at]
        del turned.input[2 + at], turned.output[at], body.input[2 + at], body.output[1 + at]
        if not output:
            continue
        whole, moved = fresh("collected"), fresh("collected")
        collected.append((part, whole))
        # Turns come first, [turns, …], and go where the positions are.
        order = [*range(1, axis + 1), 0, *range(axis + 1, first.rank)]
        after.append(helper.make_node("Transpose", [whole], [moved], name=moved, perm=order))
        joined = [node.input[2 + at], moved]
        after.append(helper.make_node("Concat", joined, [output], name=f"{node.name or output}_{at}", axis=axis))
    if len(turned.input) == len(node.input):
        return None
    for part, whole in collected:
        value = body.output.add()
        value.name = fresh("collected")
        body.node.append(helper.make_node("Identity", [part], [value.name]))
        turned.output.append(whole)
    return [turned, *after]


def _put_behind(body: onnx.GraphProto, state: int, rank: int, tensors: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """Return what a body puts behind a state, without the axis of one position along which it does, and that axis.

    None where it does something else with it; then the body is as it was.
    """
    name, result = body.input[2 + state].name, body.output[1 + state].name
    given = [output.name for at, output in enumerate(body.output) if at != 1 + state]
    (*others, joined) = [node for node in body.node if _reads(node, name)] or [None]
    if others or joined is None or joined.op_type != "Concat" or len(joined.input) != 2 or joined.input[0] != name:
        return None
    chain, last = [joined], joined.output[0]
    while last != result:
        copies = [node for node in body.node if _reads(node, last)]
        if len(copies) != 1 or copies[0].op_type != "Identity":
            return None
        chain.append(copies[0])
        last = copies[0].output[0]
    if any(_reads(node, last) for node in body.node) or joined.input[1] == name:
        return None
    if not {name, *(copy.output[0] for copy in chain)}.isdisjoint(given):
        return None
    axis = next(int(attribute.i) for attribute in joined.attribute if attribute.name == "axis") % rank
    made = next((node for node in body.node if joined.input[1] in node.output), None)
    if made is None or made.op_type != "Unsqueeze":
        return None
    axes = _axes(body, made, tensors)
    if axes is None or [at % rank for at in axes] != [axis]:
        return None
    for node in chain:
        body.node.remove(node)
    return str(made.input[0]), axis


def _reads(node: onnx.NodeProto, name: str) -> bool:
    return name in node.input or name in outer_names(node)


def _axes(body: onnx.GraphProto, node: onnx.NodeProto, tensors: Mapping[str, Tensor]) -> list[int] | None:
    """Return the axes that an Unsqueeze adds, None where they are not told."""
    from onnx import numpy_helper

    if len(node.input) < 2:
        return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), None)
    value: Any = None
    for other in body.node:
        if node.input[1] in other.output and other.op_type == "Constant" and other.attribute[0].name == "value":
            value = numpy_helper.to_array(other.attribute[0].t)
    for tensor in body.initializer:
        value = numpy_helper.to_array(tensor) if tensor.name == node.input[1] else value
    known = tensors.get(node.input[1])
    if value is None and known is not None and known.is_constant:
        value = known.value
    return None if value is None else [int(at) for at in value.reshape(-1)]
