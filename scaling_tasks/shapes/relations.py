"""How long each output axis is for given sizes of the variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling_tasks.shapes.expressions import Expression, evaluate, parse_expression

__all__ = ["Relations"]


@dataclass(frozen=True)
class Relations:
    """One expression of the variables per axis of every output.

    Attributes:
        axes: Output name to the length of each of its axes.
    """

    axes: Mapping[str, tuple[Expression, ...]]

    def shapes(self, values: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Return every output's shape for one value per variable."""
        return {name: tuple(evaluate(axis, values) for axis in axes) for name, axes in self.axes.items()}

    def to_payload(self) -> dict[str, Any]:
        """Return plain lists for a JSON document."""
        return {name: list(axes) for name, axes in self.axes.items()}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Sequence[Any]]) -> Relations:
        """Return what ``to_payload`` gave.

        Raises:
            ValueError: The payload holds something else.
        """
        return cls({name: tuple(parse_expression(axis) for axis in axes) for name, axes in payload.items()})
