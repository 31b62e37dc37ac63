"""Reading variables and buckets out of ``buckets.json`` without numpy, for code that runs while tasks are created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    return read_document(path, "buckets", 1, error=PlanError, build=_summary)


def _summary(payload: Mapping[str, Any]) -> BucketSummary:
    variables = tuple(str(name) for name in payload["variables"])
    return BucketSummary(variables, tuple(tuple(int(size) for size in bucket) for bucket in payload["buckets"]))
