"""Writing one number where a mask is true, as exporters spell it: the positions listed, then written one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["choose_where_masked"]

_BOOL = 9


def choose_where_masked(graph: onnx.GraphProto) -> None:
    """Write ``x[mask] = number`` as a choice at every position, in place.

    torch's exporter lists the mask's positions, ``NonZero(Expand(mask, Shape(x)))``, and has ScatterND write as many
    copies of the number there. How many there are depends on data, which no static shape can hold, and a list of the
    positions of all rows ties the rows together. ``Where(Expand(mask, Shape(x)), number, x)`` is the same without a
    list: the mask is as large as ``x`` by its own Expand, and all that is written is one number.
    """
    from onnx import helper

    makers = {name: node for node in graph.node for name in node.output if name}
    scalars = _scalars(graph)
    nodes = []
    for node in graph.node:
        found = _masked_write(node, makers, scalars)
        if found is None:
            nodes.append(node)
            continue
        mask, number = found
        chosen = f"{node.output[0]}/mask"
        nodes.append(helper.make_node("Cast", [mask], [chosen], name=f"{node.name}/mask", to=_BOOL))
        nodes.append(helper.make_node("Where", [chosen, number, node.input[0]], list(node.output), name=node.name))
    if len(nodes) > len(graph.node):
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def _masked_write(
    node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], scalars: set[str]
) -> tuple[str, str] | None:
    """Return the mask and the number that a ScatterND writes where it is true; None where it does something else."""
    if not _is(node, "ScatterND") or any(each.name == "reduction" and each.s != b"none" for each in node.attribute):
        return None
    turned, update = makers.get(node.input[1]), makers.get(node.input[2])
    listed = makers.get(turned.input[0]) if _is(turned, "Transpose") and turned is not None else None
    if turned is None or listed is None or not _is(listed, "NonZero"):
        return None
    if [list(each.ints) for each in turned.attribute if each.name == "perm"] not in ([], [[1, 0]]):
        return None
    mask = makers.get(listed.input[0])
    if mask is None or not _is(mask, "Expand"):
        return None
    shape = makers.get(mask.input[1])
    if shape is None or not _is(shape, "Shape") or shape.input[0] != node.input[0]:
        return None
    if any(each.name != "start" or each.i for each in shape.attribute):
        return None  # Of some axes only.
    if update is not None and _is(update, "Reshape"):
        update = makers.get(update.input[0])
    if update is None or not _is(update, "Expand") or update.input[0] not in scalars:
        return None
    return mask.output[0], update.input[0]


def _is(node: onnx.NodeProto | None, kind: str) -> bool:
    return node is not None and node.op_type == kind and node.domain in ("", "ai.onnx")


def _scalars(graph: onnx.GraphProto) -> set[str]:
    """Return the names of constants of one element and at most one axis."""
    found = {each.name for each in graph.initializer if list(each.dims) in ([], [1])}
    for node in graph.node:
        if _is(node, "Constant"):
            found |= {node.output[0] for each in node.attribute if each.name in ("value_float", "value_int")}
            tensors = (each.t for each in node.attribute if each.name == "value")
            found |= {node.output[0] for tensor in tensors if list(tensor.dims) in ([], [1])}
    return found
