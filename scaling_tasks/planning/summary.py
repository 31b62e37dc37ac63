"""Reading variables and buckets out of ``buckets.json`` without numpy, for code that runs while tasks are created."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.documents import read_document
from scaling_tasks.errors import PlanError

__all__ = ["BucketSummary", "read_bucket_summary"]


@dataclass(frozen=True)
class BucketSummary:
    """Variables and buckets as plain values.

    Attributes:
        variables: Names of the d variables.
        buckets: One tuple of d sizes per bucket, sorted by cost.
    """

    variables: tuple[str, ...]
    buckets: tuple[tuple[int, ...], ...]


def read_bucket_summary(path: Path) -> BucketSummary:
    """Return the variables and buckets of the plan at ``path``.

    Raises:
        PlanError: The file is missing or is not a plan.
    """
    payload = read_document(path, "buckets", 1, error=PlanError)
    try:
        variables = tuple(str(name) for name in payload["variables"])
        buckets = tuple(tuple(int(size) for size in bucket) for bucket in payload["buckets"])
    except (KeyError, TypeError, ValueError) as cause:
        raise PlanError(f"incomplete ({cause!r})", where=str(path), fix="Delete it and build again.") from cause
    return BucketSummary(variables, buckets)
