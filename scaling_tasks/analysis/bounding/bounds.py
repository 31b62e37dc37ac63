"""The lengths that data decides in one graph: how long each can get, and which tensor tells how long it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scaling_tasks.analysis.axes import Axis
from scaling_tasks.analysis.bounding.told import Count, Told
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.behaviour import DATA

__all__ = ["Bounds", "Form"]

_MOST = 1 << 20
"""What floats count exactly, with room for products of small numbers."""


Form = Callable[[Operation, "Bounds"], Sequence[Count]]
"""Emits an operator with results of fixed lengths; returns one count per axis that data makes, in their order."""


class Bounds:
    """What is known of them, and how operators that make them are written instead.

    Args:
        forms: By operator how it is written.
        longest: What the user says that a length can be, by the name of the node that makes it.

    Attributes:
        counts: By length, in the order in which they are made.
        unused: Nodes of which the user says something, and that have not been met.
        wanted: Whether any operator was met that makes one.
    """

    def __init__(self, forms: Mapping[str, Form], longest: Mapping[str, int]) -> None:
        self._forms, self._longest = forms, longest
        self.counts: dict[str, Count] = {}
        self.unused = set(longest)
        self.wanted = False

    def tell(self, emitter: Emitter) -> Told:
        """Return what tells exact lengths in the graph."""
        return Told(emitter, self.counts)

    def full(self, axis: Axis) -> int:
        """Return how long an axis is where all lengths are as long as they can get."""
        return int(axis.length.evaluate({name: count.most for name, count in self.counts.items()}))

    def exact(self, op: Operation, length: Length) -> str:
        """Return the name of a tensor that tells a length, ``[1]`` of float32."""
        return self.tell(op.emitter).number(length.expression())

    def said(self, op: Operation, found: float) -> tuple[int, bool]:
        """Return how long the axis of an operator may get, and whether that is proven: no longer than the user says.

        Args:
            op: The operator.
            found: What follows from the graph, infinite where nothing does.

        Raises:
            Refused: Nothing follows from the graph, and the user says nothing either.
        """
        self.unused.discard(op.name)
        if op.name in self._longest:
            return int(min(found, self._longest[op.name])), self._longest[op.name] >= found
        if found > _MOST:
            raise Refused(
                "data decides how long its result is, and nothing bounds it",
                f"Say how long it can get: `compile.options.longest: {{{op.name!r}: 1000}}`.",
            )
        return int(found), True

    def fixed(self, op: Operation, outputs: Sequence[Tensor], domain: Domain) -> Sequence[Tensor]:
        """Return an operator's outputs with lengths that can be padded in place of those that data decides.

        Raises:
            Refused: There is no form of the operator with a fixed length.
        """
        wanted = [name for tensor in outputs for axis in tensor.axes or () for name in _data_of(axis)]
        new = list(dict.fromkeys(wanted))
        if not new:
            return outputs
        self.wanted = True
        form = self._forms.get(op.kind)
        if form is None or op.node.domain not in ("", "ai.onnx") or op.around.place:
            raise Refused("data decides how long its result is, for which it has no form of a fixed length")
        counts = form(op, self)
        renamed: dict[str, str] = {}
        op.replaced = True
        for name, count in zip(new, counts, strict=True):
            own = self._called(op.name)
            if not 0 < count.most <= _MOST:
                raise Refused(f"its result can have {count.most} positions, of at most {_MOST} that are counted")
            self.counts[own] = count
            domain.add_bounded(own, count.most)
            renamed[name] = own
        return [
            replace(tensor, axes=None if tensor.axes is None else _bounded(tensor.axes, renamed)) for tensor in outputs
        ]

    def _called(self, node: str) -> str:
        """Return what to call a length, after the node that makes it: the user knows that by its name."""
        names = (f"{node}, {number}" if number else node for number in range(len(self.counts) + 1))
        return next(name for name in names if name not in self.counts)


def _data_of(axis: Axis) -> list[str]:
    return sorted(name for name in axis.variables if name.startswith(DATA))


def _bounded(axes: Sequence[Axis], names: Mapping[str, str]) -> tuple[Axis, ...]:
    """Return axes with what data alone makes under the name of what can be padded."""
    lengths = {as_length(old): as_length(new) for old, new in names.items()}
    return tuple(
        Axis(tuple(tuple(lengths.get(length, length) for length in piece) for piece in axis.pieces)) for axis in axes
    )
