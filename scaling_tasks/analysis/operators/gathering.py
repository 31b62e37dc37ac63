"""Operators that read or write positions by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.counted import every_position, every_vector
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.behaviour import DATA
from scaling_tasks.shapes.size_inputs import SizeInput

__all__ = ["alike", "from_start", "needs_numbers", "own_rows", "safe_numbers"]


@operator("Gather")
def follow_gather(op: Operation) -> Tensor:
    """Follow Gather: constant numbers, or computed ones."""
    data, indices = op.input(0), op.input(1)
    place = op.axis(int(op.attribute("axis", 0)), data.rank)
    axis = data.known_axes[place]
    if axis.variables and (found := every_position(op, place)) is not None:
        return found
    if axis.variables:
        op.mixes(axis)
        if axis.is_prefix or op.padded(axis):
            data = op.compact(0, place)
    if indices.is_constant and indices.value is not None:
        numbers = indices.value.reshape(-1)
        needs_numbers(op, 1, [axis.length])
        if op.padded(axis) and bool((numbers < 0).any()):
            if numbers.size == 1 and indices.value.ndim < 2:
                return _from_end(op, place)
            from_start(op, 1, [op.input(0).known_axes[place].length])
    else:
        _end_with(op, axis)
        safe_numbers(op, 1, [op.input(0).known_axes[place].length])
        indices = op.input(1)
    data = op.input(0)
    axes = [*data.known_axes[:place], *indices.known_axes, *data.known_axes[place + 1 :]]
    fills = {at: fill for at, fill in data.fills.items() if at < place}
    fills |= {at + indices.rank - 1: fill for at, fill in data.fills.items() if at > place}
    if not indices.is_constant:
        fills |= {place + at: data.uniform for at in range(indices.rank) if data.uniform is not None}
    return op.result(axes, data.dtype, fills=fills, finite=data.finite, low=data.low, high=data.high)


def needs_numbers(op: Operation, index: int, lengths: Sequence[Length]) -> None:
    """Note that the model runs only where constant numbers lie within axes of the given lengths.

    Args:
        op: The operator.
        index: The input that may hold them.
        lengths: Where there are several, the last axis of the numbers has one coordinate for each.
    """
    known = op.value_of(index)
    if known is not None and known.size:
        for length, numbers in zip(lengths, known.reshape(-1, len(lengths)).T, strict=True):
            op.needs(int(max(numbers.max() + 1, -numbers.min())), length)


def _end_with(op: Operation, axis: Axis) -> None:
    """Note at which sizes numbers that count positions point beyond the end of a table of fixed length."""
    numbers, most = op.input(1), axis.constant
    if most is None or numbers.position is None or op.around.place:
        return
    length = numbers.position.first + as_length(1)
    for at, step in numbers.position.steps.items():
        if not op.domain.at_most(as_length(0), step):
            return
        length = length + step * (numbers.known_axes[at].length - 1)
    if length.variables.isdisjoint({op.rows}) and not any(name.startswith(DATA) for name in length.variables):
        op.domain.end_at(length, most)


def _from_end(op: Operation, place: int) -> Tensor:
    """Take the position that is so far from the end at the exact size: by a mask, which can differ per row."""
    data, numbers = op.input(0), op.value_of(1)
    assert numbers is not None
    length = data.known_axes[place].length
    position = length + int(numbers.reshape(-1)[0])
    op.newly_cleaned |= op.padded(data.known_axes[place])
    if not data.finite or data.dtype not in (1, 10, 11):
        target = grid(1)
        taken = op.around.cleaner.gather(data, place, target, position, 1, "step")
        name = taken.name
        if numbers.ndim == 0:
            name = op.emitter.squeeze(name, [place])
        op.emitter.into(op.node.output[0], "Identity", [name])
    else:
        name = op.around.cleaner.position(data, place, position, keep=numbers.ndim > 0)
        op.emitter.into(op.node.output[0], "Identity", [name])
    op.replaced = True
    kept = [grid(1)] if numbers.ndim else []
    axes = [*data.known_axes[:place], *kept, *data.known_axes[place + 1 :]]
    shift = len(kept) - 1
    fills = {at if at < place else at + shift: fill for at, fill in data.fills.items() if at != place}
    return op.result(axes, data.dtype, fills=fills, finite=data.finite, low=data.low, high=data.high)


def safe_numbers(op: Operation, index: int, lengths: Sequence[Length], *, clamp: bool = True) -> None:
    """Make computed numbers count from the start of axes of the given lengths, and those of padding point somewhere.

    Args:
        op: The operator.
        index: The input that holds them.
        lengths: Where there are several, the last axis of the numbers has one coordinate for each.
        clamp: Whether those of padding may point anywhere, so that they need no mask; else they point to the first.
    """
    indices = op.input(index)
    padded = [at for at, axis in enumerate(indices.known_axes) if op.padded(axis)]
    # Numbers computed from padding may lie outside of what is read.
    held = indices.low >= 0 and all(
        indices.high < (1 << 31) and op.domain.at_most(as_length(int(indices.high) + 1), length) for length in lengths
    )
    # What the runtime pads with is 0: clamped, a request's own numbers that lie outside would be answered as others.
    if not held and padded and any(indices.fills.get(at) != 0 for at in padded):
        if clamp and op.opset >= 12 and indices.dtype in (6, 7) and not any(length.variables for length in lengths):
            _clamp(op, index, [int(length.constant or 0) for length in lengths])
        else:
            op.clean(index, padded, 0.0)
    if indices.low < 0 and any(_follows_sizes(length) for length in lengths):
        from_start(op, index, lengths)


def _clamp(op: Operation, index: int, lengths: Sequence[int]) -> None:
    """Keep numbers within axes of fixed lengths, which those that count are at every exact size."""
    emitter, indices = op.emitter, op.input(index)
    ends = np.array(lengths, _numpy(indices.dtype))
    last = emitter.constant(ends - 1 if len(lengths) > 1 else (ends - 1)[0])
    name = emitter.once("Min", [indices.name, last])
    if indices.low < 0:
        name = emitter.once("Max", [name, emitter.constant(-ends if len(lengths) > 1 else -ends[0])])
    op.use(index, replace(indices.changed(name=name, fills={}), positions=indices.positions))


def _follows_sizes(length: Length) -> bool:
    """Whether a bucket's length may be another: what data decides is the same in it."""
    return any(not name.startswith(DATA) for name in length.variables)


