"""Slice, Split and Pad: which positions are taken, and what is added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length, larger, smaller
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.parts import known_elements
from scaling_tasks.analysis.refusal import NotKnown, no_data
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor, is_symbolic
from scaling_tasks.shapes.size_inputs import SizeInput

_INT64 = 7
_FAR = 1 << 30
"""Exporters write a number beyond every size for "to the end"."""


@operator("Slice", sizes=(1, 2, 3, 4))
def follow_slice(op: Operation) -> Tensor:
    """Follow Slice."""
    tensor = op.input(0)
    if any(op.has(at) and op.input(at).value is None for at in (1, 2)):
        return _between(op)
    starts, ends = (op.numbers(at, name) or [] for at, name in ((1, "starts"), (2, "ends")))
    given = op.constants(3, "axes") or list(range(len(starts)))
    places = [op.axis(axis, tensor.rank) for axis in given]
    steps = op.constants(4) or [1] * len(starts)
    axes, fills, done = list(tensor.known_axes), dict(tensor.fills), []
    for at, place in enumerate(places):
        found = axes[place]
        start, count = _bounds(op, found.length, starts[at], ends[at], steps[at])
        if len(count.variables) == 1 and op.domain.equal(count, as_length(*count.variables)):
            count = as_length(*count.variables)
        piece = _pieces(op, found, start, count) if steps[at] == 1 else None
        if piece is not None:
            axes[place] = piece
            continue
        if op.rows is not None and op.rows in found.variables:
            op.mixes(found)
        first = op.domain.constant(start)
        if first is None or (steps[at] < 0 and found.variables) or not found.is_prefix:
            op.realign(0, place, grid(count), first=start, step=steps[at])
            done.append(at)
            fills.pop(place, None)
        elif not op.domain.at_most(found.length, start + count * steps[at]):
            fills.pop(place, None)  # What follows the last position that is taken is no padding.
        axes[place] = grid(count)
    if done:
        _without(op, [at for at in range(len(places)) if at not in done], places)
    tensor = op.input(0)
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


def _between(op: Operation) -> Tensor:
    """Follow Slice along one axis between bounds of which data decides one: all that it takes is valid.

    Raises:
        NotKnown: It is of another form.
    """
    at, place, step = _one_axis(op)
    axis = op.mix(0, place)
    if len(op.input(1).known_axes) and op.input(1).known_axes[0].constant != 1:
        _bound_only(op, at, place, step)
    if op.padded(axis):
        op.newly_cleaned |= op.padded(axis)
        for index in (1, 2):
            _count_from_start(op, index, axis.length)
    tensor = op.input(0)
    kept = [*tensor.known_axes[:place], op.data_axis(), *tensor.known_axes[place + 1 :]]
    fills = {at: fill for at, fill in tensor.fills.items() if at != place}
    return op.result(kept, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


def _one_axis(op: Operation) -> tuple[int, int, int]:
    """Return which of the bounds data decides, the axis that they bound, and its step; all other axes stay whole.

    Raises:
        NotKnown: Data decides more, or something else is cut too.
    """
    bounds = [op.input(index) for index in (1, 2)]
    unknown = NotKnown(next(index for index in (1, 2) if op.input(index).value is None))
    elements = [known_elements(op, bound) for bound in bounds]
    if op.opset < 12:
        unknown.fix = "Export the model with opset 12 or newer."
    if op.opset < 12 or None in elements or any(is_symbolic(bound.value) or bound.rank != 1 for bound in bounds):
        raise unknown
    pairs = list(zip(*[each for each in elements if each is not None], strict=True))
    axes, steps = op.constants(3) or list(range(len(pairs))), op.constants(4) or [1] * len(pairs)
    tensor, found = op.input(0), []
    for at, (start, end) in enumerate(pairs):
        place = op.axis(axes[at], tensor.rank)
        length = tensor.known_axes[place].length
        if None in (start, end) or len(pairs) == 1:
            found.append((at, place, steps[at]))
        elif steps[at] != 1 or start != 0 or not op.domain.at_most(length, as_length(end)):
            raise unknown
    if len(found) != 1 or found[0][2] < 1:
        raise unknown
    return found[0]


def _bound_only(op: Operation, at: int, place: int, step: int) -> None:
    """Let the node cut one axis alone, by the bounds at this place among those that it has."""
    for index in (1, 2):
        name = op.emitter.node("Gather", [op.input(index).name, op.emitter.numbers([at])])
        op.use(index, op.input(index).changed(name, axes=(grid(1),)))
    dtype = np.int64 if op.input(1).dtype == _INT64 else np.int32
    del op.node.input[3:]
    op.node.input.extend(op.emitter.constant(np.array([each], dtype)) for each in (place, step))


def _count_from_start(op: Operation, index: int, length: Length) -> None:
    """Let a bound be what it is at the exact length, where a bucket would count and clamp otherwise."""
    emitter, bound = op.emitter, op.input(index)
    no_data(length.variables)
    op.around.cleaner.agree(length.variables)
    true = emitter.size_input(SizeInput("", "value", "int64", expressions=(length.expression(),)))
    true = true if bound.dtype == _INT64 else emitter.cast(true, bound.dtype)
    zero = emitter.constant(np.array([0], np.int64 if bound.dtype == _INT64 else np.int32))
    turned = emitter.once("Add", [bound.name, true])
    name = emitter.once("Where", [emitter.once("Less", [bound.name, zero]), turned, bound.name])
    op.use(index, bound.changed(emitter.once("Min", [emitter.once("Max", [name, zero]), true])))


def _bounds(op: Operation, length: Length, start: Length, end: Length, step: int) -> tuple[Length, Length]:
    """Return the first position and how many there are, as the operator's definition clamps them."""
    if step > 0:
        first, last = _inside(op, start, end, length)
        count = (last - first + (step - 1)) // step
    else:
        first, last = _counted(op, start, length), _counted(op, end, length)
        if (end.constant or 0) <= -_FAR:
            last = as_length(-1)
        first, last = _within(op, first, as_length(0), length - 1), _within(op, last, as_length(-1), length - 1)
        count = (first - last + (-step - 1)) // -step
    return first, count if op.domain.at_most(as_length(0), count) else larger(as_length(0), count)


