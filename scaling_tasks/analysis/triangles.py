"""Causal masks: what tensors hold where one position comes later than another.

A softmax over keys needs nothing at the end where each valid query sees no key behind itself: all padding is behind it.
That follows from the mask's own construction, so it is followed: a triangle that is stored, cut out (Trilu) or compared
of two counts (Range) through casts, products, sums and choices up to the scores. Of each tensor two intervals are known
then: of what it holds where the column is behind the row, and of what it holds elsewhere.

What a product with weights or of queries and keys gives counts as no larger than 1e30, as numbers near the end of the
float's range count as overflow in all of the analysis: then -3.4e38, which exporters write for minus infinity, lies
below every one of them, and weighs exactly nothing beside any: of exp(x - largest) nothing is left 104 below. Inputs
may hold such numbers themselves, as masks that are added. A smaller number, such as -1e4, lies below scores of which
narrower bounds are known only; else padding is cleaned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scaling_tasks.analysis.intervals import COMBINED, EVERYTHING, Interval, truth
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.order import Triangle
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["follow_order", "hidden_axes", "sees_no_padding"]

_MODEST = 1e30
_PRODUCTS = ("MatMul", "Gemm", "Conv", "Einsum")
_COMBINING = ("Add", "Sub", "Mul", "Div")
_PASSING = (*_COMBINING, "Transpose", "Reshape", "Cast", "Identity", "Unsqueeze", "Squeeze", "Slice", "Split")
"""Of numbers that are no larger than scores are, these make others."""

_UNDERFLOW = 1000.0
"""Below the largest score by this much, exp gives 0 in double precision too (745)."""

_WIDE_FLOATS = (1, 11, 16)
_MOST = 1 << 24
"""Elements; larger constants are not looked through."""


def sees_no_padding(op: Operation, index: int, axis: int) -> bool:
    """Return whether what every valid row of a softmax weighs along ``axis`` is valid, and all rows are finite."""
    tensor = op.input(index)
    found = _triangle(op, tensor)
    if found is None or found.column != axis - tensor.rank or op.rows in tensor.known_axes[found.row].variables:
        return False
    row, column = tensor.known_axes[found.row], tensor.known_axes[found.column]
    # The last valid row comes before the first padded column, and each row has a column of its own to see.
    if not (row.is_prefix and column.is_prefix and op.domain.at_most(row.length, column.length)):
        return False
    low, high = found.seen
    # As a difference: beside -3.4e38 a thousand less is the same number, and a row of such scores weighs them all.
    return math.isfinite(low) and math.isfinite(high) and low - found.later[1] >= _UNDERFLOW


def hidden_axes(op: Operation, tensor: Tensor) -> frozenset[int]:
    """Return the axes, from the end, beyond whose end there are zeros wherever all other axes are valid."""
    return op.around.order.hidden.get(tensor.name, frozenset())


def follow_order(op: Operation, outputs: Sequence[Tensor]) -> None:
    """Note what is known of an operator's first output."""
    if op.replaced or not outputs or outputs[0].axes is None or outputs[0].is_constant:
        return
    if any(tensor is not None and tensor.axes is None for tensor in op.inputs):
        return
    if _is_modest(op, outputs[0]):
        op.around.order.modest |= {output.name for output in outputs}
    rule = _RULES.get(op.kind)
    if rule is not None:
        rule(op, outputs[0])


def _is_modest(op: Operation, output: Tensor) -> bool:
    if op.kind in _PRODUCTS:
        return True
    if op.kind not in _PASSING or output.dtype not in _WIDE_FLOATS:
        return False
    read = [op.input(at) for at in range(len(op.inputs) if op.kind in _COMBINING else 1)]
    return all(
        each.name in op.around.order.modest or max(abs(each.low), abs(each.high)) < math.sqrt(_MODEST) for each in read
    )


def _triangle(op: Operation, tensor: Tensor) -> Triangle | None:
    found = op.around.order.triangles.get(tensor.name)
    if found is not None or not tensor.is_constant or tensor.rank < 2:
        return found
    value = tensor.value
    if (
        value is None
        or value.dtype.kind not in "fiub"
        or 0 in value.shape
        or value.size > _MOST
        or min(value.shape[-2:]) < 2
    ):
        return None
    later = value[..., np.triu(np.ones(value.shape[-2:], bool), 1)]
    seen = value[..., np.tril(np.ones(value.shape[-2:], bool))]
    if later.size == 0 or np.isnan(seen).any() or np.isnan(later).any():
        return None
    return Triangle(-2, -1, *((float(part.min()), float(part.max())) for part in (later, seen)))


