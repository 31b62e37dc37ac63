"""Reshapes that nncase 2.11.0 would take for something else, kept apart from transposes.

Where a Reshape gives one dimension more than a Transpose takes, or takes one more than that gives, nncase looks for the
dimension that came or went by its size alone: of ``[2, 8, 32]`` made ``[2, 8, 4, 8]`` it thinks that 4 was added to the
rest, and is killed by the wrong shape that it then infers. Between the two goes a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from scaling_tasks.compilers.nncase_operators import copied
from scaling_tasks.compilers.node_writer import Writer, replace_nodes, static_shapes

if TYPE_CHECKING:
    import onnx

__all__ = ["keep_reshapes_apart"]

_RESHAPES = frozenset(("Flatten", "Reshape", "Squeeze", "Unsqueeze"))
# Its rules carry reshapes and transposes over these.
_SMOOTH = ("Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Not", "Pow", "Round", "Sign", "Sin", "Sqrt", "Tanh")
_BENT = (
    "Abs",
    "Celu",
    "Clip",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "PRelu",
    "Relu",
    "Selu",
    "Swish",
)
_OF_TWO = ("Add", "Div", "Max", "Min", "Mul", "Sub")
_CARRIED_OVER = frozenset((*_SMOOTH, *_BENT, *_OF_TWO, "Cast", "Identity", "Sigmoid", "Softplus", "Softsign", "Swish"))
_FURTHEST = 12

_Shapes = Mapping[str, tuple[int, ...]]


def keep_reshapes_apart(model: onnx.ModelProto) -> bool:
    """Copy what goes between a Transpose and a Reshape that it would be mistaken with, in place; return whether any."""
    if all(node.op_type != "Transpose" for node in model.graph.node):
        return False
    graph = _Neighbours(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type not in _RESHAPES or node.output[0] not in graph.shapes:
            return None
        before, behind = graph.is_mistaken_behind(node), graph.is_mistaken_before(node)
        if not before and not behind:
            return None
        write, kept = Writer(model, f"{node.output[0]}/apart"), type(node)()
        kept.CopyFrom(node)
        if before:
            kept.input[0] = copied(write, node.input[0], graph.shapes[node.input[0]])
        write.nodes.append(kept)
        if behind:
            kept.output[0] = f"{node.output[0]}/reshaped"
            copied(write, kept.output[0], graph.shapes[node.output[0]], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


class _Neighbours:
    """Which nodes give and take which tensors, and of what shapes those are."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.shapes: _Shapes = static_shapes(model)
        self._made_by = {name: node for node in model.graph.node for name in node.output}
        self._taken_by: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._taken_by.setdefault(name, []).append(node)

    def is_mistaken_behind(self, node: onnx.NodeProto) -> bool:
        """Return whether a Reshape leaves out one dimension of what a Transpose gives, and nncase not that one."""
        after = self.shapes[node.output[0]]
        found = self._back(node.input[0], _FURTHEST)
        return any(made.op_type == "Transpose" and self._misleads(made.output[0], after) for made in found)

    def is_mistaken_before(self, node: onnx.NodeProto) -> bool:
        """Return whether a Reshape adds one dimension to what a Transpose takes, and nncase would find another."""
        after = self.shapes[node.output[0]]
        sources = [node.input[0], *(made.input[0] for made in self._back(node.input[0], _FURTHEST) if made.input)]
        if not any(_is_misled(after, self.shapes.get(name, ())) for name in sources if name):
            return False
        return any(taker.op_type == "Transpose" for taker in self._onward(node.output[0], _FURTHEST))

    def _misleads(self, name: str, after: Sequence[int]) -> bool:
        return _is_misled(self.shapes.get(name, ()), after)

    def _back(self, name: str, further: int) -> Iterator[onnx.NodeProto]:
        made = self._made_by.get(name)
        if made is None or not further or made.op_type not in _CARRIED_OVER | _RESHAPES | {"Transpose"}:
            return
        yield made
        for each in made.input[:1] if made.op_type in _RESHAPES else made.input:
            yield from self._back(each, further - 1)

    def _onward(self, name: str, further: int) -> Iterator[onnx.NodeProto]:
        for taker in self._taken_by.get(name, []) if further else []:
            if taker.op_type in _CARRIED_OVER | _RESHAPES | {"Transpose"}:
                yield taker
                yield from self._onward(taker.output[0], further - 1)


def _is_misled(longer: Sequence[int], shorter: Sequence[int]) -> bool:
    """Return whether nncase finds a dimension of ``longer`` too many, without which it is not ``shorter``."""
    if len(longer) != len(shorter) + 1 or not shorter:
        return False
    rest = [at for at, size in enumerate(longer) if size not in shorter]
    return len(rest) == 1 and (*longer[: rest[0]], *longer[rest[0] + 1 :]) != tuple(shorter)
