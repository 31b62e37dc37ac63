"""What a run would do: every task with whether it would run and why, found out without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaling_tasks.doit_plugin.commands.base import target_of
from scaling_tasks.doit_plugin.creators import STAGES
from scaling_tasks.doit_plugin.forecast import KEPT, MAY_RUN, RUN, Forecast, Known
from scaling_tasks.doit_plugin.forecast_units import planned_stages
from scaling_tasks.errors import ScalingTasksError

if TYPE_CHECKING:
    from scaling_tasks.pipeline.target import Target

__all__ = ["Forecaster"]

_PLANNED = STAGES[STAGES.index("buckets") + 1 :]


class Forecaster:
    """Goes through doit's tasks in the order of their dependencies.

    Args:
        tasks: All tasks by name, with the dependencies that follow from files.
        state: doit's dependency manager.
    """

    def __init__(self, tasks: Mapping[str, Any], state: Any) -> None:
        self._known = Known(tasks, state)
        self._done: set[str] = set()

    def all(self) -> dict[str, Forecast]:
        """Return the forecast of every task that does something, dependencies first."""
        for name in self._known.tasks:
            self._visit(name)
        return self._known.rows

    def _visit(self, name: str) -> None:
        if name in self._done:
            return
        self._done.add(name)
        task = self._known.tasks[name]
        for needed in (*task.task_dep, *task.setup_tasks):
            self._visit(needed)
        target = target_of(task)
        if target is not None and task.meta["stage"] in _PLANNED:
            self._planned_stages(target)
        elif task.actions:
            self._known.rows[name] = self._with_foresight(self._known.status(task), task, target)

    def _with_foresight(self, row: Forecast, task: Any, target: Target | None) -> Forecast:
        """Settle whether a stage before the plan runs, by computing what the stage before it would write."""
        stage = task.meta["stage"] if target else ""
        if target is None or row.action != MAY_RUN or stage not in ("statistics", "buckets"):
            return row
        ahead = self._known.foresight(target)
        try:
            changes = ahead.summary_changes if stage == "statistics" else ahead.statistics_change
        except ScalingTasksError as error:
            return replace(row, reasons=(*row.reasons, f"not known before: {error}"))
        return replace(row, action=RUN) if changes else replace(row, action=KEPT, reasons=())

    def _planned_stages(self, target: Target) -> None:
        names = {f"{stage}:{target.name}" for stage in _PLANNED}
        self._done |= {
            name for name in self._known.tasks if any(name == own or name.startswith(own + ":") for own in names)
        }
        for row in planned_stages(self._known, target):
            self._known.rows[row.name] = row
