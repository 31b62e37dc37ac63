"""Resize and Upsample: between the last valid position and padding, the edge is repeated."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_STEADY = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric")


@operator("Resize", sizes=(1, 2, 3))
def follow_resize(op: Operation) -> Tensor:
    """Follow Resize by constant factors; the coordinates of a position then do not depend on the size."""
    tensor = op.input(0)
    lengths, factors = _wanted(op, tensor)
    mode = str(op.attribute("mode", "nearest"))
    default = "asymmetric" if op.opset < 11 else "half_pixel"
    return _resized(op, lengths, factors, mode, str(op.attribute("coordinate_transformation_mode", default)))


@operator("Upsample", sizes=(1,))
def follow_upsample(op: Operation) -> Tensor:
    """Follow Upsample, which older exports use."""
    tensor = op.input(0)
    scales = op.value_of(1)
    numbers = list(op.attribute("scales")) if scales is None else scales.reshape(-1).tolist()
    factors: list[Fraction | None] = [_fraction(number) for number in numbers]
    lengths = [
        (axis.length * _fraction(number)).floor() for axis, number in zip(tensor.known_axes, numbers, strict=True)
    ]
    return _resized(op, lengths, factors, str(op.attribute("mode", "nearest")), "asymmetric")


def _wanted(op: Operation, tensor: Tensor) -> tuple[list[Length], list[Fraction | None]]:
    """Return the new length and the factor per axis; None where the factor differs from size to size."""
    scale_at = 1 if op.opset < 11 else 2
    chosen = [op.axis(int(axis), tensor.rank) for axis in op.attribute("axes") or range(tensor.rank)]
    lengths = [axis.length for axis in tensor.known_axes]
    factors: list[Fraction | None] = [Fraction(1)] * tensor.rank
    if op.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Refused("it keeps the aspect ratio")
    given = op.inputs[3] if op.has(3) else None
    if given is not None and (given.value is None or given.value.size):
        for axis, length in zip(chosen, op.numbers(3) or [], strict=True):
            lengths[axis], factors[axis] = length, _ratio(op, length, lengths[axis])
        return lengths, factors
    scales = op.inputs[scale_at] if op.has(scale_at) else None
    if scales is None or scales.value is None:
        raise Refused("its scales depend on data")
    for axis, scale in zip(chosen, scales.value.reshape(-1), strict=True):
        number = scale.constant if isinstance(scale, Length) else scale
        if number is None:
            raise Refused(f"its scales follow the sizes of the request ({scale})")
        factor = _fraction(float(number))
        lengths[axis], factors[axis] = (lengths[axis] * factor).floor(), factor
    return lengths, factors


def _fraction(number: float) -> Fraction:
    return Fraction(number).limit_denominator(4096)


def _ratio(op: Operation, length: Length, old: Length) -> Fraction | None:
    """Return the factor where it is the same at all sizes."""
    new, before = op.domain.values(length), op.domain.values(old)
    factor = Fraction(int(new[0]), int(before[0])) if before[0] else None
    if factor is None or not np.array_equal(new * factor.denominator, before * factor.numerator):
        return None
    return factor


def _resized(op: Operation, lengths: list[Length], factors: list[Fraction | None], mode: str, how: str) -> Tensor:
    tensor = op.input(0)
    axes: list[Axis] = []
    fills: dict[int, float] = {}
    for at, (axis, length, factor) in enumerate(zip(tensor.known_axes, lengths, factors, strict=True)):
        if factor == 1 or op.domain.equal(length, axis.length):
            axes.append(axis)
            if at in tensor.fills:
                fills[at] = tensor.fills[at]
            continue
        if not axis.variables and not length.variables:
            axes.append(grid(length))
            continue
        if op.attribute("antialias", 0) or how not in _STEADY or factor is None:
            raise Refused(_why(op, axis.length, length, factor, how), "Export it with constant scales.")
        op.mixes(axis)
        axis = op.compact(0, at).known_axes[at]
        if _reads_beyond(op, axis.length, length, factor, mode, how):
            op.newly_cleaned |= op.padded(axis)
            op.use(0, op.around.cleaner.edge(op.input(0), at))
        elif op.input(0).fills.get(at) == 0 and mode == "nearest" and factor >= 1 and factor.denominator == 1:
            fills[at] = 0.0
        axes.append(grid(length))
    tensor = op.input(0)
    cubic = mode == "cubic"
    low, high = (-math.inf, math.inf) if cubic else (tensor.low, tensor.high)
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=low, high=high)


def _why(op: Operation, old: Length, new: Length, factor: Fraction | None, how: str) -> str:
    if op.attribute("antialias", 0):
        return "it filters against aliasing, over a width that depends on the size"
    if factor is None:
        return f"it resizes {old} to {new} positions, by another factor at each size"
    return f"with {how} the coordinates of a position depend on the size"


def _reads_beyond(op: Operation, old: Length, new: Length, factor: Fraction, mode: str, how: str) -> bool:
    """Return whether the last position of some exact size reads beyond the old one's end."""
    last = op.domain.values(new) - 1
    place = _coordinates(how, factor)(last.astype(np.float64))
    rounding = op.attribute("nearest_mode", "round_prefer_floor")
    if mode == "nearest":
        rule = "floor" if op.opset < 11 or op.kind == "Upsample" else str(rounding)
        reach = _nearest(rule)(place)
    else:
        reach = np.ceil(place - 1e-9) + (1 if mode == "cubic" else 0)
    return bool((reach > op.domain.values(old) - 1).any())


def _coordinates(how: str, factor: Fraction) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    scale = float(factor)
    if how == "asymmetric":
        return lambda x: x / scale
    return lambda x: (x + 0.5) / scale - 0.5


def _nearest(rule: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    rules: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "floor": lambda x: np.floor(x + 1e-9),
        "ceil": lambda x: np.ceil(x - 1e-9),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5 + 1e-9),
        "round_prefer_floor": lambda x: np.ceil(x - 0.5 - 1e-9),
    }
    return rules[rule]
