"""Stage ``scan``: the data set's files to the scan cache and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.known_digests import STATE
from scaling_tasks.paths import enclosed
from scaling_tasks.samples.places import is_url, summary_path
from scaling_tasks.stages.stage import Opening, Stage
from scaling_tasks.stages.target import Target

if TYPE_CHECKING:
    from scaling_tasks.stages.scan_parts import PartsElsewhere

__all__ = ["STAGE", "summary"]


def _run(target: Target, opening: Opening) -> dict[str, Any]:
    """Measure what is new or changed in the target's data set: here, or in parts where the target's work is done.

    Raises:
        DatasetError: The data set is missing, empty or unreadable.
    """
    from scaling_tasks.samples.scan import scan

    cache = target.scan_cache
    lock = STATE / "locks" / f"scan-{cache.parent.name}"
    with exclusive(lock, f"scanning {target.dataset.path}", below=STATE):
        enclosed(cache.parent, STATE)
        elsewhere = _elsewhere(target, opening)
        measurements = scan(target.dataset, cache, elsewhere=elsewhere)
    return {"digest": measurements.digest, **(elsewhere.told() if elsewhere else {})}


def _elsewhere(target: Target, opening: Opening) -> PartsElsewhere | None:
    """Return who else can measure the data set: files on this machine would have to be sent to be read."""
    if not is_url(target.dataset.path):
        return None
    workshop = opening()
    if not workshop.executor.elsewhere:
        return None
    from scaling_tasks.stages.scan_parts import PartsElsewhere

    return PartsElsewhere(target, workshop)


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
