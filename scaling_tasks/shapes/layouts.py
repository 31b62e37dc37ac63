"""Which positions of a bucket's axis exist at the exact size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from scaling_tasks.shapes.expressions import Expression, evaluate, variables_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Layout", "is_plain", "layout_length", "layout_variables", "parse_layout", "valid_positions", "validity"]

Layout: TypeAlias = "tuple[tuple[Expression, ...], ...]"
"""Pieces one after another, each a grid of lengths in row-major order; one piece of one length is a plain axis."""


def layout_length(layout: Layout, values: Mapping[str, Any]) -> Any:
    """Return how long the axis is at the given sizes."""
    total: Any = 0
    for piece in layout:
        product: Any = 1
        for length in piece:
            product = product * evaluate(length, values)
        total = total + product
    return total


def layout_variables(layout: Layout) -> frozenset[str]:
    """Return the variables that the layout depends on."""
    return frozenset().union(*(variables_of(length) for piece in layout for length in piece))


def is_plain(layout: Layout) -> bool:
    """Return whether the valid positions are the first ones."""
    return len(layout) == 1 and len(layout[0]) == 1


def validity(
    layout: Layout, bucket: Mapping[str, int], sizes: Mapping[str, NDArray[np.int64]], rows: str | None = None
) -> NDArray[np.bool_]:
    """Return which positions exist, per request.

    Args:
        layout: The axis.
        bucket: One value per variable.
        sizes: Exact sizes: per variable one value per row, [R].
        rows: The variable that counts rows. Where it is a coordinate of the layout, each position is judged by the
            sizes of its own row, and there is one line of the answer only.

    Returns:
        [R, L], or [1, L] where the rows lie in the axis.
    """
    import numpy as np

    pieces = [_piece_validity(piece, bucket, sizes, rows) for piece in layout]
    lines = max(piece.shape[0] for piece in pieces)
    return np.concatenate([np.broadcast_to(piece, (lines, piece.shape[1])) for piece in pieces], axis=1)


def _piece_validity(
    piece: tuple[Expression, ...],
    bucket: Mapping[str, int],
    sizes: Mapping[str, NDArray[np.int64]],
    rows: str | None,
) -> NDArray[np.bool_]:

    import numpy as np

    row_axis = next((axis for axis, length in enumerate(piece) if rows is not None and length == rows), None)
    count = len(next(iter(sizes.values()))) if sizes else 1
    whole = np.ones((1 if row_axis is not None else count, *([1] * len(piece))), bool)
    for axis, length in enumerate(piece):
        full = int(evaluate(length, bucket))
        shape = [1] * (len(piece) + 1)
        shape[axis + 1] = full
        coordinate = np.arange(full).reshape(shape)
        below = np.broadcast_to(np.asarray(evaluate(length, sizes)), (count,))
        # Rows are judged one by one: each lies within the batch it is part of.
        limit = np.full(count, full) if axis == row_axis else below
        at = [1] * (len(piece) + 1)
        at[0 if row_axis is None else row_axis + 1] = count
        whole = whole & (coordinate < limit.reshape(at))
    return whole.reshape(whole.shape[0], -1)


def valid_positions(layout: Layout, bucket: Mapping[str, int], sizes: Mapping[str, int]) -> NDArray[np.int64]:
    """Return where in the bucket's axis the exact size's positions lie, in their order, [length at the exact size]."""
    import numpy as np

    found, start = [], 0
    for piece in layout:
        full = [int(evaluate(length, bucket)) for length in piece]
        exact = [int(evaluate(length, sizes)) for length in piece]
        index = np.zeros((1,) * len(piece), np.int64)
        stride = 1
        for axis in range(len(piece) - 1, -1, -1):
            shape = [1] * len(piece)
            shape[axis] = exact[axis]
            index = index + np.arange(exact[axis]).reshape(shape) * stride
            stride *= full[axis]
        found.append(index.reshape(-1) + start)
        start += stride
    return np.concatenate(found)


def parse_layout(value: Any) -> Layout:
    """Return the layout that JSON ``value`` holds.

    Raises:
        ValueError: It holds none.
    """
    from scaling_tasks.shapes.expressions import parse_expression

    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(p, (list, tuple)) and p for p in value):
        raise ValueError(f"{value!r} is no layout")
    return tuple(tuple(parse_expression(length) for length in piece) for piece in value)
