"""From raw image sides to the sides the network sees, one function per kind of preprocessing."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.config.preprocessing import (
    KeepRatio,
    Mindocr,
    NoPreprocessing,
    PpocrDet,
    PpocrRec,
    PreprocessingSpec,
    Tokens,
)
from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.shapes.rounding import round_up

__all__ = ["Fixed", "Sides", "limit_side", "network_lengths", "network_sides", "rounded_to_nothing"]

Sides = NDArray[np.int64]  # [n, 2], height and width
Fixed = tuple[int | None, int | None]  # what the model fixes height and width to


def network_sides(spec: PreprocessingSpec, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    """Return the sides after preprocessing, int64 [n, 2], at least 1.

    Args:
        spec: The kind of preprocessing and its parameters.
        sides: Raw heights and widths, int64 [n, 2], positive.
        fixed: The model's fixed height and width, None where it is dynamic.
        scaling: Parameters of MindOCR's analyzer, for the kind ``mindocr``.

    Raises:
        DatasetError: The result has another side than the one the model fixes.
    """
    result = np.maximum(_apply(spec, sides, fixed, scaling), 1)
    for axis, name in enumerate(("height", "width")):
        wrong = result[:, axis][result[:, axis] != fixed[axis]] if fixed[axis] is not None else result[:0, axis]
        if len(wrong):
            raise DatasetError(
                f"after preprocessing the {name} is {wrong[0]}, but the model fixes it at {fixed[axis]}",
                where="dataset.preprocessing",
                fix="Choose a kind that gives the model's own size; `mindocr` and `ppocr_rec` scale to the fixed side.",
            )
    return result


def network_lengths(spec: PreprocessingSpec, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return lengths other than image sides after preprocessing: unchanged but for the kind ``tokens``."""
    if not isinstance(spec, Tokens):
        return lengths
    longer = lengths + spec.special
    return longer if spec.max_length is None else np.minimum(longer, spec.max_length)


def limit_side(sides: Sides, limit: int, multiple: int) -> Sides:
    """Cut the longer side to ``limit`` keeping the ratio, and round both to a multiple, half to even.

    A side that would become 0 becomes one multiple. This is MindOCR's ``limit_side`` and PP-OCR's
    ``limit_type: max``: ``r = limit / max(h, w)`` if larger, then ``int(h * r)``.
    """
    longer = sides.max(axis=1)
    ratio = np.where(longer > limit, limit / longer, 1.0)
    return _round(np.trunc(sides * ratio[:, None]), multiple, multiple)


def rounded_to_nothing(sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> NDArray[np.bool_]:
    """Return which sides MindOCR's analyser rounds to 0, bool [n, 2].

    Args:
        sides: Raw heights and widths, int64 [n, 2], positive.
        fixed: The model's fixed height and width, None where it is dynamic.
        scaling: Parameters of the analyser.
    """
    if fixed != (None, None):
        scaled = [
            sides[:, axis] * (other or 0) // sides[:, 1 - axis] if own is None else sides[:, axis]
            for axis, (own, other) in enumerate((fixed, fixed[::-1]))
        ]
        nothing: NDArray[np.bool_] = np.column_stack(scaled) == 0
        return nothing
    longer = sides.max(axis=1)
    ratio = np.where(longer > scaling.limit_side_len, scaling.limit_side_len / longer, 1.0)
    gone: NDArray[np.bool_] = np.rint(np.trunc(sides * ratio[:, None]) / scaling.interval) == 0
    return gone


def _round(sides: NDArray[np.float64], multiple: int, least: int) -> Sides:
    rounded: Sides = np.maximum(np.rint(sides / multiple) * multiple, least).astype(np.int64)
    return rounded


@singledispatch
def _apply(spec: PreprocessingSpec, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    raise NotImplementedError(type(spec).__name__)


@_apply.register(Tokens)
@_apply.register(NoPreprocessing)
def _unchanged(spec: PreprocessingSpec, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    return sides


@_apply.register
def _mindocr(spec: Mindocr, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    height, width = fixed
    if height is None and width is None:
        # The analyser keeps sides that it rounds to 0 (`rounded_to_nothing`); the network gets one interval.
        return limit_side(sides, scaling.limit_side_len, scaling.interval)
    result: Sides = sides.copy()
    if height is not None:
        result[:, 0] = height
        result[:, 1] = width if width is not None else sides[:, 1] * height / sides[:, 0]
    elif width is not None:
        result[:, 0] = sides[:, 0] * width / sides[:, 1]
        result[:, 1] = width
    return result


@_apply.register
def _ppocr_det(spec: PpocrDet, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    if spec.limit_type == "max":
        return limit_side(sides, spec.limit_side_len, spec.multiple)
    shorter = sides.min(axis=1)
    ratio = np.where(shorter < spec.limit_side_len, spec.limit_side_len / shorter, 1.0)
    return _round(np.trunc(sides * ratio[:, None]), spec.multiple, spec.multiple)


@_apply.register
def _ppocr_rec(spec: PpocrRec, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    height = spec.height or fixed[0]
    if height is None:
        raise DatasetError(
            "ppocr_rec needs a height, and the model's is dynamic",
            where="dataset.preprocessing",
            fix="Write {kind: ppocr_rec, height: 48}.",
        )
    tall, wide = sides.T
    if spec.rotate_ratio is not None:
        turned = tall / wide >= spec.rotate_ratio
        tall, wide = np.where(turned, wide, tall), np.where(turned, tall, wide)
    # In this order of operations, as the last bit decides what `ceil` gives.
    width = np.ceil(height * (wide / tall))
    if spec.max_wh_ratio is not None:
        width = np.minimum(width, int(height * spec.max_wh_ratio))
    if spec.min_width is not None:
        width = np.maximum(width, spec.min_width)
    result: Sides = np.column_stack([np.full(len(sides), height), width]).astype(np.int64)
    return result


@_apply.register
def _keep_ratio(spec: KeepRatio, sides: Sides, fixed: Fixed, scaling: AutoScalingSpec) -> Sides:
    if spec.max_side is not None and spec.max_side < spec.side:
        raise DatasetError(
            f"max_side {spec.max_side} is below side {spec.side}",
            where="dataset.preprocessing.max_side",
            fix="Give the longest side that is allowed, or leave it out.",
        )
    edge = sides.max(axis=1) if spec.edge == "longer" else sides.min(axis=1)
    exact = sides * (spec.side / edge)[:, None] if spec.rounding == "nearest" else spec.side * sides / edge[:, None]
    whole = np.rint(exact) if spec.rounding == "nearest" else np.trunc(exact)
    whole[sides == edge[:, None]] = spec.side
    if spec.max_side is not None:
        whole = _shrink(whole, spec.max_side)
    return round_up(np.maximum(whole, 1).astype(np.int64), spec.multiple)


def _shrink(sides: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    """Apply torchvision's ``max_size``: the longer side becomes the limit, the other ``int(limit * short / long)``."""
    longer = sides.max(axis=1, keepdims=True)
    shrunk: NDArray[np.float64] = np.where(
        longer > limit, np.where(sides == longer, limit, np.trunc(limit * sides / longer)), sides
    )
    return shrunk
