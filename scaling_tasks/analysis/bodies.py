"""Graphs inside of operators: walking over them, putting them together again, and what is true of either way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.tensors import Tensor, is_symbolic

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphWalk", "as_either", "emitted_body", "follow_branches", "join_facts", "replace_body", "walk_body"]


class GraphWalk(Protocol):
    """The walk that has come to an operator with a body, as far as the body needs it.

    Attributes:
        emitter: The cleaned graph.
        tensors: What is known, by name in the original graph.
    """

    emitter: Emitter
    tensors: dict[str, Tensor]

    def run(self, graph: onnx.GraphProto) -> None:
        """Follow all nodes of ``graph``."""

    def told(self, tensor: Tensor) -> Tensor:
        """Return a tensor of sizes as data: those of the request."""

    def mark(self) -> tuple[Any, ...]:
        """Return where the walk is, before it goes into a body."""

    def leave(self, mark: tuple[Any, ...], *, keep: bool) -> None:
        """Leave a body: what it holds is out of reach from now on, and forgotten unless it is kept."""


def walk_body(walk: GraphWalk, body: onnx.GraphProto) -> tuple[Sequence[onnx.NodeProto], list[Tensor]]:
    """Walk over a body whose inputs are known; return the nodes that came of it and what is known of its outputs.

    Raises:
        Refused: An output is computed by nothing.
    """
    outer, walk.emitter.nodes = walk.emitter.nodes, []
    try:
        walk.run(body)
        return walk.emitter.nodes, [_told(walk, value.name) for value in body.output]
    finally:
        walk.emitter.nodes = outer


def _told(walk: GraphWalk, name: str) -> Tensor:
    tensor = walk.tensors.get(name)
    if tensor is None:
        raise Refused(f"nothing in its body computes {name!r}")
    return walk.told(tensor) if is_symbolic(tensor.value) else tensor


def emitted_body(
    walk: GraphWalk, body: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], results: Sequence[Tensor]
) -> onnx.GraphProto:
    """Return the body with the nodes that came of it."""
    from onnx import helper

    names = [walk.emitter.fresh("result") for _ in results]
    given = [helper.make_node("Identity", [each.name], [name]) for each, name in zip(results, names, strict=True)]
    values = [helper.make_tensor_value_info(n, r.dtype, None) for n, r in zip(names, results, strict=True)]
    inputs = []
    for value in body.input:
        copy = type(value).FromString(value.SerializeToString())
        for dim in copy.type.tensor_type.shape.dim:
            dim.Clear()
        inputs.append(copy)
    return helper.make_graph([*nodes, *given], body.name or "body", inputs, values, list(body.initializer))


def replace_body(op: Operation, name: str, body: onnx.GraphProto) -> None:
    """Give an operator's node another body."""
    from onnx import helper

    kept = [attribute for attribute in op.node.attribute if attribute.name != name]
    del op.node.attribute[:]
    op.node.attribute.extend([*kept, helper.make_attribute(name, body)])


def join_facts(before: Tensor, after: Tensor) -> Tensor:
    """Return what is true of a tensor that is one or the other; a bound that differs is none.

    Raises:
        Refused: They have different shapes.
    """
    if before.axes is None or after.axes is None:
        return replace(before, axes=None, blames={**after.blames, **before.blames})
    if [axis.normal for axis in before.axes] != [axis.normal for axis in after.axes]:
        shapes = (f"[{', '.join(map(str, each.known_axes))}]" for each in (before, after))
        raise Refused(f"it gives the shape {' or '.join(shapes)}")
    return replace(
        before,
        fills={at: fill for at, fill in before.fills.items() if after.fills.get(at) == fill},
        finite=before.finite and after.finite,
        low=before.low if after.low >= before.low else -math.inf,
        high=before.high if after.high <= before.high else math.inf,
        cleaned=before.cleaned | after.cleaned,
        blames={**after.blames, **before.blames},
        counts_rows=before.counts_rows or after.counts_rows,
    )


def as_either(op: Operation, output: str, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Let axes of two results that differ and hold no padding be as long as data says."""
    if before.axes is None or after.axes is None or before.rank != after.rank:
        return before, after
    axes = [list(each.known_axes) for each in (before, after)]
    for at, (left, right) in enumerate(zip(*axes, strict=True)):
        if left.normal != right.normal and op.is_whole(left) and op.is_whole(right):
            axes[0][at] = axes[1][at] = op.data_axis(f"{output}_{at}")
    return replace(before, axes=tuple(axes[0])), replace(after, axes=tuple(axes[1]))


def follow_branches(walk: GraphWalk, op: Operation) -> list[Tensor]:
    """Follow both branches of an If whose condition a bucket computes as the exact size does.

    Raises:
        Refused: The branches give different shapes.
    """
    condition = op.inputs[0]
    if condition is None or condition.axes is None or condition.variables:
        raise Refused("the shape of its condition is not known")
    if is_symbolic(condition.value):
        condition = op.use(0, walk.told(condition))
    found = []
    for name in ("then_branch", "else_branch"):
        body = next(attribute.g for attribute in op.node.attribute if attribute.name == name)
        mark = walk.mark()
        nodes, results = walk_body(walk, body)
        walk.leave(mark, keep=True)
        replace_body(op, name, emitted_body(walk, body, nodes, results))
        found.append(results)
    joined = [join_facts(*as_either(op, *each)) for each in zip(op.node.output, *found, strict=True)]
    blames = condition.blames
    return [
        each.changed(name, blames={**each.blames, **blames}, cleaned=each.cleaned | condition.cleaned)
        for each, name in zip(joined, op.node.output, strict=True)
    ]
