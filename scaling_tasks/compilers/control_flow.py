"""Loops and branches without graphs within nodes, for importers that know none.

MindSpore Lite 2.0.0 loses its way in Loop, Scan and If; nncase 2.11.0 has none of them. At one size most loops take a
number of turns that is known, and are written out turn by turn. Of two branches both are computed, and one is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.ended_loops import write_out_ended_loops
from scaling_tasks.compilers.graph_bodies import Body, chosen
from scaling_tasks.compilers.node_writer import Writer, attributes_of, constants_of, replace_nodes, static_shapes
from scaling_tasks.errors import CompileError
from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]
    _Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["MOST_NODES", "choose_between_branches", "without_bodies", "write_out_loops"]

MOST_NODES = 6000
"""How many nodes the turns of all loops are written out to: importers take a hundredth of a second or more for each."""

_MODERN_SCAN = 9  # Before this opset it had a batch.
_DEEPEST = 4


def without_bodies(source: Path, importer: str, fold: Callable[[Path, Path], Path]) -> Path:
    """Return a model of one shape with its loops and branches written out, beside ``source``, or that itself.

    Args:
        source: The model, folded.
        importer: What is to import it, for messages.
        fold: Writes a model to another path with its constants folded, and returns that.

    Raises:
        CompileError: They are too many nodes.
    """
    import onnx

    # Within a loop there may be others.
    for depth in range(_DEEPEST):
        model = onnx.load(str(source), load_external_data=False)
        changes = [
            write_out_loops(model, source.parent, importer=importer),
            write_out_ended_loops(model, source.parent, most_nodes=MOST_NODES),
            choose_between_branches(model),
        ]
        if not any(changes):
            break
        written = source.with_name(f"{source.name.split('.')[0]}.turns{depth}.onnx")
        written.write_bytes(model.SerializeToString(deterministic=True))
        source = fold(written, written.with_suffix(".folded.onnx"))
    return source


def write_out_loops(model: onnx.ModelProto, directory: Path, *, importer: str, most_nodes: int = MOST_NODES) -> bool:
    """Replace loops whose turns are known at the model's one shape by their turns, in place; return whether any was.

    Args:
        model: The model, folded: how many turns there are must be a constant.
        directory: Where its external data is.
        importer: What is to import it, for messages.
        most_nodes: How many nodes are written, of all turns together.

    Raises:
        CompileError: There are more.
    """
    if all(node.op_type not in ("Loop", "Scan") for node in model.graph.node):
        return False
    shapes, constants = static_shapes(model), constants_of(model, directory)
    total = 0

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        nonlocal total
        if node.op_type not in ("Loop", "Scan") or node.domain not in ("", "ai.onnx"):
            return None
        loop = _Scan(model, node, shapes) if node.op_type == "Scan" else _Loop(model, node, constants)
        turns = loop.turns()
        if not turns:
            return None
        total += turns * max(1, len(loop.body))
        if total > most_nodes:
            raise CompileError(
                f"{importer} has no {node.op_type}, and the {turns} turns of {node.name or node.output[0]!r} written "
                f"out make {total} nodes of the model, more than {most_nodes}",
                fix="Plan for smaller buckets, or choose another backend.",
            )
        return loop.written(turns)

    return replace_nodes(model, replace)


class _Repeated:
    """What loops of both kinds have: a body, states that go from turn to turn, and rows that each turn adds."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto) -> None:
        self._model, self._node = model, node
        self._given = attributes_of(node)
        stem = next(filter(None, node.output))
        self._write = Writer(model, f"{stem}/turns")
        self.body = Body(model, self._given["body"], f"{stem}/turn")

    def _stacked(self, rows: Sequence[str], axis: int = 0) -> str:
        parts = [self._write.over("Unsqueeze", each, [axis]) for each in rows]
        return self._write.node("Concat", parts, axis=axis) if len(parts) > 1 else parts[0]

    def _given_out(self, made: Sequence[str]) -> list[onnx.NodeProto]:
        for name, each in zip(self._node.output, made, strict=False):
            if name:
                self._write.node("Identity", [each], name)
        return self._write.nodes


