"""The strategy ``explicit``: the list that the user wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.request.request import Choice, PlanRequest

__all__ = ["choose", "explicit_rows"]


def choose(request: PlanRequest, most: int) -> Choice:
    """Return the listed buckets.

    Raises:
        PlanError: Nothing usable is listed, more than ``most`` are, or the platform takes products and it is none.
    """
    rows = explicit_rows(request.options.buckets, request.variables)
    if len(rows) > most:
        raise PlanError(f"{len(rows)} buckets are listed, at most {most} are taken", where="buckets")
    if request.options.product and len(rows) != np.prod([len(np.unique(column)) for column in rows.T]):
        raise PlanError(
            "the listed buckets are not every combination of one list per variable",
            where="buckets",
            fix="List all combinations: the platform takes nothing else.",
        )
    return Choice(rows)


def explicit_rows(buckets: Sequence[Sequence[int] | Mapping[str, int]], variables: Sequence[str]) -> NDArray[np.int64]:
    """Return listed buckets as rows, int64 [k, d].

    Raises:
        PlanError: Nothing is listed, or a bucket lacks a variable, has an unknown one, or a size that is not positive.
    """
    if not len(buckets):
        raise PlanError("no bucket is listed", where="buckets", fix="List them, or choose another strategy.")
    rows = []
    for number, bucket in enumerate(buckets):
        if isinstance(bucket, Mapping) and set(bucket) != set(variables):
            raise PlanError(
                f"bucket {number} names {sorted(bucket)}",
                where="buckets",
                fix=f"Give a size to each of {list(variables)}.",
            )
        row = [bucket[name] for name in variables] if isinstance(bucket, Mapping) else list(bucket)
        if len(row) != len(variables) or not all(int(size) == size and size >= 1 for size in row):
            raise PlanError(
                f"bucket {number} is {row}", where="buckets", fix=f"Give a positive size to each of {list(variables)}."
            )
        rows.append([int(size) for size in row])
    return np.unique(np.asarray(rows, dtype=np.int64).reshape(-1, len(variables)), axis=0)
