"""Reductions over axes: padding must hold what changes nothing, and a mean is divided by the true number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

__all__ = ["reduce_axes"]

How = Literal["sum", "mean", "max", "min", "product", "exponential"]

_HOW: dict[str, How] = {
    "ReduceSum": "sum",
    "ReduceL1": "sum",
    "ReduceL2": "sum",
    "ReduceSumSquare": "sum",
    "ReduceLogSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "product",
    "ReduceLogSumExp": "exponential",
}
_NEUTRAL: dict[How, float] = {
    "sum": 0.0,
    "mean": 0.0,
    "max": -math.inf,
    "min": math.inf,
    "product": 1.0,
    "exponential": -math.inf,
}


@operator(*_HOW, sizes=(1,))
def follow_reduction(op: Operation) -> Tensor:
    """Follow a reduction."""
    tensor = op.input(0)
    given = op.constants(1, "axes")
    if not given:
        given = [] if op.attribute("noop_with_empty_axes", 0) else list(range(tensor.rank))
    axes = sorted({op.axis(axis, tensor.rank) for axis in given})
    return reduce_axes(op, axes, keep=bool(op.attribute("keepdims", 1)), how=_HOW[op.kind])


def reduce_axes(op: Operation, axes: Sequence[int], *, keep: bool, how: How) -> Tensor:
    """Follow a reduction of input 0 over ``axes``."""
    tensor = op.input(0)
    for axis in axes:
        if tensor.known_axes[axis].variables:
            op.mixes(tensor.known_axes[axis])
    over = [axis for axis in axes if op.padded(tensor.known_axes[axis])]
    filled = all(op.domain.at_most(as_length(1), tensor.known_axes[at].length) for at in axes)
    fill = _NEUTRAL[how]
    if how == "max" and tensor.low >= 0 and tensor.finite and filled:
        fill = 0.0
    if how == "mean" and over and tensor.dtype not in (1, 10, 11):
        raise Refused("its mean of whole numbers is rounded, over a number of them that follows the sizes")
    before = tensor
    if over and not (how in ("max", "exponential") and all(tensor.fills.get(axis) == -math.inf for axis in over)):
        tensor = op.clean(0, over, fill)
    kept, remaining = _kept(tensor, axes, keep=keep)
    # The largest of nothing is no bound of what there is, and nothing that padding of other axes holds.
    known_fills = before.fills if filled or how == "sum" else {}
    fills = {remaining[at]: _reduced(op, value, how) for at, value in known_fills.items() if at in remaining}
    low, high = _interval(op, before, how) if filled or how not in ("max", "min") else (-math.inf, math.inf)
    known: dict[str, Any] = {
        "fills": {at: value for at, value in fills.items() if value is not None},
        "finite": before.finite and op.kind not in ("ReduceLogSumExp", "ReduceLogSum") and filled,
        "low": low,
        "high": high,
    }
    result = op.result(kept, tensor.dtype, **known)
    if how == "mean" and over:
        if op.node.output[0] in op.around.subtracted and tensor.dtype == 1:
            _divide_sum(op, result, axes, keep=keep)
        else:
            _scale_mean(op, result, [tensor.known_axes[at] for at in over])
    return result


def _scale_mean(op: Operation, result: Tensor, over: Sequence[Axis]) -> None:
    """Multiply the operator's output by the padded over the true number of positions of the axes it went over.

    Where half precision is computed in, a sum over as many positions as an image has could overflow.
    """
    emitter = op.emitter
    raw = emitter.fresh("mean")
    op.node.output[0] = raw
    emitter.nodes.append(op.node)
    op.replaced = True
    spec = SizeInput("", "ratio", "float32", expressions=(_positions(over).expression(),))
    emitter.into(result.name, "Mul", [raw, op.around.cleaner.companion(result, [], spec)])


def _divide_sum(op: Operation, result: Tensor, axes: Sequence[int], *, keep: bool) -> None:
    """Divide the sum by the true number of positions.

    Of one position that is the position itself. A mean that is scaled may be off by a rounding, and what is left of
    the position without it is divided by something as small where numbers are normalised.
    """
    tensor = op.input(0)
    total = op.emitter.reduce("ReduceSum", tensor.name, axes, keepdims=int(keep))
    count = _positions(tensor.known_axes[at] for at in axes)
    spec = SizeInput("", "value", "float32", expressions=(count.expression(),))
    op.emitter.into(result.name, "Div", [total, op.around.cleaner.companion(result, [], spec)])
    op.replaced = True


def _positions(axes: Iterable[Axis]) -> Length:
    count = as_length(1)
    for axis in axes:
        count = count * axis.length
    return count


def _kept(tensor: Tensor, axes: Sequence[int], *, keep: bool) -> tuple[list[Axis], dict[int, int]]:
    kept: list[Axis] = []
    remaining: dict[int, int] = {}
    for at, axis in enumerate(tensor.known_axes):
        if at not in axes:
            remaining[at] = len(kept)
            kept.append(axis)
        elif keep:
            kept.append(grid(1))
    return kept, remaining


def _reduced(op: Operation, fill: float, how: How) -> float | None:
    """Return what remaining padding holds when every element that goes into it is ``fill``."""
    if op.kind == "ReduceLogSum":
        return None
    if how in ("mean", "max", "min"):
        return fill
    return 0.0 if fill == 0 and how in ("sum", "product") else None


def _interval(op: Operation, tensor: Tensor, how: How) -> tuple[float, float]:
    if how in ("max", "min"):
        return tensor.low, tensor.high
    if how == "mean":
        return min(tensor.low, 0.0) if tensor.low < 0 else 0.0, math.inf if tensor.high > 0 else 0.0
    if op.kind in ("ReduceL1", "ReduceL2", "ReduceSumSquare"):
        return 0.0, math.inf
    positive = tensor.low >= 0 and how == "sum" and op.kind != "ReduceLogSum"
    return (0.0 if positive else -math.inf), math.inf