class _Scan(_Repeated):
    """A Scan: one turn for each row of its inputs."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto, shapes: _Shapes) -> None:
        super().__init__(model, node)
        count = self._given["num_scan_inputs"]
        self._states, self._scanned = list(node.input[:-count]), list(node.input[-count:])
        self._dims = [shapes.get(name, ()) for name in self._scanned]
        self._axes = self._given.get("scan_input_axes") or [0] * count
        self._senses = self._given.get("scan_input_directions") or [0] * count

    def turns(self) -> int:
        """Return how many turns it takes, 0 where that is not known."""
        known = opset_of(self._model) >= _MODERN_SCAN and all(self._dims)
        return self._dims[0][self._axes[0]] if known else 0

    def written(self, turns: int) -> list[onnx.NodeProto]:
        """Return the nodes that stand for it."""
        write, states = self._write, self._states
        columns: list[list[str]] = [[] for _ in self.body.outputs[len(states) :]]
        for turn in range(turns):
            rows = []
            for name, dims, axis, backwards in zip(self._scanned, self._dims, self._axes, self._senses, strict=True):
                place = write.constant(turns - 1 - turn if backwards else turn, "int64")
                rows.append(write.node("Gather", [name, place], axis=axis % len(dims)))
            made = self.body.copied(write.nodes, [*states, *rows])
            states, rows = made[: len(states)], made[len(states) :]
            for column, row in zip(columns, rows, strict=True):
                column.append(row)
        axes = self._given.get("scan_output_axes") or [0] * len(columns)
        senses = self._given.get("scan_output_directions") or [0] * len(columns)
        parts = zip(columns, axes, senses, strict=True)
        whole = [self._stacked(rows[::-1] if backwards else rows, axis) for rows, axis, backwards in parts]
        return self._given_out([*states, *whole])


class _Loop(_Repeated):
    """A Loop: as many turns as it is told, or until its condition is false."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto, constants: Mapping[str, Array]) -> None:
        super().__init__(model, node)
        self._most, self._go_on, *self._states = node.input
        self._constants = constants

    def turns(self) -> int:
        """Return how many turns it takes, 0 where that is not known: all is followed that comes of constants."""
        most = self._constants.get(self._most) if self._most else np.array(math.inf)
        goes = self._constants.get(self._go_on) if self._go_on else np.array(True)
        states = [self._constants.get(name) for name in self._states]
        turn = 0
        while most is not None and goes is not None and goes.item() and turn < most.item() and turn <= MOST_NODES:
            goes, *made = self.body.values([*self.body.turn(turn), *states], self._constants)
            states, turn = made[: len(states)], turn + 1
            if goes is None:
                return 0
        return turn if most is not None and goes is not None else 0

    def written(self, turns: int) -> list[onnx.NodeProto]:
        """Return the nodes that stand for it."""
        write, states = self._write, self._states
        columns: list[list[str]] = [[] for _ in self.body.outputs[1 + len(states) :]]
        for turn in range(turns):
            told = [write.constant(each, each.dtype.name) for each in self.body.turn(turn)]
            made = self.body.copied(write.nodes, [*told, *states])
            states, rows = made[1 : 1 + len(states)], made[1 + len(states) :]
            for column, row in zip(columns, rows, strict=True):
                column.append(row)
        return self._given_out([*states, *map(self._stacked, columns)])


def choose_between_branches(model: onnx.ModelProto) -> bool:
    """Compute both branches of an If whose results have the same shapes, and choose, in place; return whether any."""
    kept: set[str] = set()
    while any(node.op_type == "If" and node.output[0] not in kept for node in model.graph.node):
        trial, pairs = _with_both(model, kept)
        shapes = static_shapes(trial)
        unlike = {
            name
            for name, each in pairs.items()
            if any(one not in shapes or shapes[one] != shapes.get(other) for one, other in each)
        }
        if not unlike:
            model.CopyFrom(trial)
            return True
        kept |= unlike
    return False


def _with_both(
    model: onnx.ModelProto, kept: Collection[str]
) -> tuple[onnx.ModelProto, dict[str, list[tuple[str, str]]]]:
    """Return the model with branches but for ``kept`` chosen by Where, and between what, by an If's first output."""
    trial, pairs, shapes = type(model)(), {}, static_shapes(model)
    trial.CopyFrom(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        first = node.output[0] if node.output else ""
        if node.op_type != "If" or first in kept:
            return None
        write, given = Writer(trial, f"{first}/chosen"), attributes_of(node)
        branches = [Body(trial, given[name], f"{first}/{name}") for name in ("then_branch", "else_branch")]
        pairs[first] = list(zip(*(branch.copied(write.nodes) for branch in branches), strict=True))
        # What is chosen may have no dimension, which that by which it is chosen would add.
        where = write.node("Squeeze", [node.input[0]]) if shapes.get(node.input[0]) else node.input[0]
        for name, (one, other), kind in zip(node.output, pairs[first], branches[0].kinds, strict=True):
            chosen(write, where, one, other, kind, name)
        return write.nodes

    replace_nodes(trial, replace)
    return trial, pairs
