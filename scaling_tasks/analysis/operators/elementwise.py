"""Operators that treat every position on its own: padding stays padding, and its content is computed alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scaling_tasks.analysis.axes import Axis
from scaling_tasks.analysis.element_types import FLOATS, cast, cast_bounds, held_bounds
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["broadcast"]

_BOOL = 9

# Per operator what it does to one number; an interval is mapped by its ends where the function grows or falls.
_GROWING: dict[str, Callable[[float], float]] = {
    "Relu": lambda x: max(x, 0.0),
    "Sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0,
    "Tanh": math.tanh,
    "Softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "Softsign": lambda x: x / (1 + abs(x)) if math.isfinite(x) else math.copysign(1.0, x),
    "Erf": math.erf,
    "Floor": lambda x: math.floor(x) if math.isfinite(x) else x,
    "Ceil": lambda x: math.ceil(x) if math.isfinite(x) else x,
    "Round": lambda x: float(np.rint(x)),
    "Identity": lambda x: x,
    "Atan": math.atan,
    "Asinh": math.asinh,
    "Sinh": lambda x: math.sinh(x) if abs(x) < 700 else math.copysign(math.inf, x),
    "Exp": lambda x: math.exp(x) if x < 700 else math.inf,
    "Sign": lambda x: float(np.sign(x)),
}
_BOUNDED = {
    "Sigmoid": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Erf": (-1.0, 1.0),
    "Sin": (-1.0, 1.0),
    "Cos": (-1.0, 1.0),
}
_LOWEST = {"Relu": 0.0, "Softplus": 0.0, "Abs": 0.0, "Exp": 0.0, "Sqrt": 0.0}
_FINITE = frozenset(
    {
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"),
        *("Softplus", "Softsign", "Erf", "Floor", "Ceil", "Round", "Identity", "Atan", "Asinh", "Neg", "Abs", "Sin"),
        *("Cos", "Sign", "Gelu", "Mish", "ThresholdedRelu", "Clip", "Shrink", "Dropout", "Cast", "CastLike", "Swish"),
    }
)
"""Of finite numbers these make finite ones."""
_KEEP_ZERO = ("LeakyRelu", "Elu", "Selu", "Celu", "HardSwish", "Gelu", "Mish", "ThresholdedRelu", "Swish")
_PER_POSITION = (
    *sorted(_FINITE - {"PRelu", "Dropout"}),
    *("Acosh", "Atanh", "Acos", "Asin", "Sinh", "Cosh", "Tan", "Exp", "Log", "Sqrt", "Reciprocal"),
    *("IsNaN", "IsInf", "Not", "BitwiseNot"),
)
_TO_BOOL = ("IsNaN", "IsInf", "Not")


@operator(*_PER_POSITION)
def follow_unary(op: Operation) -> Tensor:
    """Follow an operator of one tensor, with constants at most besides."""
    tensor = op.input(0)
    dtype, ends = _target(op), _interval(op, tensor)
    low, high = held_bounds(*ends, dtype)
    finite = (
        tensor.finite
        and all(each.finite or each.is_constant for each in op.inputs[1:] if each is not None)
        and _are_held(ends, (low, high))
        and (op.kind in _FINITE or _is_safe(op, tensor) or (math.isfinite(low) and math.isfinite(high)))
    )
    fills = {axis: _image(op, fill) for axis, fill in tensor.fills.items()}
    return op.result(tensor.known_axes, dtype, fills=fills, finite=finite, low=low, high=high)


def _are_held(ends: tuple[float, float], held: tuple[float, float]) -> bool:
    """Return whether an element type holds what lies within bounds, as far as these are known."""
    return all(math.isfinite(one) == math.isfinite(other) for one, other in zip(ends, held, strict=True))


def _target(op: Operation) -> int:
    """Return the element type of what an operator of one tensor gives."""
    if op.kind == "Cast":
        return int(op.attribute("to"))
    return _BOOL if op.kind in _TO_BOOL else op.input(1 if op.kind == "CastLike" else 0).dtype


@operator("BitCast")
def follow_bits(op: Operation) -> Tensor:
    """Follow BitCast, which reads the same bits as another type; those of a whole zero are zero in each."""
    tensor = op.input(0)
    fills = {axis: 0.0 for axis, fill in tensor.fills.items() if fill == 0 and tensor.dtype not in FLOATS}
    return op.result(tensor.known_axes, int(op.attribute("to")), fills=fills, finite=False)


@operator("SwiGLU")
def follow_gated(op: Operation) -> Tensor:
    """Follow SwiGLU: ``Swish(A)·B``, zero where either is."""
    axes, tensors = broadcast(op), [op.input(0), op.input(1)]
    finite = all(tensor.finite for tensor in tensors)
    zero = [at for at in range(len(axes)) if finite and any(tensor.fills.get(at) == 0 for tensor in tensors)]
    return op.result(axes, tensors[0].dtype, fills=dict.fromkeys(zero, 0.0), finite=finite)


@operator("Dropout")
def follow_dropout(op: Operation) -> Sequence[Tensor]:
    """Follow Dropout, which does nothing when a model is served."""
    tensor = op.input(0)
    training = op.inputs[2] if op.has(2) else None
    if training is not None and (training.value is None or bool(np.any(training.value))):
        raise Refused("it drops numbers at random", "Export the model for inference.")
    return [op.like(tensor), op.result(tensor.known_axes, _BOOL, output=1)]


_COMPARISONS = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor")
_BROADCASTING = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mean", "Sum", "Mod", "PRelu", "Where"),
    *("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"),
)


@operator(*_BROADCASTING, *_COMPARISONS, broadcasts=True)
def follow_broadcasting(op: Operation) -> Tensor:
    """Follow an operator of several tensors that are broadcast against each other."""
    axes = broadcast(op)
    if op.kind in ("Div", "Mod"):
        _divide_by_no_zeros(op)
    if op.kind == "Mul" and any(op.input(at).uniform == 0 for at in (0, 1)):
        _forgive(op)
    tensors = [op.input(at) for at in range(len(op.inputs))]
    dtype = _BOOL if op.kind in _COMPARISONS else tensors[1 if op.kind == "Where" else 0].dtype
    ends = _combined_interval(op, tensors)
    low, high = held_bounds(*ends, dtype)
    fills = {at: _combined_fill(op, tensors, at - len(axes)) for at in range(len(axes)) if op.padded(axes[at])}
    finite = all(tensor.finite for tensor in tensors) and _are_held(ends, (low, high))
    finite = finite and _combination_is_safe(op, tensors)
    if op.kind == "Where":
        finite = tensors[1].finite and tensors[2].finite
    if op.kind in _COMPARISONS:
        finite = True
    return op.result(axes, dtype, fills=fills, finite=finite, low=low, high=high)


def _divide_by_no_zeros(op: Operation) -> None:
    """Let whole numbers be divided by ones beyond their end: zeros there end the run."""
    divisor = op.input(1)
    if divisor.dtype not in FLOATS and not divisor.is_constant and divisor.low <= 0 <= divisor.high:
        op.clean(1, [at for at in range(divisor.rank) if divisor.fills.get(at, 0.0) == 0], 1.0)


def _forgive(op: Operation) -> None:
    """Let nothing be blamed on numbers that are multiplied with zero, such as noise that is turned off."""
    for tensor in [tensor for tensor in op.inputs if tensor is not None and tensor.blames]:
        noise = all(reason.operator.startswith("Random") for reason in tensor.blames.values())
        if not (tensor.finite or noise):  # What is infinite makes no number, whatever the noise.
            continue
        op.inputs[op.inputs.index(tensor)] = replace(tensor, blames={})


def broadcast(op: Operation, indices: Sequence[int] | None = None, *, skip: int = 0) -> list[Axis]:
    """Return the axes of what inputs are broadcast to, realigning inputs whose positions lie otherwise.

    Args:
        op: The operator.
        indices: Which of its inputs, all by default.
        skip: How many of the last axes are left out.
    """
    chosen = [at for at in (range(len(op.inputs)) if indices is None else indices) if op.has(at)]
    rank = max(op.input(at).rank for at in chosen)
    axes: list[Axis] = []
    for place in range(-rank, -skip):
        best: tuple[int, int] | None = None
        axis: Axis | None = None
        for at in chosen:
            tensor = op.input(at)
            if tensor.rank < -place:
                continue
            own = tensor.known_axes[place]
            if axis is None or best is None or axis.constant == 1:
                axis, best = own, (at, tensor.rank + place)
            elif own.constant != 1:
                axis = op.same_axis(best[0], best[1], at, tensor.rank + place)
        assert axis is not None
        axes.append(axis)
    return axes


def _image(op: Operation, fill: float) -> float | None:
    """Return what one number becomes; None where that cannot be told."""
    if op.kind in _GROWING:
        return _GROWING[op.kind](fill)
    if op.kind in ("Cast", "CastLike"):
        return cast(fill, _target(op))
    if op.kind == "Not":
        return 1.0 - float(bool(fill))
    if op.kind == "Clip":
        (low, least), (most, high) = _clip_bounds(op)
        return min(max(fill, low), most) if low == least and most == high else None
    if op.kind in ("Neg", "Abs", "Sin", "Cos", "Sqrt"):
        known: dict[str, Callable[[float], float]] = {
            "Neg": lambda x: -x,
            "Abs": abs,
            "Sin": math.sin,
            "Cos": math.cos,
            "Sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
        }
        return known[op.kind](fill)
    if fill == 0 and (op.kind in _KEEP_ZERO or (op.kind == "Shrink" and float(op.attribute("lambd", 0.5)) >= 0)):
        return 0.0
    return None


def _clip_bounds(op: Operation) -> list[tuple[float, float]]:
    """Return the ends between which either bound of a Clip lies, which data may decide."""
    if op.opset < 11:
        return [(float(op.attribute(name, end)),) * 2 for name, end in (("min", -math.inf), ("max", math.inf))]
    given = [op.inputs[index] if index < len(op.inputs) else None for index in (1, 2)]
    return [
        (end, end) if bound is None else (bound.low, bound.high)
        for bound, end in zip(given, (-math.inf, math.inf), strict=True)
    ]


def _interval(op: Operation, tensor: Tensor) -> tuple[float, float]:
    low, high = tensor.low, tensor.high
    if op.kind in _BOUNDED:
        return _BOUNDED[op.kind]
    if op.kind in _GROWING:
        return _GROWING[op.kind](low), _GROWING[op.kind](high)
    if op.kind == "Clip":
        (least, greatest_least), (least_most, most) = _clip_bounds(op)
        return min(max(low, least), least_most), min(max(high, greatest_least), most)
    if op.kind in ("Cast", "CastLike"):
        return cast_bounds(low, high, tensor.dtype, _target(op), finite=tensor.finite)
    if op.kind == "Neg":
        return -high, -low
    if op.kind == "Sqrt":
        return (math.sqrt(low) if low > 0 else 0.0), math.inf
    if op.kind == "Abs" and tensor.dtype not in FLOATS:
        # The least whole number has none that is as far above zero.
        return (0.0 if held_bounds(-low, high, tensor.dtype) == (-low, high) else -math.inf), math.inf
    if op.kind == "LeakyRelu" and low >= 0:
        return low, high
    if op.kind in ("HardSwish", "Mish", "Gelu"):
        return -0.6, max(high, 0.0)
    return _LOWEST.get(op.kind, -math.inf), math.inf


def _is_safe(op: Operation, tensor: Tensor) -> bool:
    """Whether an operator that may leave the numbers does not at these."""
    if op.kind == "Exp":
        return tensor.high <= (10 if tensor.dtype == 10 else 80)
    if op.kind == "Sqrt":
        return tensor.low >= 0
    if op.kind in ("Log", "Reciprocal"):
        return tensor.low > 0
    return False


def _combination_is_safe(op: Operation, tensors: Sequence[Tensor]) -> bool:
    if op.kind in ("Div", "Mod"):
        divisor = tensors[1]
        if divisor.is_constant and divisor.value is not None and divisor.value.dtype.kind in "fiu":
            return bool((divisor.value != 0).all())
        return divisor.low > 0 or divisor.high < 0
    if op.kind == "Pow":
        exponent = tensors[1].uniform
        return exponent is not None and ((exponent >= 0 and float(exponent).is_integer()) or tensors[0].low > 0)
    return True


def _combined_fill(op: Operation, tensors: Sequence[Tensor], place: int) -> float | None:
    """Return what padding along the axis at ``place`` (from the end) holds, None where it is not one number."""
    numbers = [_fill_at(tensor, place) for tensor in tensors]
    if op.kind == "Where" and numbers[0] is not None:
        return numbers[1 if numbers[0] else 2]
    if op.kind == "Mul" and 0.0 in numbers and all(tensor.finite for tensor in tensors):
        return 0.0
    if op.kind == "Div" and numbers[0] == 0.0 and _combination_is_safe(op, tensors) and tensors[1].finite:
        return 0.0
    if op.kind == "And" and 0.0 in numbers:
        return 0.0
    if op.kind == "Or" and 1.0 in numbers:
        return 1.0
    if op.kind == "PRelu" and numbers[0] == 0.0:
        return 0.0
    if op.kind == "Min" and -math.inf in numbers:
        return -math.inf
    if op.kind == "Add" and -math.inf in numbers and sum(not tensor.finite for tensor in tensors) == 1:
        return -math.inf
    if any(number is None for number in numbers):
        return None
    return _computed(op, [number for number in numbers if number is not None])


def _fill_at(tensor: Tensor, place: int) -> float | None:
    if tensor.rank >= -place and tensor.known_axes[place].constant != 1:
        return tensor.fills.get(tensor.rank + place)
    # Without that axis it is the same in the padding as elsewhere.
    return tensor.uniform


_NUMPY: dict[str, Any] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.true_divide,
    "Pow": np.power,
    "Min": np.minimum,
    "Max": np.maximum,
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}


def _computed(op: Operation, numbers: Sequence[float]) -> float | None:
    function = _NUMPY.get(op.kind)
    if function is None:
        return sum(numbers) if op.kind == "Sum" else None
    if op.kind == "Div" and op.input(0).dtype not in FLOATS:
        return None
    whole = numbers[0]
    with np.errstate(all="ignore"):
        for number in numbers[1:]:
            whole = float(function(whole, number))
    # Zero may have either sign, and so has what is divided by it.
    return None if op.kind in ("Div", "Pow") and math.isinf(whole) else whole


def _combined_interval(op: Operation, tensors: Sequence[Tensor]) -> tuple[float, float]:
    lows, highs = [tensor.low for tensor in tensors], [tensor.high for tensor in tensors]
    if op.kind in _COMPARISONS:
        return 0.0, 1.0
    if op.kind == "Where":
        return min(lows[1:]), max(highs[1:])
    if op.kind in ("Add", "Sum"):
        return _sum(lows, -math.inf), _sum(highs, math.inf)
    if op.kind == "Sub":
        return _sum([lows[0], -highs[1]], -math.inf), _sum([highs[0], -lows[1]], math.inf)
    if op.kind == "Min":
        return min(lows), min(highs)
    if op.kind == "Max":
        return max(lows), max(highs)
    if op.kind == "Mul":
        if tensors[0].name == tensors[1].name and tensors[0].dtype in FLOATS:
            return 0.0, math.inf
        return _products(lows, highs)
    if op.kind == "Div" and lows[1] > 0 and tensors[0].dtype in FLOATS and all(map(math.isfinite, (*lows, *highs))):
        return _products([lows[0], 1 / highs[1]], [highs[0], 1 / lows[1]])
    if op.kind == "Div" and lows[1] > 0:
        return (0.0 if lows[0] >= 0 else -math.inf), math.inf
    if op.kind == "Pow":
        exponent = tensors[1].uniform
        if exponent is not None and (exponent % 2 == 0 or lows[0] >= 0) and tensors[0].dtype in FLOATS:
            return 0.0, math.inf
    return -math.inf, math.inf


def _sum(ends: Sequence[float], unknown: float) -> float:
    return math.fsum(ends) if all(math.isfinite(end) for end in ends) else unknown


def _products(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    low, high = lows[0], highs[0]
    for other_low, other_high in zip(lows[1:], highs[1:], strict=True):
        ends = [left * right for left in (low, high) for right in (other_low, other_high) if left and right]
        ends += [0.0] if 0.0 in (low, high, other_low, other_high) else []
        low, high = min(ends), max(ends)
    return low, high
