"""Small extra inputs of a cleaned model: what it must be told of a request's exact size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scaling_tasks.shapes.expressions import Expression, evaluate, parse_expression
from scaling_tasks.shapes.interpolation import (
    Interpolation,
    interpolation_matrix,
    nearest_positions,
    source_coordinates,
)
from scaling_tasks.shapes.layouts import Layout, is_plain, layout_length, parse_layout, valid_positions, validity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SizeInput", "Sizes", "fill_size_input", "row_of_position"]

Kind = Literal["valid", "at", "ratio", "value", "index", "count", "matrix"]
_DTYPES = ("float32", "float64", "float16", "int32", "int64", "bool")
_KINDS = ("valid", "at", "ratio", "value", "index", "count", "matrix")
_MODES = ("step", "reflect", "edge", "wrap", "nearest")

Sizes: TypeAlias = "Mapping[str, NDArray[np.int64]]"
"""Exact sizes: per variable one value per row of the bucket, [R]."""


ONE: Layout = ((1,),)
"""The axis of what is one number for all rows; a converter is at hand that fails at inputs without axes."""


@dataclass(frozen=True)
class SizeInput:
    """One extra input.

    Attributes:
        name: Its name in the cleaned model.
        kind: What it holds. ``valid``: ``on`` where a position exists, else ``off``. ``at``: 1 at the position that the
            first expression names. ``ratio``: the first expression at the bucket over that at the exact size.
            ``value``: the first expression at the exact size. ``index``: for every position the one of ``source`` to
            read, see ``mode``. ``count``: how many elements a pooling window holds at the bucket over those at the
            exact size. ``matrix``: what each position of one axis takes of each of another, see ``resize``.
        dtype: The numpy name of its element type.
        layouts: Its axes, at least one. One that counts rows says that each row has a line of its own.
        expressions: See ``kind``; for ``index`` first position and step, for ``count`` the pooled length, for
            ``matrix`` and an ``index`` of mode ``nearest`` the new length and the old one.
        source: The axis that an ``index`` reads.
        mode: Of an ``index``: ``step`` (first position, then step by step), ``reflect``, ``edge`` or ``wrap`` (as Pad
            does, the first expression being minus what is added before), ``nearest`` (as Resize does).
        window: Of a ``count``: kernel, stride, dilation, added before, added after, and whether what was added counts.
        resize: How an axis is resized; the axes of a ``matrix`` that is ``turned`` are old and new, otherwise new, old.
        turned: See ``resize``.
        on: Of a ``valid``.
        off: Of a ``valid``.
        whole_rows: Of a ``valid``: whether positions beyond the end of the axis that counts rows, where that counts
            something else too, are as those of the same row within it.
    """

    name: str
    kind: Kind
    dtype: str
    layouts: tuple[Layout, ...] = (ONE,)
    expressions: tuple[Expression, ...] = ()
    source: Layout = ()
    mode: Literal["step", "reflect", "edge", "wrap", "nearest"] = "step"
    window: tuple[int, ...] = ()
    resize: Interpolation | None = None
    turned: bool = False
    on: float = 1.0
    off: float = 0.0
    whole_rows: bool = False

    def shape(self, values: Mapping[str, int]) -> tuple[int, ...]:
        """Return its shape at a bucket."""
        return tuple(int(layout_length(layout, values)) for layout in self.layouts)

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        # JSON has no infinite numbers.
        resize = self.resize.to_payload() if self.resize is not None else None
        return {**vars(self), "on": str(self.on), "off": str(self.off), "resize": resize}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> SizeInput:
        """Return what ``to_payload`` gave.

        Raises:
            ValueError: The payload holds something else.
            KeyError: Something is missing.
        """
        if payload["dtype"] not in _DTYPES:
            raise ValueError(f"{payload['dtype']!r} is no element type of an input of a cleaned model")
        if payload["kind"] not in _KINDS or payload["mode"] not in _MODES:
            raise ValueError(f"{payload['kind']!r} with mode {payload['mode']!r} is no input of a cleaned model")
        return cls(
            str(payload["name"]),
            payload["kind"],
            payload["dtype"],
            tuple(parse_layout(layout) for layout in payload["layouts"]),
            tuple(parse_expression(expression) for expression in payload["expressions"]),
            parse_layout(payload["source"]) if payload["source"] else (),
            payload["mode"],
            tuple(int(number) for number in payload["window"]),
            Interpolation.from_payload(payload["resize"]) if payload["resize"] is not None else None,
            bool(payload["turned"]),
            float(payload["on"]),
            float(payload["off"]),
            bool(payload["whole_rows"]),
        )


def fill_size_input(
    spec: SizeInput, bucket: Mapping[str, int], sizes: Sizes, rows: str | None = None
) -> NDArray[np.generic]:
    """Return the input's content for one run.

    Args:
        spec: The input.
        bucket: One value per variable.
        sizes: Exact sizes per row; where the input does not tell rows apart, those of the first are taken.
        rows: The variable that counts rows, None where none does.
    """
    import numpy as np

    carrier = next((at for at, layout in enumerate(spec.layouts) if _counts(layout, rows)), None)
    if carrier is None:
        sizes = {name: values[:1] for name, values in sizes.items()}
    others = [layout for at, layout in enumerate(spec.layouts) if at != carrier]
    lines = _lines(spec, others, bucket, sizes, rows)
    if carrier is None:
        return _finished(spec, np.broadcast_to(lines[0], spec.shape(bucket)))
    layout = spec.layouts[carrier]
    whole = lines[row_of_position(layout, bucket, str(rows))]
    if spec.kind == "valid" and not spec.whole_rows:
        own = validity(layout, bucket, sizes, rows)[0]
        whole = whole * own.reshape(-1, *[1] * (whole.ndim - 1))
    return _finished(spec, np.moveaxis(whole, 0, carrier))


def _finished(spec: SizeInput, content: NDArray[Any]) -> NDArray[np.generic]:

    import numpy as np

    if spec.kind == "valid" and (spec.on, spec.off) != (1.0, 0.0):
        content = np.where(content, spec.on, spec.off)
    return np.asarray(content, dtype=spec.dtype, order="C")


def row_of_position(layout: Layout, bucket: Mapping[str, int], rows: str) -> NDArray[np.int64]:
    """Return the row that each position of an axis belongs to, [L]."""
    import numpy as np

    found = []
    for piece in layout:
        full = [int(evaluate(length, bucket)) for length in piece]
        index = np.zeros(full, np.int64)
        for axis, length in enumerate(piece):
            if length == rows:
                shape = [1] * len(piece)
                shape[axis] = full[axis]
                index = index + np.arange(full[axis]).reshape(shape)
                break
        found.append(index.reshape(-1))
    return np.concatenate(found)


def _counts(layout: Layout, rows: str | None) -> bool:
    return rows is not None and any(length == rows for piece in layout for length in piece)


def _lines(
    spec: SizeInput, layouts: list[Layout], bucket: Mapping[str, int], sizes: Sizes, rows: str | None
) -> NDArray[Any]:
    """Return one line per row, [R, …]."""
    import numpy as np

    if spec.kind == "valid":
        return _valid(layouts, bucket, sizes, rows)
    if spec.kind == "index":
        return _index(spec, bucket, {name: int(values[0]) for name, values in sizes.items()})[None]
    if spec.kind == "matrix":
        return _matrices(spec, bucket, sizes)
    count = len(next(iter(sizes.values()))) if sizes else 1
    exact = np.broadcast_to(np.asarray(evaluate(spec.expressions[0], sizes), np.int64), (count,))
    at_bucket = int(evaluate(spec.expressions[0], bucket))
    if spec.kind in ("value", "ratio"):
        numbers = exact if spec.kind == "value" else at_bucket / np.maximum(exact, 1)
        return np.asarray(numbers).reshape(count, *[1] * len(layouts))
    (layout,) = layouts
    positions = np.arange(int(layout_length(layout, bucket)))
    if spec.kind == "at":
        return np.asarray(positions[None] == exact[:, None])
    full, true = (_window_counts(spec.window, positions[None], length) for length in (at_bucket, exact[:, None]))
    return np.where(true > 0, full / np.maximum(true, 1), 0.0)


def _valid(layouts: list[Layout], bucket: Mapping[str, int], sizes: Sizes, rows: str | None) -> NDArray[np.bool_]:

    import numpy as np

    count = len(next(iter(sizes.values()))) if sizes else 1
    whole = np.ones((count, *[1] * len(layouts)), bool)
    for axis, layout in enumerate(layouts):
        line = validity(layout, bucket, sizes, rows)
        shape = [line.shape[0], *[1] * len(layouts)]
        shape[axis + 1] = line.shape[1]
        whole = whole & line.reshape(shape)
    return whole


def _index(spec: SizeInput, bucket: Mapping[str, int], sizes: Mapping[str, int]) -> NDArray[np.int64]:
    """Return for every position of the bucket which one to read; a plain axis goes on as it would beyond its end."""
    import numpy as np

    whole = np.zeros(spec.shape(bucket), np.int64)
    plain = is_plain(spec.layouts[0])
    place = np.arange(len(whole)) if plain else valid_positions(spec.layouts[0], bucket, sizes)
    source = valid_positions(spec.source, bucket, sizes)
    first, step = (int(evaluate(expression, sizes)) for expression in spec.expressions)
    if spec.resize is not None:
        coordinates = source_coordinates(spec.resize, np.arange(len(place)), step, first)
        whole[place] = nearest_positions(spec.resize, coordinates, step)
        return whole
    wanted = first + step * np.arange(len(place))
    last = max(len(source) - 1, 0)
    if spec.mode == "reflect" and last:
        wanted = last - np.abs(last - np.abs(wanted) % (2 * last))
    elif spec.mode == "wrap":
        wanted = wanted % max(len(source), 1)
    if len(source):
        whole[place] = source[np.clip(wanted, 0, last)]
    return whole


def _matrices(spec: SizeInput, bucket: Mapping[str, int], sizes: Sizes) -> NDArray[np.float64]:
    """Return one matrix per row, zero beyond its exact lengths."""
    import numpy as np

    assert spec.resize is not None
    full = [int(evaluate(expression, bucket)) for expression in spec.expressions]
    count = len(next(iter(sizes.values()))) if sizes else 1
    whole = np.zeros((count, *full))
    lengths = [np.broadcast_to(np.asarray(evaluate(each, sizes)), (count,)) for each in spec.expressions]
    for row, (new, old) in enumerate(zip(*lengths, strict=True)):
        whole[row, : int(new), : int(old)] = interpolation_matrix(spec.resize, int(old), int(new))
    return whole.transpose(0, 2, 1) if spec.turned else whole


def _window_counts(window: tuple[int, ...], positions: NDArray[np.int64], length: Any) -> NDArray[np.int64]:
    """Return how many elements each pooling window averages over."""
    import numpy as np

    kernel, stride, dilation, before, after, counted = window
    start = positions * stride - before
    low = -before if counted else 0
    high = length + (after if counted else 0)
    total = np.zeros(np.broadcast_shapes(positions.shape, np.shape(length)), np.int64)
    for offset in range(kernel):
        at = start + offset * dilation
        total = total + ((at >= low) & (at < high))
    return total
