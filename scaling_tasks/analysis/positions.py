"""Numbers that tell positions: what a tensor holds where it counts along its axes, such as ``row · width + column``."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.tensors import Positions, Tensor

__all__ = ["positions_of"]

_INTEGERS = (6, 7)


def positions_of(op: Operation, given: Sequence[Tensor | None], result: Tensor) -> tuple[Positions | None, ...]:
    """Return what positions the operator's result tells, none where it is not known to tell any.

    Args:
        op: The operator.
        given: Its inputs as they were before sizes among them were told.
        result: Its first output.

    Returns:
        One, or several where the last axis holds the coordinates of one position.
    """
    follow = _RULES.get(op.kind)
    if follow is None or result.axes is None or result.dtype not in _INTEGERS or any(t is None for t in given):
        return ()
    return follow(op, [tensor for tensor in given if tensor is not None], result)


def _range(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    if len(given) < 3 or (start := given[0].value) is None or (step := given[2].value) is None:
        return ()
    return (Positions({0: as_length(step.reshape(-1)[0])}, as_length(start.reshape(-1)[0])),)


def _listed(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    """Follow NonZero of a vector that holds no zeros."""
    every = given[0].rank == 1 and result.known_axes[1].length == given[0].known_axes[0].length
    return (Positions({1: as_length(1)}, as_length(0)),) if every else ()


def _same(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    return given[0].positions if given[0].dtype in _INTEGERS else ()


def _unsqueezed(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    if (told := given[0].position) is None:
        return ()
    added = {op.axis(axis, result.rank) for axis in op.constants(1, "axes") or []}
    kept = [axis for axis in range(result.rank) if axis not in added]
    return (told.moved(dict(enumerate(kept))),)


def _squeezed(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    if (told := given[0].position) is None:
        return ()
    axes = op.constants(1, "axes")
    gone = [at for at in range(given[0].rank) if given[0].known_axes[at].constant == 1] if axes is None else axes
    kept = [at for at in range(given[0].rank) if at not in {op.axis(axis, given[0].rank) for axis in gone}]
    return (told.moved({old: new for new, old in enumerate(kept)}),) if set(told.steps) <= set(kept) else ()


def _transposed(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    if (told := given[0].position) is None:
        return ()
    order = op.attribute("perm") or range(result.rank - 1, -1, -1)
    return (told.moved({int(old): new for new, old in enumerate(order)}),)


def _expanded(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    if (told := given[0].position) is None:
        return ()
    offset = result.rank - given[0].rank
    return (told.moved({axis: axis + offset for axis in range(given[0].rank)}),)


def _concatenated(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    last = result.rank - 1
    if op.axis(int(op.attribute("axis", 0)), result.rank) != last:
        return ()
    if any((t.position is None and t.counts_rows) or t.known_axes[last].constant != 1 for t in given):
        return ()
    return tuple(tensor.position for tensor in given) if any(tensor.position for tensor in given) else ()


def _term(tensor: Tensor, rank: int) -> Positions | None:
    """Return an operand with its axes numbered as the result's."""
    if tensor.position is not None:
        return tensor.position.moved({axis: axis + rank - tensor.rank for axis in range(tensor.rank)})
    if tensor.value is not None and tensor.value.size == 1 and tensor.dtype in _INTEGERS:
        return Positions({}, as_length(tensor.value.reshape(-1)[0]))
    return None


def _sum(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    left, right = (_term(tensor, result.rank) for tensor in given)
    if left is None or right is None:
        return ()
    steps = dict(left.steps)
    for axis, step in right.steps.items():
        steps[axis] = steps.get(axis, as_length(0)) + step
    return (Positions({axis: step for axis, step in steps.items() if step.terms}, left.first + right.first),)


def _product(op: Operation, given: Sequence[Tensor], result: Tensor) -> tuple[Positions | None, ...]:
    left, right = (_term(tensor, result.rank) for tensor in given)
    if left is None or right is None or (left.steps and right.steps):
        return ()
    steps, factor = (left.steps, right.first) if left.steps else (right.steps, left.first)
    return (Positions({axis: step * factor for axis, step in steps.items()}, left.first * right.first),)


_RULES = {
    "Range": _range,
    "NonZero": _listed,
    "Cast": _same,
    "Identity": _same,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Expand": _expanded,
    "Concat": _concatenated,
    "Add": _sum,
    "Mul": _product,
}