def _inside(op: Operation, start: Length, end: Length, length: Length) -> tuple[Length, Length]:
    """Return two bounds as the operator's definition clamps them.

    A part of a table that begins where sizes say, as rows of a causal mask do, has to lie within it: beyond, fewer
    positions would come of larger sizes, which no bucket could hold. The same goes for one that ends where the table
    does, and begins before its start from one size on.
    """

    def clamped() -> tuple[Length, Length]:
        first, last = (_counted(op, bound, length) for bound in (start, end))
        return _within(op, first, as_length(0), length), _within(op, last, as_length(0), length)

    first, last = clamped()
    if not start.variables or length.variables or op.around.place:
        return first, last
    beyond, falls = _counted(op, end, length), op.domain.grows(-start) and bool((op.domain.values(start) > 0).any())
    for held, bound in ((smaller(beyond, length), beyond), *([(larger(start, as_length(0)), start)] if falls else [])):
        if not op.domain.grows(last - first) and op.domain.require(held, bound):
            first, last = clamped()
    return first, last


def _counted(op: Operation, bound: Length, length: Length) -> Length:
    """Return a bound that may be counted from the end as one counted from the start."""
    number = bound.constant
    if number is not None:
        if number >= _FAR or number <= -_FAR:
            return length if number > 0 else as_length(0)
        return length + bound if number < 0 else bound
    if op.domain.at_most(as_length(0), bound):
        return bound
    if op.domain.at_most(bound, as_length(-1)):
        return length + bound
    negative = smaller(larger(-bound, as_length(0)), as_length(1))
    return bound + length * negative


def _within(op: Operation, bound: Length, low: Length, high: Length) -> Length:
    if not op.domain.at_most(low, bound):
        bound = larger(low, bound)
    return bound if op.domain.at_most(bound, high) else smaller(bound, high)


def _pieces(op: Operation, axis: Axis, start: Length, count: Length) -> Axis | None:
    """Return the pieces of the axis from ``start`` on where they are whole ones."""
    if op.domain.equal(count, axis.length):
        return axis
    if len(axis.pieces) == 1:
        return None
    kept: list[tuple[Length, ...]] = []
    before, inside = as_length(0), as_length(0)
    for piece in axis.pieces:
        length = Axis((piece,)).length
        if kept or op.domain.equal(before, start):
            if op.domain.equal(inside, count):
                break
            kept.append(piece)
            inside = inside + length
        before = before + length
    return Axis(tuple(kept)) if kept and op.domain.equal(inside, count) else None


