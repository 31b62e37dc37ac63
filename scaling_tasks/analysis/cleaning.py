"""Cleaning: nodes that set padding to what an operator needs, so that valid positions come out as at the exact size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.lengths import Length, as_length, larger, smaller
from scaling_tasks.analysis.refusal import Refused, no_data
from scaling_tasks.analysis.tensors import Tensor, numpy_type
from scaling_tasks.shapes.behaviour import DATA
from scaling_tasks.shapes.expressions import variables_of
from scaling_tasks.shapes.interpolation import Interpolation
from scaling_tasks.shapes.layouts import Layout
from scaling_tasks.shapes.size_inputs import SizeInput, fill_size_input

__all__ = ["Cleaner", "RowsMixed"]

_FLOAT, _INT32, _INT64, _BOOL = 1, 6, 7, 9


class RowsMixed(Exception):  # noqa: N818  # Ends a walk that took a variable for independent rows.
    """An operator puts together positions of different rows."""


class Cleaner:
    """Inserts cleaning, each once.

    Args:
        emitter: Where the nodes go.
        rows: The variable taken for independent rows, None for none.

    Attributes:
        rows: As given.
        uniform: Variables in which all rows of one batch must agree, because something cannot be told per row.
        places: How many times a tensor was cleaned.
        cleaned: The tensors that were set to a number where they hold padding, as they were before.
        zeroed: Those of them that were set to zero.
    """

    def __init__(self, emitter: Emitter, rows: str | None) -> None:
        self._emitter, self.rows = emitter, rows
        self.uniform: set[str] = set()
        self.places = 0
        self.cleaned: list[Tensor] = []
        self.zeroed: list[Tensor] = []
        self._done: dict[Any, Tensor] = {}

    def no_rows(self, axis: Axis, operator: str, node: str) -> None:
        """Raise ``RowsMixed`` where the axis counts rows."""
        if self.rows is not None and self.rows in axis.variables:
            raise RowsMixed(f"{operator} {node!r} mixes positions along {self.rows}")

    def mark(self) -> tuple[dict[Any, Tensor], int, int, int]:
        """Return what is cleaned, before going into a body."""
        return dict(self._done), self.places, len(self.cleaned), len(self.zeroed)

    def leave(self, mark: tuple[dict[Any, Tensor], int, int, int], *, keep: bool) -> None:
        """Leave a body: what was cleaned in it is not clean outside, and not counted unless it is kept."""
        self._done = mark[0]
        if not keep:
            self.places = mark[1]
            del self.cleaned[mark[2] :], self.zeroed[mark[3] :]

    def clean(self, tensor: Tensor, axes: Sequence[int], fill: float) -> Tensor:
        """Return the tensor with padding along ``axes`` set to ``fill``: 0, 1 or plus or minus infinity."""
        fill = _held(fill, numpy_type(tensor.dtype))
        key = (tensor.name, tuple(axes), fill)
        if key not in self._done:
            self.places += 1
            name = self._dequantised(tensor, axes) if fill == 0 and tensor.dequantised else ""
            name = name or self._cleaned(tensor, axes, fill)
            self.cleaned.append(tensor)
            self.zeroed += [tensor] if fill == 0 else []
            # What lies beyond the end of two axes holds the new number too.
            kept = {at: other for at, other in tensor.fills.items() if other == fill}
            fills = {**kept, **dict.fromkeys(axes, fill)}
            low, high = min(tensor.low, fill), max(tensor.high, fill)
            whole = set(axes) >= {at for at, axis in enumerate(tensor.known_axes) if axis.variables - {self.rows}}
            finite = (tensor.finite or whole) and math.isfinite(fill)
            # Later operators start from it, which in the model as it is would find no such padding.
            variables = frozenset().union(*(tensor.known_axes[at].variables for at in axes)) - {self.rows}
            cleaned = tensor.cleaned | {name for name in variables if name and not name.startswith(DATA)}
            known = tensor.changed(name=name, fills=fills, low=low, high=high, finite=finite, cleaned=cleaned)
            self._done[key] = replace(known, positions=tensor.positions)
        return self._done[key]

    def gather(self, tensor: Tensor, axis: int, target: Axis, first: Length, step: int, mode: str) -> Tensor:
        """Return the tensor with one axis read in another order, which lies as ``target``."""
        source = tensor.known_axes[axis]
        for each in (source, target):
            if self.rows is not None and self.rows in each.variables:
                raise RowsMixed(f"the order of {tensor.name!r} is changed along {self.rows}")
        no_data(source.variables | target.variables | first.variables)
        self.agree(source.variables | target.variables | first.variables)
        spec = SizeInput(
            "",
            "index",
            "int64",
            (target.layout(),),
            (first.expression(), step),
            source.layout(),
            cast("Literal['step', 'reflect', 'edge', 'wrap']", mode),
        )
        key, order = (tensor.name, axis, spec), self._emitter.size_input(spec)
        if key not in self._done:
            self.places += 1
            name = self._emitter.node("Gather", [tensor.name, order], axis=axis, kind="aligned")
            axes = (*tensor.known_axes[:axis], target, *tensor.known_axes[axis + 1 :])
            fills = {at: fill for at, fill in tensor.fills.items() if at != axis}
            self._done[key] = tensor.changed(name=name, axes=axes, fills=fills)
        return self._done[key]

    def extended(
        self, tensor: Tensor, axis: int, before: Length, counts: Sequence[int], total: int, fill: float
    ) -> Tensor:
        """Return the tensor, whose padding along ``axis`` holds ``fill``, with ``total`` more positions of it.

        Args:
            tensor: What is extended.
            axis: Along which.
            before: How many of them come before the axis at the exact size.
            counts: All numbers that ``before`` can be, in order.
            total: How many there are.
            fill: What they hold.
        """
        padded = [self._padded(tensor, axis, count, total, fill) for count in counts]
        name = self.chosen(replace(tensor, finite=tensor.finite and fill == 0), before, counts, padded)
        known = tensor.known_axes
        axes = (*known[:axis], grid(known[axis].length + total), *known[axis + 1 :])
        fills = {at: other for at, other in tensor.fills.items() if other == fill}
        return tensor.changed(name=name, axes=axes, fills=fills)

    def chosen(self, tensor: Tensor, number: Length, counts: Sequence[int], names: Sequence[str]) -> str:
        """Return that one of several tensors like ``tensor`` whose count the number is, per row."""
        if tensor.finite and tensor.dtype == _FLOAT and len(names) > 1:
            return self._chosen_sum(tensor, number, counts, names)
        name = names[0]
        for count, other in zip(counts[1:], names[1:], strict=True):
            spec = SizeInput("", "value", "float32", expressions=(_at_least(number, count).expression(),))
            condition = self.companion(tensor, [], spec, dtype=_BOOL)
            name = self._emitter.node("Where", [condition, other, name])
        return name

    def _chosen_sum(self, tensor: Tensor, number: Length, counts: Sequence[int], names: Sequence[str]) -> str:
        """Do the same for finite tensors by ones and zeros, for which engines are much faster."""
        parts = []
        for at, (count, name) in enumerate(zip(counts, names, strict=True)):
            above = _at_least(number, counts[at + 1]) if at + 1 < len(counts) else as_length(0)
            is_it = smaller(_at_least(number, count), as_length(1)) - smaller(above, as_length(1))
            spec = SizeInput("", "value", "float32", expressions=(is_it.expression(),))
            parts.append(self._emitter.node("Mul", [name, self.companion(tensor, [], spec)]))
        whole = parts[0]
        for part in parts[1:]:
            whole = self._emitter.node("Add", [whole, part])
        return whole

    def _padded(self, tensor: Tensor, axis: int, before: int, total: int, fill: float) -> str:
        emitter, number = self._emitter, np.array(_held(fill, dtype := numpy_type(tensor.dtype)), dtype)
        pads = [0] * (2 * tensor.rank)
        pads[axis], pads[axis + tensor.rank] = before, total - before
        if emitter.opset < 11:
            return emitter.node("Pad", [tensor.name], pads=pads, value=float(number), kind="extended")
        inputs = [tensor.name, emitter.numbers(pads), emitter.constant(number)]
        return emitter.node("Pad", inputs, kind="extended")

    def nearest(self, tensor: Tensor, axis: int, target: Axis, how: Interpolation) -> Tensor:
        """Return the tensor with one axis resized by taking the nearest position."""
        source = tensor.known_axes[axis]
        no_data(source.variables | target.variables)
        self.agree(source.variables | target.variables)
        lengths = (target.length.expression(), source.length.expression())
        layouts = (target.layout(),)
        spec = SizeInput("", "index", "int64", layouts, lengths, source.layout(), "nearest", resize=how)
        name = self._emitter.node("Gather", [tensor.name, self._known(spec)], axis=axis, kind="nearest")
        self.places += 1
        axes = (*tensor.known_axes[:axis], target, *tensor.known_axes[axis + 1 :])
        fills = {at: fill for at, fill in tensor.fills.items() if at != axis}
        return tensor.changed(name=name, axes=axes, fills=fills)

    def matrix(self, tensor: Tensor, axis: int, target: Axis, how: Interpolation) -> Tensor:
        """Return the tensor, whose padding is finite, with one of its last two axes resized by a matrix product.

        A product with rows and columns of zeros leaves zeros beyond the new length. Each row of a batch has its own
        matrix.
        """
        known, source = tensor.known_axes, tensor.known_axes[axis]
        turned = axis == tensor.rank - 1
        variables = source.variables | target.variables
        no_data(variables)
        carrier = None
        if self.rows is not None and variables:
            carrier = next((at for at, each in enumerate(known[:-2]) if each.has_factor(self.rows)), None)
            if carrier is None:
                self.agree(variables)
        pair = (source, target) if turned else (target, source)
        layouts = tuple(each.layout() for each in (pair if carrier is None else (known[carrier], *pair)))
        lengths = (target.length.expression(), source.length.expression())
        name = self._known(SizeInput("", "matrix", "float32", layouts, lengths, resize=how, turned=turned))
        if carrier is not None:
            kept = {carrier, tensor.rank - 2, tensor.rank - 1}
            name = self._emitter.unsqueeze(name, [at for at in range(tensor.rank) if at not in kept])
        name = name if tensor.dtype == _FLOAT else self._emitter.cast(name, tensor.dtype)
        self.places += 1
        name = self._emitter.node("MatMul", [tensor.name, name] if turned else [name, tensor.name], kind="resized")
        fills = {at: 0.0 for at, fill in tensor.fills.items() if fill == 0 and at != axis} | {axis: 0.0}
        # Some weights of a cubic curve are negative.
        bounds = {"low": -math.inf, "high": math.inf} if how.mode == "cubic" else {}
        return tensor.changed(name=name, axes=(*known[:axis], target, *known[axis + 1 :]), fills=fills, **bounds)

    def _known(self, spec: SizeInput) -> str:
        """Return an extra input, or a constant where it is the same at all sizes."""
        if any(variables_of(length) for length in spec.expressions):
            return self._emitter.size_input(spec)
        return self._emitter.constant(fill_size_input(spec, {}, {}))

    def edge(self, tensor: Tensor, axis: int) -> Tensor:
        """Return the tensor with its last valid slice along ``axis``, which is compact, repeated in the padding."""
        found = tensor.known_axes[axis]
        key = (tensor.name, axis, "edge")
        if key in self._done:
            return self._done[key]
        if self.rows is None or not tensor.finite or tensor.dtype != _FLOAT:
            # Positions beyond the end are only told of an axis of one length, not of a product of several.
            self._done[key] = self.gather(tensor, axis, grid(found.length), as_length(0), 1, "edge")
            return self._done[key]
        # Per row, which a gathering of slices cannot do: what is valid, plus the last slice wherever it is not.
        self.places += 1
        emitter = self._emitter
        edge = self.position(tensor, axis, found.length - 1, keep=True)
        kept = emitter.node("Mul", [tensor.name, self.valid(tensor, [axis])])
        repeated = emitter.node("Mul", [edge, self.valid(tensor, [axis], on=0.0, off=1.0)])
        name = emitter.node("Add", [kept, repeated], kind="edge")
        fills = {at: fill for at, fill in tensor.fills.items() if at != axis}
        self._done[key] = tensor.changed(name=name, fills=fills)
        return self._done[key]

    def position(self, tensor: Tensor, axis: int, at: Length, *, keep: bool) -> str:
        """Return what a finite tensor of floats holds at one position along ``axis``, which may be another per row.

        Args:
            tensor: What is read.
            axis: Along which.
            at: The position at the exact size.
            keep: Whether the axis stays, of length 1.
        """
        spec = SizeInput("", "at", "float32", expressions=(at.expression(),))
        chosen = self._emitter.node("Mul", [tensor.name, self.companion(tensor, [axis], spec)])
        return self._emitter.reduce("ReduceSum", chosen, [axis], keepdims=int(keep))

    def companion(self, tensor: Tensor, axes: Sequence[int], spec: SizeInput, *, dtype: int | None = None) -> str:
        """Return an extra input that can be multiplied with ``tensor``.

        Args:
            tensor: What it is meant for; where it has an axis that counts rows, each row has its own line.
            axes: The axes that the input has besides, in order.
            spec: The input; its layouts are set here.
            dtype: Its element type in the graph; the tensor's by default.
        """
        known = tensor.known_axes
        variables = frozenset().union(*(known[axis].variables for axis in axes)) | frozenset().union(
            *(as_length(expression).variables for expression in spec.expressions)
        )
        no_data(variables)
        places = set(axes)
        if self.rows is not None and variables - {self.rows}:
            carrier = next((at for at, axis in enumerate(known) if axis.has_factor(self.rows)), None)
            if carrier is None:
                self.agree(variables)
            else:
                # Nothing is set along what the carrier counts besides: a softmax there would be of infinities alone.
                joined = carrier not in places and bool(known[carrier].variables - {self.rows})
                spec = replace(spec, whole_rows=spec.kind == "valid" and joined)
                places.add(carrier)
        order = sorted(places)
        layouts: tuple[Layout, ...] = tuple(known[at].layout() for at in order)
        base = self._emitter.size_input(replace(spec, layouts=layouts) if layouts else spec)
        added = [at for at in range(tensor.rank) if at not in places] if layouts else list(range(tensor.rank - 1))
        shaped = self._emitter.unsqueeze(base, added) if tensor.rank else self._emitter.squeeze(base, [0])
        wanted = tensor.dtype if dtype is None else dtype
        return shaped if wanted == _FLOAT else self._emitter.cast(shaped, wanted)

    def valid(
        self, tensor: Tensor, axes: Sequence[int], *, dtype: int | None = None, on: float = 1.0, off: float = 0.0
    ) -> str:
        """Return a mask of the valid positions along ``axes`` that can be combined with ``tensor``."""
        beside = [axis for axis in axes if _data_and_sizes(tensor.known_axes[axis])]
        if beside:
            return self._valid_beside_data(tensor, axes, on, off, tensor.dtype if dtype is None else dtype)
        spec = SizeInput("", "valid", "float32", on=on, off=off)
        return self.companion(tensor, axes, spec, dtype=dtype)

    def _valid_beside_data(self, tensor: Tensor, axes: Sequence[int], on: float, off: float, dtype: int) -> str:
        """Return the same where data makes a part of an axis: as many positions less than there are as sizes lack.

        Raises:
            Refused: What data makes and what sizes make cannot be told apart, or valid positions are not the first.
        """
        emitter, known = self._emitter, tensor.known_axes[axes[0]]
        own = _data_and_sizes(known)
        if own is None or len(axes) > 1 or not known.is_prefix or emitter.opset < 13:
            raise Refused("data makes a part of an axis whose end it needs")
        self.agree(own.variables)
        there = emitter.size_input(SizeInput("", "valid", "float32", (grid(own).layout(),), on=0.0, off=1.0))
        missing = emitter.cast(emitter.reduce("ReduceSum", there, [0], keepdims=1), _INT64)
        whole = emitter.part_of_shape(tensor.name, axes[0], axes[0] + 1)
        zero, one = (emitter.constant(np.array(number, np.int64)) for number in (0, 1))
        counted = emitter.once("Range", [zero, emitter.squeeze(whole, [0]), one])
        line = emitter.once("Less", [counted, emitter.once("Sub", [whole, missing])])
        mask = emitter.unsqueeze(line, [at for at in range(tensor.rank) if at != axes[0]])
        if dtype == _BOOL and (on, off) == (1.0, 0.0):
            return mask
        numbers = [emitter.constant(np.array(number, numpy_type(dtype))) for number in (on, off)]
        return emitter.once("Where", [mask, *numbers])

    def agree(self, variables: frozenset[str]) -> None:
        """Note that something is the same for all rows of a batch, so that they must agree in these variables."""
        if self.rows is not None:
            self.uniform |= variables - {self.rows}

    def _over_rows(self, tensor: Tensor, axes: Sequence[int], mask: str) -> str:
        """Return a mask along the last axis repeated for all rows of an image of fixed height.

        Onnxruntime multiplies plane by plane then, not row by row, which takes half the time.
        """
        rows = tensor.known_axes[-2].constant if tensor.rank > 3 else None
        if rows in (None, 1) or list(axes) != [tensor.rank - 1] or self._emitter.opset < 8:
            return mask
        shape = np.ones(tensor.rank, np.int64)
        shape[-2] = rows
        return self._emitter.once("Expand", [mask, self._emitter.constant(shape)])

    def _dequantised(self, tensor: Tensor, axes: Sequence[int]) -> str:
        """Clean the quantised numbers, so that backends still see them dequantised right before they are used."""
        source = tensor.dequantised
        assert source is not None
        name = self._cleaned(source.tensor, axes, source.point)
        return self._emitter.node("DequantizeLinear", [name, *source.parameters], kind="clean", **source.attributes)

    def _cleaned(self, tensor: Tensor, axes: Sequence[int], fill: float) -> str:
        emitter, dtype = self._emitter, numpy_type(tensor.dtype)
        if dtype.kind == "b":
            mask = self.valid(tensor, axes, dtype=_BOOL)
            if fill > 0:
                return emitter.node("Or", [tensor.name, emitter.once("Not", [mask])], kind="clean")
            return emitter.node("And", [tensor.name, mask], kind="clean")
        if dtype.kind in "iu" and dtype.itemsize < 4:
            # Few operators know these types; the numbers are no others in a wider one.
            wide = replace(tensor, name=emitter.cast(tensor.name, _INT32), dtype=_INT32)
            return emitter.cast(self._cleaned(wide, axes, fill), tensor.dtype)
        if fill == 0 and tensor.finite:
            mask = self._over_rows(tensor, axes, self.valid(tensor, axes))
            return emitter.node("Mul", [tensor.name, mask], kind="clean")
        if math.isinf(fill) and tensor.finite and dtype.kind == "f" and emitter.opset >= 8:
            # The smaller of the two is the value itself where it is valid; nothing is added or rounded.
            bound = self.valid(tensor, axes, on=-fill, off=fill)
            return emitter.node("Min" if fill < 0 else "Max", [tensor.name, bound], kind="clean")
        constant = emitter.constant(np.array(int(fill) if dtype.kind in "iu" else fill, dtype))
        return emitter.node("Where", [self.valid(tensor, axes, dtype=_BOOL), tensor.name, constant], kind="clean")


def _data_and_sizes(axis: Axis) -> Length | None:
    """Return what sizes make of an axis' length beside data; None where either makes all of it, or both a product."""
    parts = [Length(()), Length(())]
    for term in axis.length.terms:
        each = Length((term,))
        kinds = {name.startswith(DATA) for name in each.variables}
        if len(kinds) > 1:
            return None
        parts[0 if kinds == {True} else 1] += each
    return parts[1] if parts[0].variables and parts[1].variables else None


def _at_least(number: Length, count: int) -> Length:
    """Return 0 where the number is below the count, else something above 0."""
    return larger(number + (1 - count), as_length(0))


def _held(fill: float, dtype: np.dtype[Any]) -> float:
    """Return the nearest number that an element type holds."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return max(fill, info.min) if fill < 0 else min(fill, info.max)
    return float(fill > 0) if dtype.kind == "b" else fill
