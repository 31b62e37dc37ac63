"""Sizes as floating-point numbers, whose arithmetic may round otherwise than that of the expressions they stand for."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.element_types import FLOATS
from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.refusal import Refused

if TYPE_CHECKING:
    from scaling_tasks.analysis.operation import Operation

__all__ = ["as_lengths", "check_rounding", "element_type", "gives_floats", "takes_floats"]

Array = NDArray[Any]

_NUMBERS = {"Where": 1, "OneHot": 2}
"""The first input of which some numbers are given on, where it is not the first of all."""
_INT64 = 7
_ROUNDING = ("Floor", "Ceil", "Cast")
_FLOATING: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Neg": np.negative,
    "Pow": np.power,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Min": np.minimum,
    "Max": np.maximum,
    "Clip": np.clip,
    "Cast": np.trunc,
}


def check_rounding(op: Operation, values: list[Array], output: Array) -> None:
    """Do the same in the model's floating-point numbers, which may round otherwise than exact arithmetic.

    Raises:
        Refused: They do at some size, so that a length would be another one than the expression says.
    """
    function = _FLOATING.get(op.kind)
    if function is None or (op.kind == "Cast" and (gives_floats(op) or not takes_floats(op))):
        return
    kind = next(tensor.dtype for tensor in op.inputs if tensor is not None)
    dtype = {10: np.float16, 11: np.float64}.get(kind, np.float32)
    domain = op.domain
    given = [np.broadcast_to(as_lengths(value), output.shape).reshape(-1) for value in values if value.size]
    for at, element in enumerate(output.reshape(-1)):
        floats = [domain.floats(value[at], dtype) for value in given]
        with np.errstate(all="ignore"):
            if op.kind == "Clip":
                whole = _clipped(values, floats)
            else:
                whole = reduce(function, floats[1:], floats[0]) if len(floats) > 1 else function(floats[0])
        length = as_length(element)
        if op.kind in _ROUNDING and not np.array_equal(whole, domain.values(length)):
            raise Refused(f"its floating-point arithmetic rounds {given[0][at]} otherwise at some sizes")
        domain.note_floats(length, whole)


def _clipped(values: list[Array], floats: list[Array]) -> Array:
    steps = [step for step, bound in zip((np.maximum, np.minimum), values[1:], strict=False) if bound.size]
    whole = floats[0]
    for step, bound in zip(steps, floats[1:], strict=True):
        whole = step(whole, bound)
    return whole


def gives_floats(op: Operation) -> bool:
    """Return whether an operator gives floating-point numbers."""
    if op.kind == "Cast":
        return op.attribute("to") in FLOATS
    return takes_floats(op)


def element_type(op: Operation) -> int:
    """Return the element type of sizes that an operator gives."""
    given = op.inputs[_NUMBERS.get(op.kind, 0)] if op.inputs else None
    return int(op.attribute("to", _INT64 if given is None else given.dtype))


def takes_floats(op: Operation) -> bool:
    """Return whether an operator is given floating-point numbers."""
    first = op.inputs[_NUMBERS.get(op.kind, 0)] if op.inputs else None
    return first is not None and first.dtype in FLOATS


def as_lengths(value: Array) -> Array:
    """Return the elements as lengths, floating-point numbers as the fractions they are."""
    out = np.empty(value.size, object)
    for at, element in enumerate(value.reshape(-1)):
        if isinstance(element, Length):
            out[at] = element
        elif isinstance(element, (float, np.floating)):
            if not np.isfinite(element):
                raise ValueError("not finite")
            near = Fraction(float(element)).limit_denominator(4096)
            out[at] = as_length(near if np.float32(float(near)) == np.float32(element) else Fraction(float(element)))
        else:
            out[at] = as_length(int(element))
    return out.reshape(value.shape)
