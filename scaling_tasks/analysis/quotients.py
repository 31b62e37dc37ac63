"""Floating-point quotients of sizes, which are no sizes: older exporters write by how much an image is resized so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.tensors import Tensor, is_symbolic

__all__ = ["Quotient", "note_quotients"]

_FLOAT = 1
_LARGEST = 1 << 24
"""Whole numbers up to it are those of single precision."""


@dataclass(frozen=True)
class Quotient:
    """One length divided by another, in single precision.

    Attributes:
        above: What is divided.
        below: By what.
    """

    above: Length
    below: Length

    def scaled(self, domain: Domain, length: Length) -> Length | None:
        """Return what a length becomes that is multiplied with it and rounded down; None where that is no length."""
        if not domain.equal(length, self.below):
            return None
        above, below = (domain.values(each).astype(np.float32) for each in (self.above, self.below))
        with np.errstate(all="ignore"):
            found = np.floor(below * (above / below))
        return self.above if np.array_equal(found, domain.values(self.above)) else None


def note_quotients(op: Operation, given: Sequence[Tensor | None], output: Tensor) -> None:
    """Note which quotients an operator's result holds, where it is a small vector of such.

    Args:
        op: The operator.
        given: Its inputs as they were before sizes among them were told.
        output: Its first output.
    """
    op.around.quotients.pop(output.name, None)  # A body may be walked over again, with less that is known.
    if output.axes is None or output.dtype != _FLOAT or not given:
        return
    found: list[Quotient | float] | None = None
    if op.kind == "Div" and any(tensor is not None and is_symbolic(tensor.value) for tensor in given):
        above, below = (_lengths(tensor) for tensor in given)
        if above and below and len(above) == len(below):
            found = [Quotient(*each) for each in zip(above, below, strict=True)]
    elif op.kind == "Concat" and any(_known(op, tensor) for tensor in given):
        parts = [_known(op, tensor) or _numbers(tensor) for tensor in given]
        found = [each for part in parts if part for each in part] if all(parts) else None
    elif op.kind in ("Unsqueeze", "Squeeze", "Cast", "Identity", "Reshape"):
        found = _known(op, given[0])
    if found:
        op.around.quotients[output.name] = found


def _known(op: Operation, tensor: Tensor | None) -> list[Quotient | float] | None:
    return None if tensor is None else op.around.quotients.get(tensor.name)


def _lengths(tensor: Tensor | None) -> list[Length] | None:
    value: NDArray[Any] | None = None if tensor is None else tensor.value
    if tensor is None or value is None or value.size > 8:
        return None
    if value.dtype.kind == "f" and not (np.abs(value) < _LARGEST).all():
        return None
    found = [as_length(each) for each in value.reshape(-1)]
    return found if all(each.is_whole for each in found) else None


def _numbers(tensor: Tensor | None) -> list[Quotient | float] | None:
    if tensor is None or not tensor.is_constant or tensor.value is None or tensor.value.size > 8:
        return None
    return [float(each) for each in tensor.value.reshape(-1)]
