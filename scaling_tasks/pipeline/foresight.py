"""What the stages up to ``buckets`` would make of a target now, found out without writing anything."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.pipeline.scan import cache, dataset_of, summary
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import UnitsDocument, units_text

if TYPE_CHECKING:
    from scaling_tasks.onnx_model.reading import ModelSignature
    from scaling_tasks.planning.plan import BucketPlan
    from scaling_tasks.samples.measurements import Measurements
    from scaling_tasks.shapes.statistics import DatasetStatistics

__all__ = ["Foresight"]


class Foresight:
    """Computes on demand what a build would; nothing below the repository is written.

    Every attribute raises the ``ScalingTasksError`` that the stage itself would raise.

    Args:
        target: Whose stages.
        rescan: Whether the data set is to be looked at; otherwise the scan cache is taken as it is.
    """

    def __init__(self, target: Target, *, rescan: bool) -> None:
        self._target = target
        self._rescan = rescan

    @property
    def summary_changes(self) -> bool:
        """Whether a scan would change the scan summary."""
        return _differs(summary(self._target), self._measurements.summary())

    @property
    def statistics_change(self) -> bool:
        """Whether ``statistics.json`` would change."""
        found = self._statistics
        return found is not None and _differs(self._target.statistics, found.to_json())

    @property
    def buckets_change(self) -> bool:
        """Whether ``buckets.json`` or the units would change."""
        if _differs(self._target.buckets, self._plan.to_json()):
            return True
        return self._target.compiles and _differs(self._target.units, units_text(self.units))

    @cached_property
    def units(self) -> UnitsDocument:
        """The units that the compile stage would have."""
        from scaling_tasks.pipeline.analysis import analyse
        from scaling_tasks.pipeline.buckets import make_units

        return make_units(self._target, self._signature, self._plan, analyse(self._target)[0])

    @cached_property
    def _measurements(self) -> Measurements:
        from scaling_tasks.samples.scan import read_measurements, scan

        dataset, known = dataset_of(self._target), cache(self._target)
        if not self._rescan:
            return read_measurements(dataset, known)
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "cache"
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(known, copy)
            return scan(dataset, copy)

    @cached_property
    def _signature(self) -> ModelSignature:
        from scaling_tasks.pipeline.signature import target_signature

        return target_signature(self._target)

    @cached_property
    def _statistics(self) -> DatasetStatistics | None:
        from scaling_tasks.samples.statistics import compute_statistics

        if not self._target.needs_data:
            return None
        spec = self._target.spec
        dataset = dataset_of(self._target)
        return compute_statistics(self._measurements, self._signature.inputs, spec.auto_scaling, dataset)

    @cached_property
    def _plan(self) -> BucketPlan:
        from scaling_tasks.pipeline.buckets import make_plan

        return make_plan(self._target, self._signature, self._statistics)


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return True
