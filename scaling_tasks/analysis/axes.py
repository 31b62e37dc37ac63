"""How the positions of a tensor's axis come about: pieces one after another, each a grid of lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from scaling_tasks.analysis.lengths import Length, as_length, product_of
from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.shapes.behaviour import DATA
from scaling_tasks.shapes.layouts import Layout

__all__ = ["Axis", "grid"]

Piece = tuple[Length, ...]


_MOST_PIECES = 1 << 12


@dataclass(frozen=True)
class Axis:
    """An axis as a concatenation of pieces; a piece is a grid of lengths in row-major order.

    At a bucket, a position is valid when each of its coordinates lies below that length at the exact size. So one
    length alone is valid up to its end, a flattened image is valid where both of its coordinates are.

    Attributes:
        pieces: Each a tuple of lengths, the outermost first; never empty.
    """

    pieces: tuple[Piece, ...]

    @cached_property
    def length(self) -> Length:
        """How many positions there are."""
        total = as_length(0)
        for piece in self.pieces:
            total = total + product_of(piece)
        return total

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that its length depends on."""
        return frozenset().union(*(length.variables for piece in self.pieces for length in piece))

    @cached_property
    def constant(self) -> int | None:
        """Its length where that is a number."""
        number = self.length.constant
        return None if self.variables or number is None else int(number)

    @cached_property
    def normal(self) -> tuple[Piece, ...]:
        """The same positions with what can be one length made one; equal normal forms have equal valid positions."""
        merged: list[Piece] = []
        for piece in map(_merged, self.pieces):
            before = merged[-1] if merged else None
            if before is not None and len(before) == len(piece) == 1 and _has_no_padding(before[0]):
                merged[-1] = (before[0] + piece[0],)
            else:
                merged.append(piece)
        return tuple(merged)

    @property
    def is_prefix(self) -> bool:
        """Whether the valid positions are those below the axis' length at the exact size."""
        return len(self.normal) == 1 and len(self.normal[0]) == 1

    def has_factor(self, variable: str) -> bool:
        """Return whether some coordinate counts the variable itself."""
        wanted = as_length(variable)
        return any(length == wanted for piece in self.pieces for length in piece)

    def layout(self) -> Layout:
        """Return it with expressions, for documents and the runtime."""
        return tuple(tuple(length.expression() for length in piece) for piece in self.pieces)

    def __str__(self) -> str:
        return " + ".join("·".join(map(str, piece)) for piece in self.pieces)


def grid(*lengths: Length | int | str) -> Axis:
    """Return an axis of one piece."""
    return Axis((tuple(as_length(length) for length in lengths) or (as_length(1),),))


def join(axes: Sequence[Axis]) -> Axis:
    """Return the axes one after another as one axis; one that has one length at all sizes needs no pieces.

    Raises:
        Refused: It consists of more pieces than any that a model means.
    """
    if sum(len(axis.pieces) for axis in axes) > _MOST_PIECES:
        raise Refused(f"the axis consists of more than {_MOST_PIECES} pieces")
    whole = Axis(tuple(piece for axis in axes for piece in axis.pieces))
    return whole if whole.constant is None else grid(whole.constant)


def _has_no_padding(length: Length) -> bool:
    return all(name.startswith(DATA) for name in length.variables)


def _merged(piece: Piece) -> Piece:
    kept: list[Length] = []
    for length in piece:
        if kept and length.constant is not None:
            # Whole rows of a fixed width: what is below the end in rows is below it in positions.
            kept[-1] = kept[-1] * length
        elif kept and kept[-1].constant == 1:
            kept[-1] = length
        else:
            kept.append(length)
    return tuple(kept)