def from_start(op: Operation, index: int, lengths: Sequence[Length]) -> None:
    """Add the true lengths to negative numbers, but for lengths that data decides.

    Raises:
        Refused: Whole numbers cannot be compared.
    """
    if op.opset < 9:
        raise Refused("it counts from the end", "Export the model with opset 9 or newer.")
    emitter, indices = op.emitter, op.input(index)
    fixed = np.array(
        [0 if length.variables else int(length.constant or 0) for length in lengths], _numpy(indices.dtype)
    )
    told = emitter.constant(fixed)
    for at, length in enumerate(lengths):
        if _follows_sizes(length):
            op.newly_cleaned |= length.variables - {op.rows}
            spec = SizeInput("", "value", "int64", expressions=(length.expression(),))
            number = op.around.cleaner.companion(indices, [], spec, dtype=indices.dtype)
            if len(lengths) > 1:
                number = emitter.once("Mul", [number, emitter.constant(np.eye(len(lengths), dtype=fixed.dtype)[at])])
            told = emitter.once("Add", [told, number]) if len(lengths) > 1 else number
    below = emitter.once("Less", [indices.name, emitter.constant(np.array(0, _numpy(indices.dtype)))])
    name = emitter.once("Where", [below, emitter.once("Add", [indices.name, told]), indices.name])
    low = 0.0 if all(_follows_sizes(length) or not length.variables for length in lengths) else indices.low
    op.use(index, indices.changed(name=name, low=low, fills={}))


