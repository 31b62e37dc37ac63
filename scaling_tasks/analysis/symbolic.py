"""Small whole-number tensors that follow the sizes: the arithmetic on shapes that exported graphs are full of."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.lengths import Length, as_length, larger, smaller
from scaling_tasks.analysis.tensors import is_symbolic

if TYPE_CHECKING:
    from scaling_tasks.analysis.operation import Operation

__all__ = ["follow_sizes"]

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
    floating = _is_float(op)
    kind: Any = np.float32 if floating or not whole else np.int64
    return np.array([float(n) if kind is np.float32 else int(n) for n in numbers if n is not None], kind).reshape(
        array.shape
    )


def _is_float(op: Operation) -> bool:
    if op.kind == "Cast":
        return op.attribute("to") in (1, 10, 11, 16)
    first = next((tensor for tensor in op.inputs if tensor is not None), None)
    return first is not None and first.dtype in (1, 10, 11, 16)


def _exact(value: Array) -> Array:
    """Return the elements as lengths, floating-point numbers as the fractions they are."""
    out = np.empty(value.size, object)
    for at, element in enumerate(value.reshape(-1)):
        if isinstance(element, Length):
            out[at] = element
        elif isinstance(element, (float, np.floating)):
            if not np.isfinite(element):
                raise ValueError("not finite")
            out[at] = as_length(Fraction(float(element)).limit_denominator(1 << 24))
        else:
            out[at] = as_length(int(element))
    return out.reshape(value.shape)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Operation, list[Array]], Array]:
    pairwise = np.frompyfunc(function, 2, 1)

    def apply(op: Operation, values: list[Array]) -> Array:
        whole = _exact(values[0])
        for value in values[1:]:
            whole = np.asarray(pairwise(whole, _exact(value)), object)
        return whole

    return apply


def _unary(function: Callable[[Any], Any]) -> Callable[[Operation, list[Array]], Array]:
    each = np.frompyfunc(function, 1, 1)
    return lambda op, values: np.asarray(each(_exact(values[0])), object)


def _divide(op: Operation, values: list[Array]) -> Array:
    floating = _is_float(op)

    def divide(left: Length, right: Length) -> Length:
        if not floating:
            # Sizes are not negative: rounding down and towards zero are the same.
            exact = op.domain.divide(left, right)
            return exact if exact is not None else left // right
        number = right.constant
        if number:
            return left * (Fraction(1) / Fraction(number))
        exact = left.divided(right)
        if exact is None:
            raise ValueError("no whole quotient")
        return exact

    return np.asarray(np.frompyfunc(divide, 2, 1)(_exact(values[0]), _exact(values[1])), object)


def _modulo(op: Operation, values: list[Array]) -> Array:
    def modulo(left: Length, right: Length) -> Length:
        rest = left % right
        number = op.domain.constant(rest)
        return rest if number is None else as_length(number)

    return np.asarray(np.frompyfunc(modulo, 2, 1)(_exact(values[0]), _exact(values[1])), object)


def _compare(holds: Callable[[Any, Any], Any]) -> Callable[[Operation, list[Array]], Array]:
    def apply(op: Operation, values: list[Array]) -> Array:
        def decide(left: Length, right: Length) -> bool:
            answers = holds(op.domain.values(left), op.domain.values(right))
            if not (answers == answers[0]).all():
                raise _Undecided
            return bool(answers[0])

        found = np.frompyfunc(decide, 2, 1)(_exact(values[0]), _exact(values[1]))
        return np.asarray(found).astype(bool)

    return apply


def _where(op: Operation, values: list[Array]) -> Array:
    if is_symbolic(values[0]):
        raise ValueError("an undecided condition")
    return np.where(values[0], _exact(values[1]), _exact(values[2]))


def _cast(op: Operation, values: list[Array]) -> Array:
    if op.attribute("to") == 9:
        raise ValueError("sizes as truth values")
    if op.attribute("to") in (1, 10, 11, 16):
        return _exact(values[0])
    return np.asarray(np.frompyfunc(Length.floor, 1, 1)(_exact(values[0])), object)


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
        return list(np.array_split(values[0], count, axis))
    return np.split(values[0], np.cumsum(parts)[:-1].tolist(), axis)


def _reduce(combine: Callable[[Any, Any], Any], start: int) -> Callable[[Operation, list[Array]], Array]:
    def apply(op: Operation, values: list[Array]) -> Array:
        axes = _axes(op, values)
        if axes is not None and values[0].ndim > 1:
            raise ValueError("more than one axis")
        total = as_length(start)
        for element in _exact(values[0]).reshape(-1):
            total = combine(total, element)
        whole = np.empty((1,), object)
        whole[0] = total
        return whole if op.attribute("keepdims", 1) else whole.reshape(())

    return apply


def _expand(op: Operation, values: list[Array]) -> Array:
    if is_symbolic(values[1]):
        raise ValueError("a shape that follows the sizes")
    shape = np.broadcast_shapes(values[0].shape, tuple(int(size) for size in values[1]))
    return np.broadcast_to(values[0], shape)


def _gather(op: Operation, values: list[Array]) -> Array:
    return np.asarray(np.take(values[0], values[1].astype(np.int64), axis=int(op.attribute("axis", 0))))


def _reshape(op: Operation, values: list[Array]) -> Array:
    return values[0].reshape([int(size) for size in values[1]])


_RULES: dict[str, Callable[[Operation, list[Array]], Any]] = {
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _divide,
    "Mod": _modulo,
    "Min": _binary(smaller),
    "Max": _binary(larger),
    "Neg": _unary(operator.neg),
    "Floor": _unary(Length.floor),
    "Ceil": _unary(Length.ceil),
    "Cast": _cast,
    "Identity": lambda op, values: values[0],
    "Gather": _gather,
    "Concat": lambda op, values: np.concatenate([_exact(value) for value in values], int(op.attribute("axis", 0))),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Split": _split,
    "Reshape": _reshape,
    "Transpose": lambda op, values: values[0].transpose(op.attribute("perm")),
    "Expand": _expand,
    "ReduceProd": _reduce(operator.mul, 1),
    "ReduceSum": _reduce(operator.add, 0),
    "Equal": _compare(operator.eq),
    "Less": _compare(operator.lt),
    "LessOrEqual": _compare(operator.le),
    "Greater": _compare(operator.gt),
    "GreaterOrEqual": _compare(operator.ge),
    "Where": _where,
}
