"""Comparisons of sizes that hold at some sizes only, as numbers: 1 where they hold, 0 where not.

An exporter that cuts a rest off an axis writes so that nothing is cut where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.lengths import Length, as_length, larger
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.tensors import Tensor, is_symbolic

__all__ = ["Indicator", "indicated", "note_indicators"]

_WHOLE = (6, 7)


@dataclass(frozen=True)
class Indicator:
    """When a comparison of sizes holds.

    Attributes:
        lengths: 1 where it does, 0 where not.
        compared: The two tensors that are equal then, as they are in a bucket.
        turned: Whether it holds where they are not.
    """

    lengths: NDArray[Any]
    compared: tuple[str, str]
    turned: bool = False


def note_indicators(op: Operation, given: Sequence[Tensor | None], output: Tensor) -> None:
    """Note when an operator's first output is true, where it says whether sizes are equal.

    Args:
        op: The operator.
        given: Its inputs as they were before sizes among them were told.
        output: Its first output.
    """
    known = op.around.indicators
    known.pop(output.name, None)  # A body may be walked over again, with less that is known.
    tensors = [tensor for tensor in given if tensor is not None]
    if op.kind == "Not" and (found := known.get(tensors[0].name)) is not None:
        lengths = np.asarray(np.frompyfunc(lambda each: as_length(1) - each, 1, 1)(found.lengths), object)
        known[output.name] = Indicator(lengths, found.compared, turned=not found.turned)
    if op.kind != "Equal" or any(each.value is None for each in tensors):
        return
    if not any(is_symbolic(each.value) for each in tensors) or any(each.dtype not in _WHOLE for each in tensors):
        return
    left, right = (np.frompyfunc(as_length, 1, 1)(each.value) for each in tensors)
    gaps = np.asarray(left - right, object)
    if all(op.domain.at_most(as_length(0), gap) for gap in gaps.reshape(-1)):
        lengths = np.asarray(np.frompyfunc(_none, 1, 1)(gaps), object)
        known[output.name] = Indicator(lengths, (tensors[0].name, tensors[1].name))


def _none(gap: Length) -> Length:
    """Return 1 where a number that is not negative is 0, else 0."""
    return larger(as_length(1) - gap, as_length(0))


def indicated(op: Operation) -> list[NDArray[Any]] | None:
    """Return the output of a Cast of such a comparison to whole numbers; None where it is something else.

    The node is given the comparison of sizes as they are in a bucket, where it may have been told those of the request.
    """
    tensor = op.inputs[0] if op.inputs else None
    if op.kind != "Cast" or tensor is None or op.attribute("to") not in _WHOLE:
        return None
    found = op.around.indicators.get(tensor.name)
    if found is None:
        return None
    name = op.emitter.once("Equal", found.compared)
    op.node.input[0] = op.emitter.once("Not", [name]) if found.turned else name
    return [found.lengths]
