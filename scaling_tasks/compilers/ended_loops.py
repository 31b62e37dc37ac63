"""Loops that end where a size or their data says, written out to the last turn that they can take.

What a turn after the end makes is not chosen: states stay as they are. There is a last turn where a loop is told a
number, or takes a row of a tensor at each turn, of which there are so many. Rows that turns add are taken where they
are padded to a length that is known, which is what cleaning makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.graph_bodies import Body, chosen
from scaling_tasks.compilers.node_writer import Writer, attributes_of, constants_of, replace_nodes, static_shapes

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["write_out_ended_loops"]

_FLOAT = 1
_OF_SIZES = frozenset(("Add", "Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Sub", "Unsqueeze"))


def write_out_ended_loops(model: onnx.ModelProto, directory: Path, *, most_nodes: int) -> bool:
    """Replace loops whose end is not known beforehand, in place; return whether any was.

    Args:
        model: The model, of one shape and folded.
        directory: Where its external data is.
        most_nodes: Loops that would be more nodes are left.
    """
    changed, kept = False, set[str]()
    while True:
        loops = [each for each in model.graph.node if each.op_type == "Loop" and each.output[0] not in kept]
        if not loops:
            return changed
        first = loops[0]
        trial, pairs = type(model)(), list[tuple[str, str]]()
        trial.CopyFrom(model)
        if _replaced(trial, directory, first.output[0], most_nodes, pairs):
            shapes = static_shapes(trial)
            if all(new in shapes and shapes[new] == shapes.get(old) for new, old in pairs):
                model.CopyFrom(trial)
                changed = True
                continue
        kept.add(first.output[0])


def _replaced(
    model: onnx.ModelProto, directory: Path, name: str, most_nodes: int, pairs: list[tuple[str, str]]
) -> bool:
    shapes, constants = static_shapes(model), constants_of(model, directory)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Loop" or node.output[0] != name:
            return None
        return _Ended(model, node, shapes, constants).written(most_nodes, pairs)

    return replace_nodes(model, replace)


class _Ended:
    """A Loop and the nodes that stand for it."""

    def __init__(
        self,
        model: onnx.ModelProto,
        node: onnx.NodeProto,
        shapes: Mapping[str, tuple[int, ...]],
        constants: Mapping[str, Array],
    ) -> None:
        self._model, self._node, self._shapes, self._constants = model, node, shapes, constants
        self._write = Writer(model, f"{node.output[0]}/turns")
        self._graph = attributes_of(node)["body"]
        self._body = Body(model, self._graph, f"{node.output[0]}/turn")
        self._most, self._go_on, *self._states = node.input
        self._outputs = [*node.output, *[""] * (len(self._body.outputs) - 1 - len(node.output))]

    def written(self, most_nodes: int, pairs: list[tuple[str, str]]) -> list[onnx.NodeProto] | None:
        """Return the nodes, and add which tensors must be of one shape; None where there is no last turn."""
        write, count, body = self._write, len(self._states), self._body
        fills = [self._fill(name) if name else 0.0 for name in self._outputs[count:]]
        if any(fill is None for fill in fills):
            return None
        most = self._constants.get(self._most) if self._most else None
        told = write.node("Cast", [self._single(self._most)], to=_FLOAT) if self._most and most is None else ""
        begins = self._go_on and self._go_on not in self._constants
        runs, turn, states = self._single(self._go_on) if begins else "", 0, list(self._states)
        if self._go_on in self._constants and not self._constants[self._go_on].item():
            return None
        values: list[Array | None] = [self._constants.get(name) for name in states]
        columns: list[list[str]] = [[] for _ in fills]
        while most is None or turn < most.item():
            begun = body.turn(turn)
            seen: dict[str, Array] = {}
            goes, *made = body.values([*begun, *values], self._constants, seen)
            if self._is_beyond(seen):
                break
            if (turn + 1) * max(1, len(body)) > most_nodes:
                return None
            if told:
                runs = self._both(runs, write.node("Less", [write.constant(float(turn)), told]))
            # What is known of a state is known of it in a turn that runs.
            given = [
                state if value is None else write.constant(value, value.dtype.name)
                for state, value in zip(states, values, strict=True)
            ]
            first = [write.constant(each, each.dtype.name) for each in begun]
            results = body.copied(write.nodes, [*first, *given])
            new = results[1 : 1 + count]
            pairs += zip(new, states, strict=True)
            triples = zip(new, states, body.kinds[1:], strict=False)
            states = [chosen(write, runs, *each) if runs else each[0] for each in triples]
            for column, row, fill in zip(columns, results[1 + count :], fills, strict=True):
                column.append(self._row(runs, row, fill))
            if goes is None:
                runs = self._both(runs, write.node("Squeeze", results[:1]) if body.is_listed else results[0])
            elif not goes.item():
                turn += 1
                break
            values, turn = made[:count], turn + 1
        return self._given_out(states, columns) if turn else None

    def _is_beyond(self, seen: Mapping[str, Array]) -> bool:
        """Return whether a turn would take a row that is not there."""
        for node in self._graph.node:
            if node.op_type == "Gather" and node.input[0] in self._shapes and node.input[1] in seen:
                shape, at = self._shapes[node.input[0]], seen[node.input[1]]
                if at.size and shape and at.max() >= shape[attributes_of(node).get("axis", 0)]:
                    return True
        return False

    def _both(self, one: str, other: str) -> str:
        return self._write.node("And", [one, other]) if one else other

    def _single(self, name: str) -> str:
        """Return a number without dimensions: what it chooses may have none, and it would add its own."""
        return self._write.node("Squeeze", [name]) if self._shapes.get(name) else name

    def _row(self, runs: str, row: str, fill: float | None) -> str:
        write = self._write
        row = write.node("Where", [runs, row, write.constant(fill or 0.0)]) if runs else row
        return write.over("Unsqueeze", row, [0])

    def _given_out(self, states: Sequence[str], columns: Sequence[Sequence[str]]) -> list[onnx.NodeProto]:
        write, count = self._write, len(states)
        for name, made in zip(self._outputs[:count], states, strict=True):
            if name:
                write.node("Identity", [made], name)
        for name, rows in zip(self._outputs[count:], columns, strict=True):
            if name:
                write.node("Concat" if len(rows) > 1 else "Identity", rows, name, **({"axis": 0} if rows[1:] else {}))
        return write.nodes

    def _fill(self, name: str) -> float | None:
        """Return with what rows are padded to a length of their own, or None where they are taken otherwise."""
        given_out = {value.name for value in self._model.graph.output}
        fill, sizes = 0.0, list[str]()
        if name in given_out:
            return None
        for node in self._model.graph.node:
            if name not in node.input:
                continue
            if node.op_type == "Shape":
                sizes += node.output
            elif node.op_type == "Pad" and node.input[0] == name and len(node.input) < 4:
                value = self._constants.get(node.input[2]) if node.input[2:] and node.input[2] else np.zeros(1)
                if value is None or attributes_of(node).get("mode", "constant") != "constant":
                    return None
                fill = float(value.item())
            else:
                return None
        while sizes:
            size = sizes.pop()
            takers = [node for node in self._model.graph.node if size in node.input]
            if size in given_out or not all(
                node.op_type in _OF_SIZES or (node.op_type == "Pad" and node.input[0] == name) for node in takers
            ):
                return None
            sizes += [made for node in takers if node.op_type != "Pad" for made in node.output]
        return fill
