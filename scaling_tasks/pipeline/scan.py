"""Stage ``scan``: the data set's files to the scan cache and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.pipeline.locks import exclusive
from scaling_tasks.pipeline.target import STATE, Target

if TYPE_CHECKING:
    from scaling_tasks.samples.scan import Measurements

__all__ = ["measure", "run", "summary", "unchanged"]


def run(target: Target) -> dict[str, Any]:
    """Measure what is new or changed in the target's data set.

    Raises:
        DatasetError: The data set is missing, empty or unreadable.
    """
    measurements = measure(target)
    return {"digest": measurements.digest}


def measure(target: Target) -> Measurements:
    """Return the data set's measurements, reading only files that the cache does not know."""
    from scaling_tasks.samples.scan import scan

    cache = _cache(target)
    with exclusive(STATE / "locks" / f"scan-{cache.parent.name}"):
        return scan(_dataset(target), cache)


def unchanged(target: Target) -> bool:
    """Return whether the cache still is what the data set is."""
    from scaling_tasks.samples.scan import watch

    return watch(_dataset(target), _cache(target))


def summary(target: Target) -> Path:
    """Return the document that changes exactly when the measurements do."""
    return target.scan_directory / "scan.json"


def _cache(target: Target) -> Path:
    return target.scan_directory / "cache"


def _dataset(target: Target) -> DatasetSpec:
    if target.spec.dataset is None:
        raise ValueError(f"target {target.name} has no data set")
    return target.spec.dataset
