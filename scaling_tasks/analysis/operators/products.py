"""Matrix products: padding along the contracted axis must add nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scaling_tasks.analysis.axes import Axis
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.elementwise import broadcast
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.analysis.triangles import hidden_axes

__all__ = ["clean_to_zero_point", "contract", "follow_gemm"]

_BOOL = 9


@operator("MatMul", "MatMulInteger", "QLinearMatMul")
def follow_matmul(op: Operation) -> Tensor:
    """Follow MatMul: ``[…, m, k] × […, k, n]``, either side possibly a vector."""
    second, points = {"MatMulInteger": (1, (2, 3)), "QLinearMatMul": (3, (2, 5))}.get(op.kind, (1, None))
    left, right = op.input(0), op.input(second)
    contract(op, left.rank - 1, max(0, right.rank - 2), points=points, second=second)
    lead = broadcast(op, [0, second], skip=2) if min(left.rank, right.rank) > 2 else []
    left, right = op.input(0), op.input(second)
    if not lead:
        longer = max(left, right, key=lambda tensor: tensor.rank)
        lead = list(longer.known_axes[:-2]) if longer.rank > 2 else []
    axes = [*lead]
    if left.rank > 1:
        axes.append(left.known_axes[-2])
    if right.rank > 1:
        axes.append(right.known_axes[-1])
    if points is not None:
        return op.result(axes, 6 if op.kind == "MatMulInteger" else op.input(7).dtype)
    both = left.finite and right.finite
    fills = _product_fills(left, right, len(lead)) if both else {}
    high = _largest(left, right) if both else math.inf
    low = 0.0 if left.low >= 0 and right.low >= 0 else -high
    return op.result(axes, left.dtype, fills=fills, finite=both, low=low, high=high)


def _largest(left: Tensor, right: Tensor) -> float:
    """Return what no sum of products is larger than, rounding included."""
    count = left.known_axes[-1].constant
    one, two = (max(abs(tensor.low), abs(tensor.high)) for tensor in (left, right))
    if count is None or not math.isfinite(one):
        return math.inf
    if right.value is not None and right.is_constant and right.rank == 2:
        return 1.01 * one * float(np.abs(right.value).sum(axis=0, dtype=np.float64).max(initial=0.0))
    return 1.01 * one * two * count if math.isfinite(two) else math.inf


def _product_fills(left: Tensor, right: Tensor, lead: int) -> dict[int, float]:
    """Return where a product of finite numbers is 0 because one side is."""
    fills: dict[int, float] = {}
    if left.rank > 1 and left.fills.get(left.rank - 2) == 0:
        fills[lead] = 0.0
    if right.rank > 1 and right.fills.get(right.rank - 1) == 0:
        fills[lead + int(left.rank > 1)] = 0.0
    for place in range(lead):
        from_end = place - lead - 2
        for tensor in (left, right):
            if tensor.rank >= -from_end and tensor.fills.get(tensor.rank + from_end) == 0:
                fills[place] = 0.0
    return fills


def clean_to_zero_point(op: Operation, index: int, axes: Sequence[int], point: int) -> bool:
    """Make an input's padding hold what counts as zero, which input ``point`` says; return whether that is one number.

    The zero point may be a constant, or one number that is computed from data.
    """
    zero = op.inputs[point] if op.has(point) else None
    if zero is None or zero.uniform is not None:
        op.clean(index, axes, 0.0 if zero is None or zero.uniform is None else zero.uniform)
        return True
    if zero.axes is None or any(axis.constant != 1 for axis in zero.axes):
        return False
    tensor = op.input(index)
    padded = [axis for axis in axes if op.padded(tensor.known_axes[axis])]
    for axis in padded:
        op.newly_cleaned |= op.padded(tensor.known_axes[axis])
    if padded:
        mask = op.around.cleaner.valid(tensor, padded, dtype=_BOOL)
        name = op.emitter.node("Where", [mask, tensor.name, zero.name], kind="clean")
        op.use(index, tensor.changed(name=name, fills={}))
    return True


def contract(
    op: Operation, left_axis: int, right_axis: int, *, points: tuple[int, int] | None = None, second: int = 1
) -> None:
    """Make the products along two axes that are summed over add nothing beyond the valid positions.

    Args:
        op: The operator.
        left_axis: Of input 0.
        right_axis: Of input ``second``.
        points: Inputs that say what either input takes for zero.
        second: Index of the right input.
    """
    axis = op.same_axis(0, left_axis, second, right_axis)
    if not axis.variables:
        return
    op.mixes(axis)
    if not op.padded(axis):
        return
    sides = [(0, left_axis), (second, right_axis)]
    if points is not None:
        if not any(clean_to_zero_point(op, at, [own], point) for (at, own), point in zip(sides, points, strict=True)):
            raise Refused("what it takes for zero differs by row and by column")
        return
    clean = next((side for side in sides if op.input(side[0]).fills.get(side[1]) == 0), None)
    hidden = next((side for side in sides if clean is None and _is_hidden(op, *side)), None)
    if hidden is not None:
        _finite_only(op, sides[1] if hidden == sides[0] else sides[0])
        return
    # The one that has fewer axes is the smaller, as a rule.
    chosen = clean or (sides[0] if op.input(0).rank < op.input(second).rank else sides[1])
    other = sides[1] if chosen == sides[0] else sides[0]
    op.clean(chosen[0], [chosen[1]], 0.0)
    _finite_only(op, other)


def _is_hidden(op: Operation, index: int, axis: int) -> bool:
    """Whether an input holds zeros beyond the end of an axis wherever a valid sum reads them."""
    tensor = op.input(index)
    return tensor.finite and axis - tensor.rank in hidden_axes(op, tensor)


def _finite_only(op: Operation, side: tuple[int, int]) -> None:
    """Clean what is multiplied with zeros where it may be no number."""
    if not op.input(side[0]).finite:
        op.clean(side[0], [side[1]], 0.0)


@operator("Gemm")
def follow_gemm(op: Operation) -> Tensor:
    """Follow Gemm: ``alpha·A·B + beta·C`` with either matrix transposed."""
    turned = [bool(op.attribute("transA", 0)), bool(op.attribute("transB", 0))]
    contract(op, 0 if turned[0] else 1, 1 if turned[1] else 0)
    left, right = op.input(0), op.input(1)
    axes = [left.known_axes[1 if turned[0] else 0], right.known_axes[0 if turned[1] else 1]]
    if op.has(2):
        added = op.input(2)
        for place in range(1, added.rank + 1):
            own = added.known_axes[-place]
            if own.constant != 1 and own.normal != axes[-place].normal:
                raise Refused(f"what is added has the axis {own}, the product {axes[-place]}")
    finite = all(tensor.finite for tensor in op.inputs if tensor is not None)
    return op.result(axes, left.dtype, finite=finite)


@operator("Einsum")
def follow_einsum(op: Operation) -> Tensor:
    """Follow Einsum."""
    equation = str(op.attribute("equation")).replace(" ", "")
    terms, arrow, wanted = equation.partition("->")
    inputs = terms.split(",")
    inputs, wanted = _spelled_out(op, inputs, wanted)
    if not arrow or any(len(set(term)) != len(term) for term in inputs):
        raise Refused(f"the equation {equation!r} is not of a form that is followed")
    known: dict[str, tuple[int, int]] = {}
    for index, term in enumerate(inputs):
        for axis, letter in enumerate(term):
            if letter in known:
                op.same_axis(*known[letter], index, axis)
            else:
                known[letter] = (index, axis)
    _clean_sums(op, inputs, wanted)
    found: dict[str, Axis] = {}
    for index, term in enumerate(inputs):
        for axis, letter in enumerate(term):
            found.setdefault(letter, op.input(index).known_axes[axis])
    finite = all(op.input(index).finite for index in range(len(inputs)))
    fills = {
        place: 0.0
        for place, letter in enumerate(wanted)
        if finite and any(letter in t and op.input(i).fills.get(t.index(letter)) == 0 for i, t in enumerate(inputs))
    }
    return op.result([found[letter] for letter in wanted], op.input(0).dtype, fills=fills, finite=finite)


def _spelled_out(op: Operation, inputs: list[str], wanted: str) -> tuple[list[str], str]:
    """Give letters to the axes that an ellipsis stands for, the last ones of all inputs the same."""
    counts = [op.input(at).rank - len(term.replace("...", "")) for at, term in enumerate(inputs)]
    spare = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in "".join(inputs)]
    letters = "".join(spare[: max([0, *(count for count, term in zip(counts, inputs, strict=True) if "..." in term)])])
    terms = [
        term.replace("...", letters[len(letters) - count :] if count else "")
        for count, term in zip(counts, inputs, strict=True)
    ]
    return terms, wanted.replace("...", letters)


def _clean_sums(op: Operation, inputs: list[str], wanted: str) -> None:
    for letter in dict.fromkeys("".join(inputs)):
        if letter in wanted:
            continue
        places = [(index, term.index(letter)) for index, term in enumerate(inputs) if letter in term]
        axis = op.input(places[0][0]).known_axes[places[0][1]]
        if axis.variables:
            op.mixes(axis)
        if not op.padded(axis):
            continue
        clean = [place for place in places if op.input(place[0]).fills.get(place[1]) == 0] or places[-1:]
        op.clean(clean[0][0], [clean[0][1]], 0.0)
        for index, at in places:
            if not op.input(index).finite:
                op.clean(index, [at], 0.0)
