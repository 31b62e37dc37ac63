"""What is known of tensors by the order of their positions, from which ``triangles`` recognises causal masks."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaling_tasks.analysis.intervals import Interval

__all__ = ["Order", "Triangle"]


@dataclass(frozen=True)
class Triangle:
    """What a tensor holds by the order of two of its positions.

    Attributes:
        row: An axis, counted from the end.
        column: Another one.
        later: Bounds of the elements whose column is behind their row.
        seen: Bounds of all others.
    """

    row: int
    column: int
    later: Interval
    seen: Interval


@dataclass
class Order:
    """What is known of tensors by their names in the cleaned graph, so that it never outlives a change of them.

    Attributes:
        triangles: See ``Triangle``.
        counts: The axis (from the end) whose positions a tensor counts from 0.
        hidden: Axes (from the end) beyond whose end there are zeros wherever all other axes are valid.
        modest: Tensors of which no element is larger than a score can be.
    """

    triangles: dict[str, Triangle] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    hidden: dict[str, frozenset[int]] = field(default_factory=dict)
    modest: set[str] = field(default_factory=set)

    def copy(self) -> Order:
        """Return what is known now, to come back to behind a body whose names mean something else each turn."""
        return Order(dict(self.triangles), dict(self.counts), dict(self.hidden), set(self.modest))
