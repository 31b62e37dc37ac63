"""Resize and Upsample: by a steady factor with the edge repeated in padding, otherwise by what the host computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.quotients import Quotient
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.interpolation import Interpolation, nearest_positions, source_coordinates

_STEADY = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric", "tf_half_pixel_for_nn")
_FLOATS = (1, 10, 11)


@operator("Resize", sizes=(1, 2, 3))
def follow_resize(op: Operation) -> Tensor:
    """Follow Resize."""
    tensor = op.input(0)
    lengths, factors = _wanted(op, tensor)
    mode = str(op.attribute("mode", "nearest"))
    default = "asymmetric" if op.opset < 11 else "half_pixel"
    rounding = "simple" if op.opset < 11 else str(op.attribute("nearest_mode", "round_prefer_floor"))
    how = str(op.attribute("coordinate_transformation_mode", default))
    if op.attribute("antialias", 0) or how == "tf_crop_and_resize":
        return _unchanged(op, lengths, "it filters or crops, over a width that depends on the size")
    cubic, exclude = float(op.attribute("cubic_coeff_a", -0.75)), bool(op.attribute("exclude_outside", 0))
    return _resized(op, lengths, factors, Interpolation(mode, how, rounding, 0.0, cubic, exclude))


@operator("Upsample", sizes=(1,))
def follow_upsample(op: Operation) -> Tensor:
    """Follow Upsample, which older exports use."""
    tensor = op.input(0)
    if op.has(1) and (found := _by_quotients(op, 1, range(tensor.rank))) is not None:
        return _resized(op, *found, Interpolation(str(op.attribute("mode", "nearest")), "asymmetric", "simple"))
    scales = op.value_of(1)
    if scales is None and op.has(1):
        raise Refused("its scales depend on data")
    numbers = list(op.attribute("scales")) if scales is None else scales.reshape(-1).tolist()
    factors: list[Fraction | None] = [_fraction(number) for number in numbers]
    lengths = [_scaled(op, axis.length, number) for axis, number in zip(tensor.known_axes, numbers, strict=True)]
    return _resized(op, lengths, factors, Interpolation(str(op.attribute("mode", "nearest")), "asymmetric", "simple"))


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
    if scales is not None and (found := _by_quotients(op, scale_at, chosen)) is not None:
        return found
    if scales is None or scales.value is None:
        raise Refused("its scales depend on data")
    for axis, scale in zip(chosen, scales.value.reshape(-1), strict=True):
        number = scale.constant if isinstance(scale, Length) else scale
        if number is None:
            raise Refused(f"its scales follow the sizes of the request ({scale})")
        factor = _fraction(float(number))
        lengths[axis], factors[axis] = _scaled(op, lengths[axis], float(number)), factor
    return lengths, factors


def _by_quotients(
    op: Operation, index: int, chosen: Sequence[int]
) -> tuple[list[Length], list[Fraction | None]] | None:
    """Return the same where an input holds quotients of lengths; None where it holds none.

    Raises:
        Refused: A quotient makes no length of an axis.
    """
    scales = op.inputs[index]
    known = None if scales is None else op.around.quotients.get(scales.name)
    if known is None:
        return None
    tensor = op.input(0)
    lengths = [axis.length for axis in tensor.known_axes]
    factors: list[Fraction | None] = [Fraction(1)] * tensor.rank
    for axis, scale in zip(chosen, known, strict=True):
        if not isinstance(scale, Quotient):
            lengths[axis], factors[axis] = _scaled(op, lengths[axis], scale), _fraction(scale)
            continue
        new = scale.scaled(op.domain, lengths[axis])
        if new is None:
            text = f"its scale ({scale.above})/({scale.below}), of {lengths[axis]} positions, is rounded"
            raise Refused(text, "Export it with sizes, which newer versions of the operators take.")
        lengths[axis], factors[axis] = new, _ratio(op, new, lengths[axis])
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


def _scaled(op: Operation, length: Length, scale: float) -> Length:
    """Return the length after scaling, as single precision rounds it.

    Raises:
        Refused: Single precision rounds otherwise than the fraction that is meant, at some size.
    """
    new = (length * _fraction(scale)).floor()
    rounded = np.floor(op.domain.values(length).astype(np.float32) * np.float32(scale))
    if not np.array_equal(rounded, op.domain.values(new)):
        raise Refused(f"{length} times {scale} is rounded otherwise at some sizes", "Export it with sizes.")
    return new


def _unchanged(op: Operation, lengths: list[Length], text: str) -> Tensor:
    """Follow what touches no size.

    Raises:
        Refused: It does.
    """
    tensor = op.input(0)
    for axis, length in zip(tensor.known_axes, lengths, strict=True):
        if (axis.variables or length.variables) and not op.domain.equal(length, axis.length):
            raise Refused(text, "Export it with another mode.")
    return op.result([grid(length) for length in lengths], tensor.dtype, finite=tensor.finite)


def _resized(op: Operation, lengths: list[Length], factors: list[Fraction | None], how: Interpolation) -> Tensor:
    tensor = op.input(0)
    # Where no length is another one runtimes copy; else an axis is read otherwise even if it stays as long.
    copied = all(
        op.domain.equal(*each) for each in zip(lengths, (axis.length for axis in tensor.known_axes), strict=True)
    )
    changed = [] if copied else [at for at, factor in enumerate(factors) if factor != 1]
    if changed and not (op.kind == "Resize" and op.has(3)):
        _never_copied(op, lengths, changed)
    sized = [at for at in changed if tensor.known_axes[at].variables or lengths[at].variables]
    if changed and how.mode != "nearest" and not tensor.finite:
        # Engines interpolate along all axes, and a neighbour counts nothing only where it is a number.
        op.clean(0, [at for at, axis in enumerate(tensor.known_axes) if at not in changed and axis.variables], 0.0)
    for at in sized:
        op.positive(lengths[at], "it leaves no position")
        op.mixes(grid(lengths[at]))
        op.mix(0, at)
    steady = all(_is_steady(op, at, lengths[at], factors[at], how) for at in sized)
    fills = {at: fill for at, fill in op.input(0).fills.items() if at not in changed and (fill == 0 or not changed)}
    if steady:
        for at in sized:
            _repeat_edge(op, at, lengths[at], replace(how, scale=float(factors[at] or 0)), fills)
    else:
        fills = _by_host(op, changed, lengths, factors, how)
    tensor = op.input(0)
    axes = [grid(lengths[at]) if at in changed else axis for at, axis in enumerate(tensor.known_axes)]
    if how.mode == "cubic":
        low, high = -math.inf, math.inf
    else:
        low, high = (tensor.low, tensor.high) if steady else (min(tensor.low, 0.0), max(tensor.high, 0.0))
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=low, high=high)


def _never_copied(op: Operation, lengths: Sequence[Length], changed: Sequence[int]) -> None:
    """Make sure that scales change some length at every size, but for lengths of 1: else it is copied at that one.

    Raises:
        Refused: They do not.
    """
    axes = op.input(0).known_axes
    same = np.ones(op.domain.count, bool)
    for axis, length in zip(axes, lengths, strict=True):
        same &= op.domain.values(axis.length) == op.domain.values(length)
    if any(bool((same & (op.domain.values(axes[at].length) > 1)).any()) for at in changed):
        raise Refused("at sizes at which its scales make nothing longer it copies", "Export it with sizes.")


def _is_steady(op: Operation, at: int, length: Length, factor: Fraction | None, how: Interpolation) -> bool:
    """Return whether the coordinates of a position are the same at all sizes."""
    if factor is None or how.coordinates not in _STEADY or (how.mode == "cubic" and how.exclude):
        return False
    if how.coordinates == "pytorch_half_pixel":
        return op.domain.at_most(as_length(2), length)
    if how.coordinates == "half_pixel_symmetric":
        return op.domain.equal(length * factor.denominator, op.input(0).known_axes[at].length * factor.numerator)
    return True


def _repeat_edge(op: Operation, at: int, length: Length, how: Interpolation, fills: dict[int, float]) -> None:
    """Let padding hold the edge where a position of some exact size reads beyond the end."""
    axis = op.input(0).known_axes[at]
    last = op.domain.values(axis.length) - 1
    if bool((_reach(how, op.domain.values(length) - 1) > last).any()):
        op.newly_cleaned |= op.padded(axis)
        op.use(0, op.around.cleaner.edge(op.input(0), at))
        return
    nearest = how.mode == "nearest" and op.input(0).fills.get(at) == 0
    if nearest and bool((_reach(how, op.domain.values(length)) > last).all()):
        fills[at] = 0.0


def _reach(how: Interpolation, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last old position that new ones read."""
    # Two lengths that are no special case; the scale is given.
    places = source_coordinates(how, positions, 2, 2)
    if how.mode == "nearest":
        return nearest_positions(how, places, 1 << 40)
    found: NDArray[np.int64] = (np.ceil(places - 1e-6) + (1 if how.mode == "cubic" else 0)).astype(np.int64)
    return found


