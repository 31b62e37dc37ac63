"""Stage ``scan``: the data set's files to the scan cache and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.pipeline.target import STATE, Target
from scaling_tasks.samples.scan import scan, summary_path, watch

__all__ = ["cache", "dataset_of", "run", "summary", "unchanged"]


def run(target: Target) -> dict[str, Any]:
    """Measure what is new or changed in the target's data set.

    Raises:
        DatasetError: The data set is missing, empty or unreadable.
    """
    with exclusive(STATE / "locks" / f"scan-{target.scan_directory.name}", f"scanning {dataset_of(target).path}"):
        measurements = scan(dataset_of(target), cache(target))
    return {"digest": measurements.digest}


def unchanged(target: Target) -> bool:
    """Return whether the cache still is what the data set is."""
    return watch(dataset_of(target), cache(target))


def summary(target: Target) -> Path:
    """Return the document that changes exactly when the measurements do."""
    return summary_path(cache(target))


def cache(target: Target) -> Path:
    """Return the scan cache's file."""
    return target.scan_directory / "cache"


def dataset_of(target: Target) -> DatasetSpec:
    """Return the data set of a target that has one."""
    if target.spec.dataset is None:
        raise ValueError(f"target {target.name} has no data set")
    return target.spec.dataset
