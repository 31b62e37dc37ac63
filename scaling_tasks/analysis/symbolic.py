"""Small whole-number tensors that follow the sizes: the arithmetic on shapes that exported graphs are full of."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.element_types import FLOATS, held_bounds
from scaling_tasks.analysis.floating_sizes import as_lengths, check_rounding, gives_floats, takes_floats
from scaling_tasks.analysis.lengths import Length, as_length, larger, smaller
from scaling_tasks.analysis.tensors import is_symbolic
from scaling_tasks.shapes.behaviour import DATA

if TYPE_CHECKING:
    from scaling_tasks.analysis.operation import Operation

__all__ = ["follow_sizes"]

_INT64 = 7

_MOST = 4096
"""Elements; larger tensors hold data, not sizes."""

Array = NDArray[Any]


def follow_sizes(op: Operation) -> list[Array] | None:
    """Return the operator's outputs where its inputs are constants and sizes, None where it is not arithmetic on those.

    The elements of an output are numbers where all of them are, lengths otherwise.
    """
    values: list[Array] = []
    for tensor in op.inputs:
        if tensor is None:
            values.append(np.zeros(0, np.int64))
            continue
        if tensor.value is None or tensor.value.size > _MOST:
            return None
        values.append(tensor.value)
    rule = _RULES.get(op.kind)
    if rule is None or not any(is_symbolic(value) for value in values):
        return None
    try:
        found = rule(op, values)
    except (TypeError, ValueError, IndexError, ZeroDivisionError, _Undecided):
        return None
    outputs = found if isinstance(found, list) else [found]
    if any(tensor is not None and tensor.dtype in FLOATS for tensor in op.inputs):
        check_rounding(op, values, outputs[0])
    return [_plain(np.asarray(output), op) for output in outputs]


class _Undecided(Exception):  # noqa: N818
    """A comparison that is true at some sizes only."""


def _plain(array: Array, op: Operation) -> Array:
    """Return numbers where no element follows the sizes."""
    if array.dtype != object:
        return array
    elements = [as_length(element) for element in array.reshape(-1)]
    numbers = [element.constant for element in elements]
    if any(number is None for number in numbers):
        lengths = np.empty(len(elements), object)
        lengths[:] = elements
        return lengths.reshape(array.shape)
    whole = all(Fraction(number).denominator == 1 for number in numbers if number is not None)
    floating = gives_floats(op)
    kind: Any = np.float32 if floating or not whole else np.int64
    return np.array([float(n) if kind is np.float32 else int(n) for n in numbers if n is not None], kind).reshape(
        array.shape
    )


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Operation, list[Array]], Array]:
    pairwise = np.frompyfunc(function, 2, 1)

    def apply(op: Operation, values: list[Array]) -> Array:
        whole = as_lengths(values[0])
        for value in values[1:]:
            whole = np.asarray(pairwise(whole, as_lengths(value)), object)
        return whole

    return apply


def _unary(function: Callable[[Any], Any]) -> Callable[[Operation, list[Array]], Array]:
    each = np.frompyfunc(function, 1, 1)
    return lambda op, values: np.asarray(each(as_lengths(values[0])), object)


def _divide(op: Operation, values: list[Array]) -> Array:
    floating = gives_floats(op)

    def divide(left: Length, right: Length) -> Length:
        if not floating:
            exact = op.domain.divide(left, right)
            return exact if exact is not None else _truncated(op, left, right)
        number = right.constant
        if number:
            return left * (Fraction(1) / Fraction(number))
        exact = left.divided(right)
        if exact is None:
            raise ValueError("no whole quotient")
        return exact

    return np.asarray(np.frompyfunc(divide, 2, 1)(as_lengths(values[0]), as_lengths(values[1])), object)


def _truncated(op: Operation, left: Length, right: Length) -> Length:
    """Return the quotient rounded towards zero, as whole numbers are divided."""
    zero = as_length(0)
    if not op.domain.at_most(as_length(1), right):
        raise ValueError("a divisor that may be negative or zero")
    if op.domain.at_most(zero, left):
        return left // right
    if op.domain.at_most(left, zero):
        return -((-left) // right)
    return larger(left, zero) // right - larger(-left, zero) // right


def _modulo(op: Operation, values: list[Array]) -> Array:
    if takes_floats(op):
        raise ValueError("a rest that floating-point numbers may round to another one")

    def modulo(left: Length, right: Length) -> Length:
        if op.attribute("fmod", 0) and not op.domain.at_most(as_length(0), left):
            raise ValueError("a rest that has the sign of what is divided")
        rest = left % right
        number = op.domain.constant(rest)
        return rest if number is None else as_length(number)

    return np.asarray(np.frompyfunc(modulo, 2, 1)(as_lengths(values[0]), as_lengths(values[1])), object)


def _power(op: Operation, values: list[Array]) -> Array:
    exponent = values[1].reshape(-1)
    if is_symbolic(exponent) or exponent.size != 1 or exponent[0] not in (1, 2, 3):
        raise ValueError("no small whole exponent")
    whole = base = as_lengths(values[0])
    for _ in range(int(exponent[0]) - 1):
        whole = np.asarray(whole * base, object)
    return whole


def _compare(holds: Callable[[Any, Any], Any]) -> Callable[[Operation, list[Array]], Array]:
    def apply(op: Operation, values: list[Array]) -> Array:
        def decide(left: Length, right: Length) -> bool:
            if any(name.startswith(DATA) for name in (left - right).variables):
                return bool(holds(_sign(left - right), 0))
            answers = holds(op.domain.values(left), op.domain.values(right))
            if not (answers == answers[0]).all():
                raise _Undecided
            return bool(answers[0])

        found = np.frompyfunc(decide, 2, 1)(as_lengths(values[0]), as_lengths(values[1]))
        return np.asarray(found).astype(bool)

    return apply


def _sign(length: Length) -> int:
    """Return 1 of what is positive and -1 of what is negative however much data chooses, which is nothing at least."""
    for sign in (1, -1):
        parts = {product: factor * sign for product, factor in length.terms}
        sizes_alone = all(isinstance(atom, str) for product in parts for atom in product)
        if sizes_alone and parts.get((), 0) > 0 and min(parts.values()) > 0:
            return sign
    raise _Undecided


def _clip(op: Operation, values: list[Array]) -> Array:
    if op.opset < 11:
        raise ValueError("bounds that are attributes")
    whole = as_lengths(values[0])
    for bound, function in zip(values[1:], (larger, smaller), strict=False):
        if bound.size:
            whole = np.asarray(np.frompyfunc(function, 2, 1)(whole, as_lengths(bound)), object)
    return whole


def _one_hot(op: Operation, values: list[Array]) -> Array:
    """Choose between two values, as exporters write how often each axis is repeated."""
    if is_symbolic(values[0]) or is_symbolic(values[1]):
        raise ValueError("numbers that follow the sizes")
    depth, axis = int(values[1].reshape(-1)[0]), int(op.attribute("axis", -1))
    axis += values[0].ndim + 1 if axis < 0 else 0
    off, on = as_lengths(values[2])
    shape = [1] * (values[0].ndim + 1)
    shape[axis] = depth
    chosen = np.expand_dims(values[0] % depth, axis) == np.arange(depth).reshape(shape)
    return np.asarray(np.where(chosen, on, off))


def _where(op: Operation, values: list[Array]) -> Array:
    if is_symbolic(values[0]):
        raise ValueError("an undecided condition")
    return np.where(values[0], as_lengths(values[1]), as_lengths(values[2]))


def _cast(op: Operation, values: list[Array]) -> Array:
    if op.attribute("to") == 9:
        raise ValueError("sizes as truth values")
    if op.attribute("to") in FLOATS:
        return as_lengths(values[0])
    found = values[0]
    if takes_floats(op):
        found = np.asarray(np.frompyfunc(Length.floor, 1, 1)(as_lengths(found)), object)
    if op.attribute("to") != _INT64 and not all(_fits(op, as_length(each)) for each in found.reshape(-1)):
        raise ValueError("a type that does not hold all of them")
    return found


def _fits(op: Operation, length: Length) -> bool:
    low, high = (float(end) for end in (op.domain.values(length).min(), op.domain.values(length).max()))
    return held_bounds(low, high, int(op.attribute("to"))) == (low, high)


def _axes(op: Operation, values: list[Array], index: int = 1) -> list[int] | None:
    if len(values) > index and values[index].size:
        return [int(axis) for axis in values[index].reshape(-1)]
    found = op.attribute("axes")
    return None if found is None else [int(axis) for axis in found]


def _unsqueeze(op: Operation, values: list[Array]) -> Array:
    axes = _axes(op, values) or []
    rank = values[0].ndim + len(axes)
    whole = values[0]
    for axis in sorted(axis % rank for axis in axes):
        whole = np.expand_dims(whole, axis)
    return whole


def _squeeze(op: Operation, values: list[Array]) -> Array:
    axes = _axes(op, values)
    return np.squeeze(values[0], None if axes is None else tuple(axes))


def _slice(op: Operation, values: list[Array]) -> Array:
    data = values[0]
    if op.opset < 10:
        starts, ends = op.attribute("starts"), op.attribute("ends")
        axes, steps = op.attribute("axes") or range(len(starts)), [1] * len(starts)
    else:
        if any(is_symbolic(value) for value in values[1:]):
            raise ValueError("bounds that follow the sizes")
        starts, ends = values[1].tolist(), values[2].tolist()
        axes = values[3].tolist() if len(values) > 3 and values[3].size else range(len(starts))
        steps = values[4].tolist() if len(values) > 4 and values[4].size else [1] * len(starts)
    index: list[Any] = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return np.asarray(data[tuple(index)])


def _split(op: Operation, values: list[Array]) -> list[Array]:
    axis = int(op.attribute("axis", 0))
    parts = _axes(op, values) if len(values) > 1 else op.attribute("split")
    count = len(op.node.output)
    if not parts:
        each = -(-values[0].shape[axis] // count)
        parts = [each] * count
    return np.split(values[0], np.cumsum(parts)[:-1].tolist(), axis)


def _reduce(combine: Callable[[Any, Any], Any], *start: int) -> Callable[[Operation, list[Array]], Array]:
    def apply(op: Operation, values: list[Array]) -> Array:
        axes = _axes(op, values)
        if axes is not None and values[0].ndim > 1:
            raise ValueError("more than one axis")
        if takes_floats(op) and not all(element.is_whole for element in as_lengths(values[0]).reshape(-1)):
            raise ValueError("parts, which floating-point numbers may round")
        whole = np.empty((1,), object)
        whole[0] = reduce(combine, [*map(as_length, start), *as_lengths(values[0]).reshape(-1)])
        return whole if op.attribute("keepdims", 1) else whole.reshape(())

    return apply


def _expand(op: Operation, values: list[Array]) -> Array:
    if is_symbolic(values[1]):
        raise ValueError("a shape that follows the sizes")
    shape = np.broadcast_shapes(values[0].shape, tuple(int(size) for size in values[1]))
    return np.broadcast_to(values[0], shape)


def _gather(op: Operation, values: list[Array]) -> Array:
    return np.asarray(np.take(values[0], values[1].astype(np.int64), axis=int(op.attribute("axis", 0))))


def _scatter(op: Operation, values: list[Array]) -> Array:
    if op.attribute("reduction", "none") != "none":
        raise ValueError("sums")
    written: Array = as_lengths(values[0]).copy()
    np.put_along_axis(written, values[1].astype(np.int64), as_lengths(values[2]), int(op.attribute("axis", 0)))
    return written


_RULES: dict[str, Callable[[Operation, list[Array]], Any]] = {
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _divide,
    "Mod": _modulo,
    "Pow": _power,
    "Min": _binary(smaller),
    "Max": _binary(larger),
    "Clip": _clip,
    "Neg": _unary(operator.neg),
    "OneHot": _one_hot,
    "Floor": _unary(Length.floor),
    "Ceil": _unary(Length.ceil),
    "Cast": _cast,
    "Identity": lambda op, values: values[0],
    "Gather": _gather,
    "Concat": lambda op, values: np.concatenate([as_lengths(value) for value in values], int(op.attribute("axis", 0))),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Split": _split,
    "Reshape": lambda op, values: values[0].reshape([int(size) for size in values[1]]),
    "Transpose": lambda op, values: values[0].transpose(op.attribute("perm")),
    "Expand": _expand,
    "ReduceProd": _reduce(operator.mul, 1),
    "ReduceSum": _reduce(operator.add, 0),
    "ReduceMin": _reduce(smaller),
    "ReduceMax": _reduce(larger),
    "Equal": _compare(operator.eq),
    "Less": _compare(operator.lt),
    "LessOrEqual": _compare(operator.le),
    "Greater": _compare(operator.gt),
    "GreaterOrEqual": _compare(operator.ge),
    "Where": _where,
    "ScatterElements": _scatter,
}