def _bounds(op: Operation, tensor: Tensor) -> Interval:
    if tensor.name in op.around.order.modest and tensor.dtype in _WIDE_FLOATS and tensor.finite:
        return max(tensor.low, -_MODEST), min(tensor.high, _MODEST)
    # Without a bound it may be no number at all.
    return (tensor.low, tensor.high) if tensor.finite or tensor.low == tensor.high else EVERYTHING


def _keep(op: Operation, output: Tensor, found: Triangle | None) -> None:
    if found is not None:
        op.around.order.triangles[output.name] = found


def _same_lengths(op: Operation, tensor: Tensor, output: Tensor, axes: Sequence[int]) -> bool:
    """Whether axes are not copied along: an element stays at its positions."""
    return all(
        tensor.rank >= -axis and op.domain.equal(tensor.known_axes[axis].length, output.known_axes[axis].length)
        for axis in axes
    )


def _elementwise(op: Operation, output: Tensor) -> None:
    tensors = [op.input(at) for at in range(len(op.inputs)) if op.has(at)]
    found = [_triangle(op, tensor) for tensor in tensors]
    known = next((each for each in found if each is not None), None)
    if known is None:
        _compared(op, output)
        return
    axes = (known.row, known.column)
    regions: list[list[Interval]] = [[], []]
    for tensor, own in zip(tensors, found, strict=True):
        usable = own is not None and (own.row, own.column) == axes and _same_lengths(op, tensor, output, axes)
        if tensor is tensors[found.index(known)] and not usable:
            return
        regions[0].append(own.later if usable and own is not None else _bounds(op, tensor))
        regions[1].append(own.seen if usable and own is not None else _bounds(op, tensor))
    combine = COMBINED[op.kind]
    _keep(op, output, replace(known, later=combine(regions[0]), seen=combine(regions[1])))


def _compared(op: Operation, output: Tensor) -> None:
    """Follow the comparison of two counts."""
    if op.kind not in _COMPARED or len(op.inputs) != 2:
        return
    counts = [op.around.order.counts.get(op.input(at).name) for at in (0, 1)]
    left, right = counts
    if left is None or right is None or left == right:
        return
    if not all(_same_lengths(op, op.input(at), output, [axis]) for at, axis in enumerate((left, right))):
        return
    # ``column > row`` may be asked either way round; the last axis is the column.
    later, seen = _COMPARED[op.kind][int(left > right)]
    _keep(op, output, Triangle(min(left, right), max(left, right), later, seen))


def _cast(op: Operation, output: Tensor) -> None:
    tensor = op.input(0)
    order = op.around.order
    if tensor.name in order.counts and output.dtype in (1, 6, 7, 11):
        order.counts[output.name] = order.counts[tensor.name]
    if tensor.name in order.hidden:
        order.hidden[output.name] = order.hidden[tensor.name]
    found = _triangle(op, tensor)
    if found is None:
        return
    if output.dtype == 9:
        _keep(op, output, replace(found, later=truth(found.later), seen=truth(found.seen)))
    elif output.dtype in _WIDE_FLOATS or tensor.dtype == 9:
        _keep(op, output, found)


def _choose(op: Operation, output: Tensor) -> None:
    """Follow Where, which also keeps zeros where it puts some in their place."""
    hidden = [hidden_axes(op, op.input(at)) if op.input(at).uniform != 0 else None for at in (1, 2)]
    known = [each for each in hidden if each is not None]
    if known:
        common = frozenset.intersection(*known)
        others = [op.input(at) for at in (1, 2) if hidden[at - 1] is not None]
        if common and all(_same_lengths(op, tensor, output, sorted(common)) for tensor in others):
            op.around.order.hidden[output.name] = common
    _elementwise(op, output)


def _moved(place: Callable[[Operation, Tensor, Tensor], dict[int, int]]) -> Callable[[Operation, Tensor], None]:
    """Return a rule for an operator that moves axes: from old ones, counted from the end, to new ones."""

    def follow(op: Operation, output: Tensor) -> None:
        tensor, order = op.input(0), op.around.order
        places = place(op, tensor, output)
        found, count = _triangle(op, tensor), order.counts.get(tensor.name)
        if found is not None and found.row in places and found.column in places:
            _keep(op, output, replace(found, row=places[found.row], column=places[found.column]))
        if count is not None and count in places:
            order.counts[output.name] = places[count]

    return follow