def _by_host(
    op: Operation, changed: list[int], lengths: list[Length], factors: list[Fraction | None], how: Interpolation
) -> dict[int, float]:
    """Resize axis by axis with positions or weights that are computed for the exact size; return the fills.

    Raises:
        Refused: Of numbers that are no floats, weights make none.
    """
    from onnx import helper

    for at in changed:
        # The scale is what was given, not what the rounded length makes of it.
        given = op.kind == "Upsample" or not op.has(3)
        own = replace(how, scale=float(factors[at] or 0) if given else 0.0)
        target = grid(lengths[at])
        op.newly_cleaned |= op.padded(op.input(0).known_axes[at]) | op.padded(target)
        if how.mode == "nearest":
            op.inputs[0] = op.around.cleaner.nearest(op.input(0), at, target, own)
            continue
        if op.input(0).dtype not in _FLOATS:
            raise Refused("it interpolates whole numbers by another factor at each size")
        tensor = op.input(0)
        if not tensor.finite:
            tensor = op.clean(0, [at], 0.0)
        op.inputs[0] = _product(op, tensor, at, target, own)
    tensor = op.input(0)
    op.emitter.nodes.append(helper.make_node("Identity", [tensor.name], [op.node.output[0]]))
    op.replaced = True
    return dict(tensor.fills)


def _product(op: Operation, tensor: Tensor, at: int, target: Axis, how: Interpolation) -> Tensor:
    """Resize by a matrix; an axis before the last two changes places with the last one for that."""
    cleaner, last = op.around.cleaner, tensor.rank - 1
    if at >= last - 1:
        return cleaner.matrix(tensor, at, target, how)
    order = list(range(tensor.rank))
    order[at], order[last] = last, at
    turned = cleaner.matrix(_turned(op, tensor, order), last, target, how)
    return _turned(op, turned, order)


def _turned(op: Operation, tensor: Tensor, order: list[int]) -> Tensor:
    name = op.emitter.node("Transpose", [tensor.name], perm=order)
    fills = {new: tensor.fills[old] for new, old in enumerate(order) if old in tensor.fills}
    return tensor.changed(name=name, axes=tuple(tensor.known_axes[old] for old in order), fills=fills)