def _without(op: Operation, kept: Sequence[int], places: Sequence[int]) -> None:
    """Let the node cut only the axes that are left to it."""
    if not kept:
        op.emitter.into(op.node.output[0], "Identity", [op.node.input[0]])
        op.replaced = True
        return
    if op.opset < 10:
        what = "its bounds are attributes and follow the sizes of the request"
        raise Refused(what, "Export the model with opset 10 or newer.")
    chosen = op.emitter.numbers(kept)
    while len(op.node.input) < 5:
        op.node.input.append("")
        op.inputs.append(None)
    for at in (1, 2, 4):
        if op.node.input[at]:
            op.node.input[at] = op.emitter.node("Gather", [op.node.input[at], chosen])
    dtype = np.int64 if op.inputs[1] is None or op.inputs[1].dtype == 7 else np.int32
    op.node.input[3] = op.emitter.constant(np.array([places[at] for at in kept], dtype))


@operator("Split", sizes=(1,))
def follow_split(op: Operation) -> Sequence[Tensor]:
    """Follow Split."""
    tensor = op.input(0)
    place = op.axis(int(op.attribute("axis", 0)), tensor.rank)
    axis = tensor.known_axes[place]
    lengths = op.numbers(1, "split")
    outputs = len(op.node.output)
    if lengths is None:
        each = (axis.length + (outputs - 1)) // outputs
        lengths = [*[each] * (outputs - 1), axis.length - each * (outputs - 1)]
    elif not op.around.place:
        op.domain.require(sum(lengths, as_length(0)), axis.length)
    parts: list[tuple[Axis, Length, bool]] = []
    start = as_length(0)
    for length in lengths:
        piece = _pieces(op, axis, start, length)
        plain = axis.is_prefix and op.domain.constant(start) is not None
        parts.append((piece if piece is not None else grid(length), start, piece is not None or plain))
        start = start + length
    if any(not followed for _, _, followed in parts):
        return _gathered(op, tensor, place, parts)
    if op.rows is not None and op.rows in axis.variables and outputs > 1:
        op.mixes(axis)
    found = []
    for at, (part, first, _) in enumerate(parts):
        axes = [*tensor.known_axes[:place], part, *tensor.known_axes[place + 1 :]]
        ends = op.domain.equal(first + part.length, axis.length) or axis.constant is not None
        fills = {key: fill for key, fill in tensor.fills.items() if key != place or ends}
        found.append(
            op.result(
                axes, tensor.dtype, output=at, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high
            )
        )
    return found


def _gathered(op: Operation, tensor: Tensor, place: int, parts: Sequence[tuple[Axis, Length, bool]]) -> list[Tensor]:
    """Take each part by its positions at the exact size, since these are others in the bucket."""
    op.newly_cleaned |= op.padded(tensor.known_axes[place])
    found = []
    for at, (part, first, _) in enumerate(parts):
        taken = op.around.cleaner.gather(tensor, place, grid(part.length), first, 1, "step")
        op.emitter.into(op.node.output[at], "Identity", [taken.name])
        result = op.result(taken.axes, tensor.dtype, output=at, finite=tensor.finite, low=tensor.low, high=tensor.high)
        found.append(replace(result, fills=taken.fills))
    op.replaced = True
    return found


