"""Lengths that data decides beside those that sizes do, in one axis: what a run gave tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling_tasks.shapes.behaviour import DATA
from scaling_tasks.shapes.expressions import Expression, variables_of
from scaling_tasks.shapes.layouts import Layout, layout_length, layout_variables, valid_positions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PositionsOfData", "is_mixed", "is_told"]


def is_mixed(layout: Layout) -> bool:
    """Return whether an axis follows data and sizes both, so that some of its positions may be padding."""
    return len({name.startswith(DATA) for name in layout_variables(layout)}) == 2


def is_told(layout: Layout) -> bool:
    """Return whether the length of the axis tells the one length in it that data decides: it grows evenly with that."""
    names = [name for name in layout_variables(layout) if name.startswith(DATA)]
    return len(names) == 1 and all(
        sum(names[0] in variables_of(length) for length in piece) <= 1
        and all(_is_linear(length, names[0]) for length in piece)
        for piece in layout
    )


def _is_linear(expression: Expression, name: str) -> bool:
    if not isinstance(expression, tuple):
        return True
    operator, *parts = expression
    holding = [part for part in parts if name in variables_of(part)]
    if not holding:
        return True
    even = operator in ("+", "-") or (operator == "*" and len(holding) == 1)
    return even and all(_is_linear(part, name) for part in holding)


@dataclass(frozen=True)
class PositionsOfData:
    """The positions to keep of an axis whose length only a run tells.

    Attributes:
        layout: Of the axis; ``is_told`` holds.
        bucket: One size per variable.
        sizes: Exact sizes.
    """

    layout: Layout
    bucket: Mapping[str, int]
    sizes: Mapping[str, int]

    def within(self, length: int) -> NDArray[np.int64] | None:
        """Return which positions of an axis so long exist at the exact size; None where no data makes that length."""
        name = next(name for name in layout_variables(self.layout) if name.startswith(DATA))
        none, one = (int(layout_length(self.layout, {**self.bucket, name: number})) for number in (0, 1))
        found = (length - none) // (one - none) if one != none else 0
        if found < 0 or int(layout_length(self.layout, {**self.bucket, name: found})) != length:
            return None
        return valid_positions(self.layout, {**self.bucket, name: found}, {**self.sizes, name: found})