def _transposed(op: Operation, tensor: Tensor, output: Tensor) -> dict[int, int]:
    order = [int(axis) for axis in op.attribute("perm") or range(tensor.rank - 1, -1, -1)]
    return {old - tensor.rank: new - tensor.rank for new, old in enumerate(order)}


def _reshaped(op: Operation, tensor: Tensor, output: Tensor) -> dict[int, int]:
    """Match axes in order where only axes of length 1 come or go."""
    old, new = (
        [at - each.rank for at, axis in enumerate(each.known_axes) if axis.constant != 1] for each in (tensor, output)
    )
    if len(old) != len(new):
        return {}
    pairs = dict(zip(old, new, strict=True))
    same = all(op.domain.equal(tensor.known_axes[a].length, output.known_axes[b].length) for a, b in pairs.items())
    return pairs if same else {}


def _expanded(op: Operation, tensor: Tensor, output: Tensor) -> dict[int, int]:
    return {axis: axis for axis in range(-tensor.rank, 0) if _same_lengths(op, tensor, output, [axis])}


def _cut(op: Operation, tensor: Tensor, output: Tensor) -> dict[int, int]:
    """Follow Slice along axes of which it takes the first positions."""
    if any(op.has(at) and op.input(at).value is None for at in (1, 2)):
        return {}
    starts = op.numbers(1, "starts") or []
    given = op.constants(3, "axes") or list(range(len(starts)))
    steps = op.constants(4) or [1] * len(starts)
    moved = {
        op.axis(axis, tensor.rank) - tensor.rank
        for axis, start, step in zip(given, starts, steps, strict=True)
        if step != 1 or op.domain.constant(start) != 0
    }
    return {axis: axis for axis in range(-tensor.rank, 0) if axis not in moved}


def _count(op: Operation, output: Tensor) -> None:
    if op.has(0) and op.has(2) and op.input(0).uniform == 0 and op.input(2).uniform == 1:
        op.around.order.counts[output.name] = -1


def _listed(op: Operation, output: Tensor) -> None:
    """Follow NonZero of a vector that holds no zeros, which counts."""
    if op.input(0).rank == 1 and op.input(0).known_axes[0].length == output.known_axes[1].length:
        op.around.order.counts[output.name] = -1


def _halved(op: Operation, output: Tensor) -> None:
    """Follow Trilu, which puts zeros on one side of a diagonal."""
    tensor = op.input(0)
    if op.has(1) and op.value_of(1) is None:
        return
    (shift,) = op.constants(1) or [0]
    whole = _bounds(op, tensor)
    mixed = min(whole[0], 0.0), max(whole[1], 0.0)
    if op.attribute("upper", 1):
        if shift <= 1:
            _keep(op, output, Triangle(-2, -1, whole, (0.0, 0.0) if shift == 1 else mixed))
    elif shift <= 0:
        _keep(op, output, Triangle(-2, -1, (0.0, 0.0), whole if shift == 0 else mixed))


def _softmax(op: Operation, output: Tensor) -> None:
    axis = op.axis(int(op.attribute("axis", -1 if op.opset >= 13 else 1)), output.rank)
    if op.padded(output.known_axes[axis]) and axis not in output.fills:
        op.around.order.hidden[output.name] = frozenset({axis - output.rank})


_YES, _NO, _EITHER = (1.0, 1.0), (0.0, 0.0), (0.0, 1.0)
_COMPARED: dict[str, tuple[tuple[Interval, Interval], tuple[Interval, Interval]]] = {
    "Less": ((_YES, _NO), (_NO, _EITHER)),
    "LessOrEqual": ((_YES, _EITHER), (_NO, _YES)),
    "Greater": ((_NO, _EITHER), (_YES, _NO)),
    "GreaterOrEqual": ((_NO, _YES), (_YES, _EITHER)),
}
"""For a row's number compared with a column's, and for a column's compared with a row's: where later, elsewhere."""

_RULES: dict[str, Callable[[Operation, Tensor], None]] = {
    **dict.fromkeys(COMBINED, _elementwise),
    "Where": _choose,
    **dict.fromkeys(("Cast", "Identity", "Dropout"), _cast),
    "Transpose": _moved(_transposed),
    **dict.fromkeys(("Unsqueeze", "Squeeze", "Reshape"), _moved(_reshaped)),
    "Expand": _moved(_expanded),
    "Slice": _moved(_cut),
    "Range": _count,
    "NonZero": _listed,
    "Trilu": _halved,
    "Softmax": _softmax,
}
