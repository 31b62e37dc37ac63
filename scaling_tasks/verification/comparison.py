"""How far apart two answers of one model are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from scaling_tasks.compilers.contract import Tolerance

__all__ = ["Amount", "Difference", "Share", "Sizes", "compare", "compare_outputs", "worst"]

# JSON has no infinity: what cannot be compared is as far apart as a number can say.
INCOMPARABLE = 1e300

Amount = Annotated[float, Meta(ge=0)]
"""A difference, as documents hold it."""

Share = Annotated[float, Meta(ge=0, le=1)]
"""Of positions."""

Sizes = Mapping[str, Annotated[int, Meta(ge=0, lt=1 << 31)]]
"""A size per variable."""


@dataclass(frozen=True)
class Difference:
    """The difference of one output from its reference.

    Attributes:
        output: Name of the output.
        absolute: Largest ``|a - b|``.
        relative: ``absolute`` over the largest finite ``|b|``, over 1 where that is 0: element by element it would say
            nothing of numbers near zero.
        agreement: Share of positions whose largest entry along the last axis is the same; None where that axis does
            not hold classes.
        excess: Largest ``|a - b| - (absolute + relative·|b|)`` under the tolerance, of whole numbers of 32 bits
            or more without what is relative; at most 0 where all is well.
        problem: Why the two cannot be compared; empty where they can.
    """

    output: str
    absolute: Amount
    relative: Amount
    agreement: Share | None
    excess: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether every element is within the tolerance."""
        return self.excess <= 0

    def to_payload(self) -> dict[str, Any]:
        """Return plain values; three digits, so that the last bits of a parallel sum do not change a document."""
        rounded = {key: _rounded(value) for key, value in vars(self).items() if isinstance(value, float)}
        return {**vars(self), **rounded, "passed": self.passed}


def compare_outputs(
    found: Mapping[str, NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
    *,
    classes: Mapping[str, bool] | None = None,
) -> list[Difference]:
    """Compare every output of ``reference``.

    Args:
        found: What the compiled model gave.
        reference: What the original gave.
        tolerance: Largest accepted difference.
        classes: Per output whether its last axis holds classes; by default it does where it is longer than 1.
    """
    return [
        compare(name, found.get(name), array, tolerance, classes=(classes or {}).get(name, True))
        for name, array in reference.items()
    ]


def compare(
    name: str, found: NDArray[Any] | None, reference: NDArray[Any], tolerance: Tolerance, *, classes: bool = True
) -> Difference:
    """Compare one output: element type, shape and values; NaN equals NaN, and infinities equal themselves."""
    if found is None:
        return _incomparable(name, "the output is missing")
    if found.dtype != reference.dtype:
        return _incomparable(name, f"the element type is {found.dtype}, not {reference.dtype}")
    if found.shape != reference.shape:
        return _incomparable(name, f"the shape is {list(found.shape)}, not {list(reference.shape)}")
    if reference.dtype.hasobject and (count := int((found != reference).sum())):
        return _incomparable(name, f"{count} of {reference.size} texts are others")
    if reference.size == 0 or reference.dtype.hasobject:
        return Difference(name, 0.0, 0.0, None, 0.0)
    # The 5,000th of a list is not nearly the 5,001st; 8 and 16 bits are amounts more often.
    counts = reference.dtype.kind in "iu" and reference.dtype.itemsize >= 4
    relative = 0.0 if counts else tolerance.relative
    left, right = found.astype(np.float64), reference.astype(np.float64)
    same = (found == reference) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore", over="ignore"):
        # Large whole numbers that differ may be the same number in floating point.
        gap = np.where(same, 0.0, np.maximum(np.abs(left - right), 1.0 if counts else 0.0))
        excess = np.where(same, -tolerance.absolute, gap - tolerance.absolute - relative * np.abs(right))
    if not np.isfinite(gap).all() or np.isnan(excess).any():
        return _incomparable(name, "one of the two is not finite where the other is")
    scale = float(np.abs(right[np.isfinite(right)]).max(initial=0.0))
    absolute = float(gap.max())
    agreement = None
    if classes and reference.ndim and reference.shape[-1] > 1:
        agreement = float((left.argmax(axis=-1) == right.argmax(axis=-1)).mean())
    return Difference(name, absolute, absolute / (scale or 1.0), agreement, float(excess.max()))


def worst(differences: list[Difference]) -> Difference:
    """Return the difference that is furthest beyond the tolerance, or nearest to it."""
    # As a document has them: read again, it must name the same one.
    return max(differences, key=lambda difference: (_rounded(difference.excess), _rounded(difference.absolute)))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _incomparable(name: str, problem: str) -> Difference:
    return Difference(name, INCOMPARABLE, INCOMPARABLE, None, INCOMPARABLE, problem)