@operator("Pad", sizes=(1, 3), domain="com.microsoft")
@operator("Pad", sizes=(1, 3))
def follow_pad(op: Operation) -> Tensor:
    """Follow Pad: what is added at the end must begin where the valid positions end."""
    tensor = op.input(0)
    pads = op.numbers(1, "pads") or []
    given = op.constants(3) if op.has(3) else None
    places = [op.axis(axis, tensor.rank) for axis in (given if given is not None else range(tensor.rank))]
    half = len(pads) // 2
    mode = op.attribute("mode", "constant")
    value = _constant(op)
    axes, fills, moved = list(tensor.known_axes), {}, []
    fills = dict(tensor.fills)
    for at, place in enumerate(places):
        before, after = pads[at], pads[at + half]
        if before.constant == 0 and after.constant == 0:
            continue
        found = axes[place]
        if op.rows is not None and op.rows in found.variables:
            op.mixes(found)
        op.needs(0, found.length + before + after)
        if mode == "reflect":
            op.needs(before + 1, found.length)
            op.needs(after + 1, found.length)
        if mode != "constant" and found.variables:
            _mirrors_all(op, mode, before, after)
            target = grid(found.length + before + after)
            op.realign(0, place, target, first=-before, mode=str(mode))
            moved.append(at)
            axes[place] = target
            fills.pop(place, None)
            continue
        if op.domain.constant(before) is None:
            axes[place] = _led(op, place, before, after, value)
            fills = {key: fill for key, fill in fills.items() if key != place and fill == value}
            moved.append(at)
            continue
        axes[place] = _padded(op, place, before, after, value, fills)
        if mode == "constant":
            # The added positions hold the value also beyond the ends of other axes.
            fills = {key: fill for key, fill in fills.items() if key == place or fill == value}
        elif not found.variables:
            fills = {key: fill for key, fill in fills.items() if key != place}
    if moved:
        _only(op, places, pads, [at for at in range(len(places)) if at not in moved])
    tensor = op.input(0)
    ends = [tensor.low, tensor.high] if mode != "constant" else [min(tensor.low, value), max(tensor.high, value)]
    finite = tensor.finite and (mode != "constant" or math.isfinite(value))
    return op.result(axes, tensor.dtype, fills=fills, finite=finite, low=ends[0], high=ends[1])


def _mirrors_all(op: Operation, mode: str, before: Length, after: Length) -> None:
    """Make sure that positions which are cut off at one end are not what is repeated at the other.

    Raises:
        Refused: Some may be.
    """
    zero = as_length(0)
    taken = not all(op.domain.at_most(zero, each) for each in (before, after))
    added = not all(op.domain.at_most(each, zero) for each in (before, after))
    if mode != "edge" and taken and added:
        raise Refused("it takes positions away, and those that are left are mirrored or repeated")


def _led(op: Operation, place: int, before: Length, after: Length, value: float) -> Axis:
    """Add another number of positions at the start at each size: one at each end, read as often as is needed."""
    found = op.input(0).known_axes[place]
    if found.variables:
        found = op.compact(0, place).known_axes[place]
        op.clean(0, [place], value)
    op.use(0, op.around.cleaner.extended(op.input(0), place, as_length(1), [1], 2, value))
    target = grid(found.length + before + after)
    op.realign(0, place, target, first=as_length(1) - before, mode="edge")
    return target


def _padded(op: Operation, place: int, before: Length, after: Length, value: float, fills: dict[int, float]) -> Axis:
    found = op.input(0).known_axes[place]
    if found.variables:
        found = op.compact(0, place).known_axes[place]
        if place not in op.input(0).fills:
            fills.pop(place, None)
        if not op.domain.at_most(after, as_length(0)):
            op.clean(0, [place], value)
            fills[place] = value
        elif not op.domain.at_most(as_length(0), after):
            fills.pop(place, None)
    elif after.variables:
        fills[place] = value
    return grid(found.length + before + after)


def _constant(op: Operation) -> float:
    if op.opset < 11:
        return float(op.attribute("value", 0.0))
    if not op.has(2):
        return 0.0
    tensor = op.inputs[2]
    if tensor is None or tensor.value is None or tensor.value.size != 1:
        raise Refused("what it pads with depends on data")
    return float(tensor.value.reshape(-1)[0])


def _only(op: Operation, places: Sequence[int], pads: Sequence[Length], kept: Sequence[int]) -> None:
    """Let the node pad only the axes that are left to it."""
    half = len(pads) // 2
    numbers = [0] * (2 * op.input(0).rank)
    for at in kept:
        for offset, pad in ((0, pads[at]), (op.input(0).rank, pads[at + half])):
            number = op.domain.constant(pad)
            if number is None:
                raise Refused(f"it adds {pad} positions along one axis and mirrors another")
            numbers[places[at] + offset] = number
    if not any(numbers):
        op.emitter.into(op.node.output[0], "Identity", [op.node.input[0]])
        op.replaced = True
    elif op.opset < 11:
        attribute = next(each for each in op.node.attribute if each.name == "pads")
        attribute.ints[:] = numbers
    else:
        op.node.input[1] = op.emitter.numbers(numbers)
        if len(op.node.input) > 3:
            op.node.input[3] = ""
