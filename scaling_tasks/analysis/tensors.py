"""What is known of a tensor: its axes, its content where sizes or constants decide it, and what its padding holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length

_STRING = 8

__all__ = ["Dequantised", "Positions", "Reason", "Tensor", "constant_tensor", "is_symbolic", "numpy_type"]


@dataclass(frozen=True)
class Reason:
    """Why padding cannot be made harmless.

    Attributes:
        node: Name of the operator's node, or of its first output.
        operator: Its type.
        text: What it does to padding.
        fix: What the user can do.
    """

    node: str
    operator: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.operator} {self.node!r}: {self.text}"


@dataclass(frozen=True)
class Dequantised:
    """The quantised numbers that a tensor was made of.

    Attributes:
        tensor: The numbers.
        parameters: Names of their scale and, where there is one, their zero point.
        point: The zero point, the same for all.
        attributes: Of the node.
    """

    tensor: Tensor
    parameters: tuple[str, ...]
    point: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Positions:
    """Numbers that count along axes: the one at ``coordinates`` is ``first + Σ steps[axis] · coordinates[axis]``.

    Attributes:
        steps: By axis, none of them 0.
        first: The number where all coordinates are 0.
    """

    steps: Mapping[int, Length]
    first: Length

    def moved(self, kept: Mapping[int, int]) -> Positions:
        """Return the same with its axes renumbered from old to new."""
        return Positions({kept[axis]: step for axis, step in self.steps.items()}, self.first)


@dataclass(frozen=True)
class Tensor:
    """One tensor of the graph as it is in a bucket, and what of it is as at the exact size.

    Attributes:
        name: Its name in the cleaned graph.
        dtype: Its ONNX element type.
        axes: Its axes; None where not even their number is known.
        value: Its content where that is the same at all sizes, or, with elements of type ``Length``, follows the sizes.
        fills: By axis what all positions beyond the valid ones hold; missing where that is not one known number.
        finite: Whether no element is NaN or infinite, in the padding either.
        low: No element is below it.
        high: No element is above it.
        cleaned: Variables whose padding was cleaned on the way here.
        blames: Per variable why its padding reaches valid positions.
        positions: Which positions its numbers tell, where they count along its axes; several where the last axis holds
            the coordinates of one position, None for those that are not known and do not number rows either.
        counts_rows: Whether its numbers tell which row of a batch they are in, so that rows are not alike.
        dequantised: What it was before DequantizeLinear, if that made it.
    """

    name: str
    dtype: int
    axes: tuple[Axis, ...] | None
    value: NDArray[Any] | None = field(default=None, compare=False)
    fills: Mapping[int, float] = field(default_factory=dict)
    finite: bool = True
    low: float = -math.inf
    high: float = math.inf
    cleaned: frozenset[str] = frozenset()
    blames: Mapping[str, Reason] = field(default_factory=dict)
    positions: tuple[Positions | None, ...] = ()
    counts_rows: bool = False
    dequantised: Dequantised | None = None

    @property
    def known_axes(self) -> tuple[Axis, ...]:
        """The axes of a tensor that has known ones."""
        assert self.axes is not None
        return self.axes

    @cached_property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.known_axes)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that its shape depends on."""
        return frozenset().union(*(axis.variables for axis in self.axes or ()))

    @property
    def is_constant(self) -> bool:
        """Whether its content is known and the same at all sizes."""
        return self.value is not None and not is_symbolic(self.value)

    @cached_property
    def uniform(self) -> float | None:
        """The number that all elements of a constant are, None where they differ or are unknown."""
        if self.value is None or is_symbolic(self.value) or self.value.size == 0 or self.value.dtype.kind not in "fiub":
            return None
        first = self.value.reshape(-1)[0]
        return float(first) if bool((self.value == first).all()) else None

    @property
    def position(self) -> Positions | None:
        """Which position each number tells, None where it is a coordinate of several, or not known."""
        return self.positions[0] if len(self.positions) == 1 else None

    def changed(self, name: str, **changes: Any) -> Tensor:
        """Return what is known of another tensor that holds other numbers, or the same ones in another order."""
        return replace(self, name=name, value=None, positions=(), dequantised=None, **changes)

    def named(self, name: str) -> Tensor:
        """Return the same under another name."""
        return replace(self, name=name)


def is_symbolic(value: NDArray[Any] | None) -> bool:
    """Return whether the elements follow the sizes."""
    return value is not None and value.dtype == object


def constant_tensor(name: str, dtype: int, value: NDArray[Any]) -> Tensor:
    """Return what is known of a constant."""
    axes = tuple(grid(size) for size in value.shape)
    if dtype == _STRING:
        return Tensor(name, dtype, axes, value.astype(str))
    if is_symbolic(value):
        numbers = [element.constant if isinstance(element, Length) else element for element in value.reshape(-1)]
        least = min((float(number) for number in numbers if number is not None), default=0.0)
        return Tensor(name, dtype, axes, value, low=least if None not in numbers else -math.inf)
    if value.dtype.kind not in "fiub" or value.size == 0:
        return Tensor(name, dtype, axes, value)
    finite = bool(np.isfinite(value).all())
    return Tensor(name, dtype, axes, value, finite=finite, low=float(value.min()), high=float(value.max()))


def numpy_type(dtype: int) -> np.dtype[Any]:
    """Return the numpy type of an ONNX element type."""
    from onnx import helper

    found: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(dtype))
    return found