def _numpy(dtype: int) -> Any:
    return np.int64 if dtype == 7 else np.int32


@operator("GatherElements")
def follow_gather_elements(op: Operation) -> Tensor:
    """Follow GatherElements."""
    data, indices = op.input(0), op.input(1)
    place = op.axis(int(op.attribute("axis", 0)), data.rank)
    op.mix(0, place)
    alike(op, 0, 1, place)
    lengths = [op.input(0).known_axes[place].length]
    needs_numbers(op, 1, lengths)
    safe_numbers(op, 1, lengths)
    data, indices = op.input(0), op.input(1)
    return op.result(indices.known_axes, data.dtype, finite=data.finite, low=data.low, high=data.high)


def alike(op: Operation, index: int, other: int, place: int) -> None:
    """Let positions of two inputs mean the same along all axes but one; the second may be shorter."""
    for at in range(op.input(index).rank):
        left, right = op.input(index).known_axes[at], op.input(other).known_axes[at]
        if at == place or left.normal == right.normal:
            continue
        for axis in (left, right):
            if axis.variables:
                op.mixes(axis)
        if left.is_prefix and right.is_prefix:
            continue
        op.same_axis(index, at, other, at)


@operator("GatherND", domain="com.microsoft")
@operator("GatherND")
def follow_gather_nd(op: Operation) -> Tensor:
    """Follow GatherND."""
    data, indices = op.input(0), op.input(1)
    batch = int(op.attribute("batch_dims", 0))
    depth = indices.known_axes[-1].constant
    if depth is None:
        raise Refused("how many axes it reads along follows the sizes of the request")
    if (found := every_vector(op)) is not None:
        return found
    for at in range(batch):
        op.same_axis(0, at, 1, at)
    alone = batch == 0 and own_rows(op, indices.rank - 1) is not None
    places = range(batch, batch + depth)
    for at in places[int(alone) :]:
        op.mix(0, at)
    # A row's own number is never counted from the end.
    lengths = [as_length(0) if alone and not at else op.input(0).known_axes[at].length for at in places]
    needs_numbers(op, 1, lengths)
    safe_numbers(op, 1, lengths, clamp=not alone)
    data, indices = op.input(0), op.input(1)
    axes = [*indices.known_axes[:-1], *data.known_axes[batch + depth :]]
    found = op.result(axes, data.dtype, finite=data.finite, low=data.low, high=data.high)
    return replace(found, counts_rows=data.counts_rows) if alone else found


def own_rows(op: Operation, last: int) -> int | None:
    """Return the axis of numbers that counts rows where each reads or writes itself: ``x[arange(rows), places]``."""
    data, indices = op.input(0), op.input(1)
    told = indices.positions[0] if indices.positions else None
    if op.rows is None or told is None or told.first.terms or len(told.steps) != 1:
        return None
    ((at, step),) = told.steps.items()
    same = at < last and indices.known_axes[at] == data.known_axes[0] == grid(op.rows)
    others = (other for other in indices.positions[1:] if other is not None)
    return at if same and step.constant == 1 and not any(at in other.steps for other in others) else None


@operator("ReverseSequence")
def follow_reverse_sequence(op: Operation) -> Tensor:
    """Follow ReverseSequence: it turns round what its lengths say, wherever the tensor ends."""
    tensor = op.input(0)
    place, batch = (
        op.axis(int(op.attribute(f"{kind}_axis", at)), tensor.rank) for at, kind in enumerate(("time", "batch"))
    )
    op.mix(0, place)
    op.same_axis(0, batch, 1, 0)
    tensor = op.input(0)
    return op.result(tensor.known_axes, tensor.dtype, finite=tensor.finite, low=tensor.low, high=tensor.high)
