"""Exact sizes as data: what a graph computes from how large something is, it computes from the size of the request."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.cleaning import Cleaner, RowsMixed
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.element_types import FLOATS
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.refusal import Refused, no_data
from scaling_tasks.analysis.tensors import Tensor, constant_tensor, is_symbolic, numpy_type
from scaling_tasks.shapes.behaviour import DATA
from scaling_tasks.shapes.size_inputs import SizeInput

if TYPE_CHECKING:
    from scaling_tasks.analysis.operation import Operation
    from scaling_tasks.analysis.registry import Rule

__all__ = ["Telling"]

_STEPS = ("Round", "Sign", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Floor", "Ceil", "Cast")
"""Operators that may give another number for one that is rounded otherwise."""


class Telling:
    """Tells the exact sizes where they are used as data.

    Args:
        emitter: Where the nodes go.
        cleaner: What notes in which variables all rows must agree.
        domain: The admissible sizes.
    """

    def __init__(self, emitter: Emitter, cleaner: Cleaner, domain: Domain) -> None:
        self._emitter, self._cleaner, self._domain = emitter, cleaner, domain

    def inputs(self, op: Operation, rule: Rule) -> None:
        """Tell an operator the exact sizes in place of those inputs that it takes as data."""
        for at, tensor in enumerate(op.inputs):
            if tensor is not None and is_symbolic(tensor.value) and at not in rule.sizes:
                if op.kind in _STEPS and tensor.dtype in FLOATS:
                    self._is_told_alike(tensor)
                others = [t for i, t in enumerate(op.inputs) if i != at and t is not None and t.axes is not None]
                like = max((t for t in others if rule.broadcasts), key=lambda t: t.rank, default=None)
                op.use(at, self.told(tensor, like))

    def _is_told_alike(self, tensor: Tensor) -> None:
        """Make sure that fractions are told as the model's own floating-point arithmetic rounds them.

        Raises:
            Refused: They are not at some size, and what follows makes much of little.
        """
        assert tensor.value is not None
        kind = numpy_type(tensor.dtype)
        for element in map(as_length, tensor.value.reshape(-1)):
            scale = _denominator(element)
            if scale > 1 and not any(name.startswith(DATA) for name in element.variables):
                told = self._domain.values(element * scale).astype(np.float32) * np.float32(1 / scale)
                if not np.array_equal(told.astype(kind), self._domain.floats(element, kind)):
                    raise Refused(f"floating-point arithmetic rounds {element} otherwise at some sizes")

    def told(self, tensor: Tensor, like: Tensor | None = None) -> Tensor:
        """Return a tensor of sizes with those of the request, which is another one than in the model as it is.

        Args:
            tensor: What is told.
            like: What it is broadcast against, so that a single size can be another one for each of its rows.

        Raises:
            RowsMixed: It depends on how many rows there are.
            Refused: Data decides a part of it.
        """
        assert tensor.value is not None
        elements = [as_length(element) for element in tensor.value.reshape(-1)]
        variables = frozenset().union(*(element.variables for element in elements))
        if self._cleaner.rows in variables:
            raise RowsMixed(f"{tensor.name!r} depends on how many rows there are")
        if variables and all(name.startswith(DATA) for name in variables):
            # How many there are is the same in a bucket, so that the graph itself tells it.
            return replace(tensor, value=None, low=0.0)
        no_data(variables)
        known = [self._domain.constant(element) if element.is_whole else None for element in elements]
        if all(number is not None for number in known):
            value = np.array(known, numpy_type(tensor.dtype)).reshape(tensor.value.shape)
            return constant_tensor(self._emitter.constant(value), tensor.dtype, value)
        low = 0.0 if all(bool((self._domain.values(element) >= 0).all()) for element in elements) else -math.inf
        before = set(self._emitter.told)
        name, axes = self._written(tensor, elements, like)
        self._emitter.told = before  # The tensor itself says what it was told.
        return Tensor(name, tensor.dtype, axes, low=low, cleaned=variables)

    def _written(self, tensor: Tensor, elements: list[Length], like: Tensor | None) -> tuple[str, tuple[Any, ...]]:
        assert tensor.value is not None
        emitter, shape = self._emitter, tensor.value.shape
        if len(elements) == 1 and like is not None and like.rank >= len(shape):
            name = self._scalar(elements[0], tensor.dtype, like)
            rows = self._cleaner.rows
            axes = tuple(axis if rows is not None and axis.has_factor(rows) else grid(1) for axis in like.known_axes)
            return name, axes if any(axis.variables for axis in axes) else tuple(grid(1) for _ in axes)
        parts = [self._scalar(element, tensor.dtype, None) for element in elements]
        whole = parts[0] if len(parts) == 1 else emitter.once("Concat", parts, axis=0)
        if len(shape) != 1:
            whole = emitter.once("Reshape", [whole, emitter.numbers(shape)])
        return whole, tuple(grid(size) for size in shape)

    def _scalar(self, element: Length, dtype: int, like: Tensor | None) -> str:
        """Return the name of a length at the exact size, as a number of the given type."""
        scale = _denominator(element)
        whole = (element * scale).expression()
        spec = SizeInput("", "value", "float32" if scale > 1 else numpy_type(dtype).name, expressions=(whole,))
        if like is None:
            self._cleaner.agree(element.variables)
            name = self._emitter.size_input(spec)
        else:
            # The companion would cast a float to the type of the tensor it goes with; this one has its own.
            name = self._cleaner.companion(like, [], spec, dtype=1)
        if scale > 1:
            name = self._emitter.once("Mul", [name, self._emitter.constant(np.array(1 / scale, np.float32))])
            return name if dtype == 1 else self._emitter.cast(name, dtype)
        return name


def _denominator(length: Length) -> int:
    return math.lcm(*(Fraction(factor).denominator for _, factor in length.terms))
