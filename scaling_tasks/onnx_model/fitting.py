"""Exact whole-number functions through observed sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from scaling_tasks.shapes.expressions import Expression

__all__ = ["Line", "fit_line", "undecided"]

_LARGEST_DIVISOR = 512


@dataclass(frozen=True)
class Line:
    """``floor((factor * v + offset) / divisor)``; every offset in ``offsets`` explains what was observed.

    Strided convolutions, pooling and their chains, cropping, padding and scaling by a constant all have this form; a
    ceiling is a floor with a larger offset.
    """

    factor: int
    divisor: int
    offsets: tuple[int, int]

    @property
    def offset(self) -> int:
        """The largest explaining offset: where sizes do not decide, an output is rather kept too long than cut."""
        return self.offsets[1]

    def expression(self, variable: str) -> Expression:
        """Return the line as an expression of ``variable``."""
        whole: Expression = variable if self.factor == 1 else ("*", self.factor, variable)
        if self.offset:
            whole = ("+", whole, self.offset) if self.offset > 0 else ("-", whole, -self.offset)
        return whole if self.divisor == 1 else ("//", whole, self.divisor)


def fit_line(points: Mapping[int, int]) -> Line | None:
    """Return the line with the smallest divisor through all ``points`` (size to length), None where there is none."""
    low, high = _slopes(points)
    for divisor in range(1, _LARGEST_DIVISOR + 1):
        for factor in range(max(1, math.floor(low * divisor)), math.ceil(high * divisor) + 1):
            smallest = max(divisor * length - factor * size for size, length in points.items())
            largest = min(divisor * length - factor * size for size, length in points.items()) + divisor - 1
            if smallest <= largest:
                return Line(factor, divisor, (smallest, largest))
    return None


def undecided(line: Line, low: int, high: int) -> int | None:
    """Return a size in [low, high] at which the explaining offsets differ, None where they agree everywhere."""
    smallest, largest = line.offsets
    for size in range(low, min(high, low + line.divisor) + 1):
        if (line.factor * size + smallest) // line.divisor != (line.factor * size + largest) // line.divisor:
            return size
    return None


def _slopes(points: Mapping[int, int]) -> tuple[Fraction, Fraction]:
    """Return between which slopes a line through the points lies: lengths are exact to less than one."""
    first, last = min(points), max(points)
    rise, run = points[last] - points[first], last - first
    return Fraction(rise - 1, run), Fraction(rise + 1, run)
