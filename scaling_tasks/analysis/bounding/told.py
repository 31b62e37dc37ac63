"""What a cleaned graph is told of a length that data decides, computed in the graph where the data is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.bounding.chosen import chosen_positions
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.shapes.expressions import Expression, evaluate
from scaling_tasks.shapes.layouts import Layout, is_plain, layout_length
from scaling_tasks.shapes.size_inputs import SizeInput

__all__ = ["Count", "Told"]

_FLOAT, _INT32, _INT64, _BOOL = 1, 6, 7, 9
_OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "min": "Min", "max": "Max"}


@dataclass(frozen=True)
class Count:
    """A length that data decides.

    Attributes:
        most: The most that it can be.
        name: Of a tensor that tells how much it is, ``[1]`` of float32.
        proven: Whether it cannot be more, whatever the data.
    """

    most: int
    name: str
    proven: bool = True


class Told:
    """Makes in the graph what an extra input would hold, see ``SizeInput``; numbers are floats below 2 ** 24.

    Args:
        emitter: Where the nodes go.
        counts: The lengths by name; more may be added to them.
    """

    def __init__(self, emitter: Emitter, counts: Mapping[str, Count]) -> None:
        self._emitter, self._counts = emitter, counts
        self._kinds: dict[str, Callable[[SizeInput], str]] = {
            "valid": self._valid,
            "at": self._at,
            "ratio": self._ratio,
            "value": lambda spec: self.number(spec.expressions[0]),
            "index": self._index,
            "count": self._count,
        }

    def __call__(self, spec: SizeInput) -> str:
        """Return the name of a tensor with the content, shape and element type of an extra input.

        Raises:
            Refused: It is of a kind that is not computed in a graph.
        """
        from onnx import helper

        make = self._kinds.get(spec.kind)
        if make is None:
            raise Refused("it resizes along a length that data decides")
        made, shape = make(spec), [int(layout_length(layout, self._longest)) for layout in spec.layouts]
        if spec.kind in ("value", "ratio") and shape != [1]:
            made = self._emitter.once("Expand", [made, self._emitter.numbers(shape)])
        dtype = int(helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)))
        return made if dtype == _FLOAT else self._emitter.cast(made, dtype)

    def number(self, expression: Expression) -> str:
        """Return the name of a tensor that holds an expression of lengths, ``[1]`` of float32."""
        if isinstance(expression, int):
            return self._constant([expression])
        if isinstance(expression, str):
            return self._counts[expression].name
        operator, left, right = expression
        sides = [self.number(left), self.number(right)]
        if operator == "//":
            return self._emitter.once("Floor", [self._emitter.once("Div", sides)])
        return self._emitter.once(_OPERATORS[operator], sides)

    def full(self, expression: Expression) -> int:
        """Return an expression where all lengths are as long as they can get."""
        return int(evaluate(expression, self._longest))

    @property
    def _longest(self) -> dict[str, int]:
        return {name: count.most for name, count in self._counts.items()}

    def _constant(self, values: Any) -> str:
        return self._emitter.constant(np.asarray(values, np.float32))

    def _valid(self, spec: SizeInput) -> str:
        whole = ""
        for at, layout in enumerate(spec.layouts):
            line = self._emitter.unsqueeze(self._line(layout), [i for i in range(len(spec.layouts)) if i != at])
            whole = self._emitter.once("Mul", [whole, line]) if whole else line
        if (spec.on, spec.off) == (1.0, 0.0):
            return whole
        chosen = self._emitter.cast(whole, _BOOL)
        return self._emitter.once("Where", [chosen, self._constant([spec.on]), self._constant([spec.off])])

    def _line(self, layout: Layout) -> str:
        """Return which positions of an axis exist, 1 or 0."""
        pieces = []
        for piece in layout:
            full = [self.full(length) for length in piece]
            places = np.indices(full).reshape(len(full), -1)
            line = ""
            for length, coordinates in zip(piece, places, strict=True):
                if isinstance(length, int):
                    continue
                below = self._below(coordinates, length)
                line = self._emitter.once("Mul", [line, below]) if line else below
            pieces.append(line or self._constant(np.ones(places.shape[1])))
        return pieces[0] if len(pieces) == 1 else self._emitter.once("Concat", pieces, axis=0)

    def _below(self, numbers: NDArray[np.int64], limit: Expression) -> str:
        less = self._emitter.once("Less", [self._constant(numbers), self.number(limit)])
        return self._emitter.cast(less, _FLOAT)

    def _at(self, spec: SizeInput) -> str:
        (layout,) = spec.layouts
        emitter, count = self._emitter, int(layout_length(layout, self._longest))
        wanted = emitter.cast(self.number(spec.expressions[0]), _INT32)
        equal = emitter.once("Equal", [emitter.constant(np.arange(count, dtype=np.int32)), wanted])
        return emitter.cast(equal, _FLOAT)

    def _ratio(self, spec: SizeInput) -> str:
        exact = self._emitter.once("Max", [self.number(spec.expressions[0]), self._constant([1])])
        return self._emitter.once("Div", [self._constant([self.full(spec.expressions[0])]), exact])

    def _index(self, spec: SizeInput) -> str:
        """Return which position to read for each, as ``size_inputs`` does."""
        if spec.resize is not None:
            raise Refused("it resizes along a length that data decides")
        emitter = self._emitter
        first, step = (self.number(each) for each in spec.expressions)
        wanted = emitter.once("Add", [first, emitter.once("Mul", [step, self._order(spec.layouts[0])])])
        one, zero = self._constant([1]), self._constant([0])
        if is_plain(spec.source):
            places, length = "", self.number(spec.source[0][0])
        else:
            full = int(layout_length(spec.source, self._longest))
            places, length = chosen_positions(emitter, self._line(spec.source), full)
        last = emitter.once("Max", [emitter.once("Sub", [length, one]), zero])
        if spec.mode == "reflect":
            period = emitter.once("Max", [emitter.once("Add", [last, last]), one])
            inside = self._modulo(emitter.once("Abs", [wanted]), period)
            away = emitter.once("Abs", [emitter.once("Sub", [last, inside])])
            wanted = emitter.once("Sub", [last, away])
        elif spec.mode == "wrap":
            wanted = self._modulo(wanted, emitter.once("Max", [length, one]))
        found = emitter.once("Min", [emitter.once("Max", [wanted, zero]), last])
        if not places:
            return found
        read = emitter.once("Gather", [places, emitter.cast(found, _INT64)], axis=0)
        return emitter.cast(read, _FLOAT)

    def _order(self, layout: Layout) -> str:
        """Return how many valid positions of an axis come before each; beyond a plain axis it goes on."""
        if is_plain(layout):
            return self._constant(np.arange(int(layout_length(layout, self._longest))))
        emitter = self._emitter
        if emitter.opset < 11:
            raise Refused("it lies as a flattened grid", "Export the model with opset 11 or newer.")
        axis = emitter.constant(np.array(0, np.int64))
        return emitter.once("Sub", [emitter.once("CumSum", [self._line(layout), axis]), self._constant([1])])

    def _modulo(self, left: str, right: str) -> str:
        whole = self._emitter.once("Floor", [self._emitter.once("Div", [left, right])])
        return self._emitter.once("Sub", [left, self._emitter.once("Mul", [whole, right])])

    def _count(self, spec: SizeInput) -> str:
        """Return how many elements windows hold where all is as long as it can get, over those that they do hold."""
        kernel, stride, dilation, before, after, counted = spec.window
        (layout,), (length,) = spec.layouts, spec.expressions
        start = np.arange(int(layout_length(layout, self._longest))) * stride - before
        emitter, full = self._emitter, self.full(length)
        high: Expression = ("+", length, after) if counted else length
        true, whole = "", np.zeros(len(start), np.int64)
        for at in (start + offset * dilation for offset in range(kernel)):
            above = at >= (-before if counted else 0)
            whole += above & (at < full + (after if counted else 0))
            held = emitter.once("Mul", [self._below(at, high), self._constant(above)])
            true = emitter.once("Add", [true, held]) if true else held
        least = emitter.once("Max", [true, self._constant([1])])
        some = emitter.once("Min", [true, self._constant([1])])
        return emitter.once("Mul", [some, emitter.once("Div", [self._constant(whole), least])])
