"""What an action has to tell: what a run prints and sums up of it, typed, and what else a stage finds worth noting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

from scaling_tasks.errors import printable

__all__ = ["Told", "told"]

_Amount = Annotated[float, Meta(ge=0)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Count = Annotated[int, Meta(ge=0, lt=1 << 53)]


class Told(TypedDict, total=False):
    """What is read again; a stage tells some of it.

    Attributes:
        outcome: How it came about.
        seconds: What the work takes or took.
        bytes: Of the files.
        worker: Which machine did it, where that was another.
        spans: What that did when: what, since when, how long.
        pieces: What several machines did of it: who, what, since when, how long.
        warnings: For the user.
        absolute: The largest difference from the original.
        padding_ratio: Of the plan; None without a data set.
        buckets: How many, or the score through them.
        samples: How many distinct ones.
        weight: Of all samples.
        line: In words what was found.
        verdict: Of the whole model.
        reason: Why a target was left out.
        path: Of the product.
    """

    outcome: str
    seconds: _Seconds
    bytes: _Count
    worker: str
    spans: list[tuple[str, float, float]]
    pieces: list[tuple[str, str, float, float]]
    warnings: list[str]
    absolute: _Amount
    padding_ratio: _Amount | None
    buckets: float
    samples: _Count
    weight: _Amount
    line: str
    verdict: str
    reason: str
    path: str


def told(values: object) -> dict[str, Any]:
    """Return what an action told, fit for a terminal; what ``Told`` does not name may be any plain JSON.

    Raises:
        ValueError: Something of it is of another type.
    """
    found = msgspec.convert(values, Told)
    if not isinstance(values, Mapping):
        return {}
    words: dict[str, Any] = {name: printable(value) for name, value in found.items() if isinstance(value, str)}
    if warnings := found.get("warnings"):
        words["warnings"] = [printable(each) for each in warnings]
    return {**values, **words}
