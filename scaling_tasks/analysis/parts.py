"""Small vectors of which data decides some elements only: exporters put bounds and masks together so."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.tensors import Tensor, is_symbolic

__all__ = ["known_elements", "note_elements"]

_MOST = 16
"""Elements; bounds are no more."""

Elements = list[Any]
"""Numbers and truth values, None for each that is not known."""


def note_elements(op: Operation, given: Sequence[Tensor | None], output: Tensor) -> None:
    """Note the elements of an operator's first output, where some are known and others are not.

    Args:
        op: The operator.
        given: Its inputs as they were before sizes among them were told.
        output: Its first output.
    """
    op.around.elements.pop(output.name, None)  # A body may be walked over again, with less that is known.
    if op.kind not in _RULES or output.value is not None or output.axes is None or output.rank > 1:
        return
    inputs = [known_elements(op, tensor) for tensor in given if tensor is not None]
    if None in inputs or len(inputs) != len(given):
        return
    found = _RULES[op.kind]([each for each in inputs if each is not None])
    if any(element is not None for element in found) and len(found) <= _MOST:
        op.around.elements[output.name] = found


def known_elements(op: Operation, tensor: Tensor | None) -> Elements | None:
    """Return the elements of a small vector or of a single number; None where it is something else."""
    if tensor is None or tensor.axes is None or tensor.rank > 1:
        return None
    if tensor.value is not None and not is_symbolic(tensor.value) and tensor.value.size <= _MOST:
        return list(tensor.value.reshape(-1).tolist())
    count = tensor.known_axes[0].constant if tensor.rank else 1
    if count is None or count > _MOST:
        return None
    return op.around.elements.get(tensor.name, [None] * int(count))


def _each(function: Callable[..., Any]) -> Callable[[list[Elements]], Elements]:
    def apply(inputs: list[Elements]) -> Elements:
        most = max(map(len, inputs))
        spread = [each * most if len(each) == 1 else each for each in inputs]
        return [function(*values) for values in zip(*spread, strict=True)]

    return apply


def _all(function: Callable[..., Any]) -> Callable[[list[Elements]], Elements]:
    return _each(lambda *values: None if any(value is None for value in values) else function(*values))


def _greatest(*values: Any) -> Any:
    return max(values)


def _least(*values: Any) -> Any:
    return min(values)


def _and(left: Any, right: Any) -> Any:
    return False if left is False or right is False else None if left is None or right is None else True


def _where(condition: Any, left: Any, right: Any) -> Any:
    return None if condition is None else left if condition else right


_RULES: dict[str, Callable[[list[Elements]], Elements]] = {
    "Concat": lambda inputs: [element for each in inputs for element in each],
    "Cast": lambda inputs: inputs[0],
    "Where": _each(_where),
    "And": _each(_and),
    "Max": _all(_greatest),
    "Min": _all(_least),
    "Equal": _all(operator.eq),
    "Less": _all(operator.lt),
    "Greater": _all(operator.gt),
}
