"""Stage ``scan``: the data set's files to the scan cache and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.known_digests import STATE
from scaling_tasks.paths import enclosed
from scaling_tasks.samples.places import summary_path
from scaling_tasks.stages.stage import Stage
from scaling_tasks.stages.target import Target

__all__ = ["STAGE", "summary"]


def _run(target: Target) -> dict[str, Any]:
    """Measure what is new or changed in the target's data set.

    Raises:
        DatasetError: The data set is missing, empty or unreadable.
    """
    from scaling_tasks.samples.scan import scan

    cache = target.scan_cache
    lock = STATE / "locks" / f"scan-{cache.parent.name}"
    with exclusive(lock, f"scanning {target.dataset.path}", below=STATE):
        enclosed(cache.parent, STATE)
        measurements = scan(target.dataset, cache)
    return {"digest": measurements.digest}


def _current(target: Target) -> bool:
    """Return whether the cache still is what the data set is, found out by one listing of its files."""
    from scaling_tasks.samples.scan import watch

    return watch(target.dataset, target.scan_cache)


def summary(target: Target) -> Path:
    """Return the document that changes exactly when the measurements do."""
    return summary_path(target.scan_cache)


STAGE = Stage(
    name="scan",
    doc="measure the data set's samples",
    after=(),
    applies=lambda target: target.needs_data,
    do=_run,
    current=_current,
    products=lambda target: (summary(target),),
    lasting=True,
    after_plan=False,
)
