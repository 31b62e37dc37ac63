"""What a run would do: every task with whether it would run and why, found out without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scaling_tasks.doit_plugin.changes import Change, reasons_of
from scaling_tasks.doit_plugin.creators import STAGES
from scaling_tasks.errors import ScalingTasksError

if TYPE_CHECKING:
    from scaling_tasks.pipeline.foresight import Foresight
    from scaling_tasks.pipeline.target import Target

__all__ = ["Forecast", "Forecaster"]

RUN, RESTORE, MAY_RUN, KEPT, LEFT_OUT, FAIL = "run", "restore", "may run", "up to date", "left out", "fail"


@dataclass(frozen=True)
class Forecast:
    """What a run would do with one task.

    Attributes:
        name: The task's name.
        action: ``run``; ``restore`` (its result comes from the store); ``may run`` (if what it waits for changes);
            ``up to date``; ``left out`` (optional and without toolchain); ``fail`` (an input is missing).
        reasons: Why, one sentence each.
        changes: The components of its key that changed.
        seconds: How long compiling will take, where it is a compile and there is a history to go by.
        needs: Names of the tasks that come before it.
    """

    name: str
    action: str
    reasons: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    seconds: float | None = None
    needs: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether nothing will be done."""
        return self.action in (KEPT, LEFT_OUT)

    def to_payload(self) -> dict[str, Any]:
        """Return the forecast as plain JSON values."""
        changes = [{"component": each.component, "old": each.old, "new": each.new} for each in self.changes]
        return {
            "name": self.name,
            "action": self.action,
            "reasons": list(self.reasons),
            "changes": changes,
            "seconds": self.seconds,
        }


class Forecaster:
    """Goes through doit's tasks in the order of their dependencies.

    Args:
        tasks: All tasks by name, with the dependencies that follow from files.
        state: doit's dependency manager.
    """

    def __init__(self, tasks: Mapping[str, Any], state: Any) -> None:
        self.tasks = tasks
        self.state = state
        self.rows: dict[str, Forecast] = {}
        self._foresights: dict[str, Foresight] = {}
        self._done: set[str] = set()

    def all(self) -> dict[str, Forecast]:
        """Return the forecast of every task that does something, dependencies first."""
        for name in self.tasks:
            self._visit(name)
        return self.rows

    def _visit(self, name: str) -> None:
        if name in self._done:
            return
        self._done.add(name)
        task = self.tasks[name]
        for needed in (*task.task_dep, *task.setup_tasks):
            self._visit(needed)
        target = target_of(task)
        if target is not None and task.meta["stage"] in _PLANNED:
            self._planned_stages(target)
        elif task.actions:
            self.rows[name] = self._with_foresight(self.status(task), task, target)

    def status(self, task: Any) -> Forecast:
        """Return what doit's own rules say of a task as things are now, and what follows from the tasks before it."""
        needs = (*task.task_dep, *task.setup_tasks)
        found = self.state.get_status(task, self.tasks, get_log=True)
        reasons, changes = reasons_of(task, found.reasons, self.state)
        upstream = [self.rows[need] for need in self._resolved(needs) if not self.rows[need].idle]
        made = {path: row.name for row in upstream for path in self._targets(row.name)}
        missing = [path for path in found.reasons["missing_file_dep"] or () if path not in made]
        if missing:
            lacking = tuple(f"{path} is missing and no task makes it" for path in missing)
            return Forecast(task.name, FAIL, lacking, changes, needs=needs)
        waiting = tuple(sorted({f"{made[path]} may change {path}" for path in task.file_dep if path in made}))
        if found.status != "up-to-date":
            return Forecast(task.name, RUN, reasons or waiting, changes, needs=needs)
        return Forecast(task.name, MAY_RUN if waiting else KEPT, waiting, needs=needs)

    def _resolved(self, names: tuple[str, ...]) -> Iterator[str]:
        """Yield the tasks behind group names."""
        for name in names:
            if name in self.rows:
                yield name
            elif name in self.tasks and not self.tasks[name].actions:
                yield from self._resolved(tuple(self.tasks[name].task_dep))

    def _targets(self, name: str) -> list[str]:
        return list(self.tasks[name].targets) if name in self.tasks else []

    def _with_foresight(self, row: Forecast, task: Any, target: Target | None) -> Forecast:
        """Settle whether a stage before the plan runs, by computing what the stage before it would write."""
        stage = task.meta["stage"] if target else ""
        if target is None or row.action != MAY_RUN or stage not in ("statistics", "buckets"):
            return row
        ahead = self.foresight(target)
        try:
            changes = ahead.summary_changes if stage == "statistics" else ahead.statistics_change
        except ScalingTasksError as error:
            return replace(row, reasons=(*row.reasons, f"not known before: {error}"))
        return replace(row, action=RUN) if changes else replace(row, action=KEPT, reasons=())

    def foresight(self, target: Target) -> Foresight:
        """Return the foresight of a target whose scan has been looked at."""
        from scaling_tasks.pipeline.foresight import Foresight

        if target.name not in self._foresights:
            scan = next((row for row in (self.rows.get(name) for name in self._scans(target)) if row), None)
            self._foresights[target.name] = Foresight(target, rescan=scan is not None and not scan.idle)
        return self._foresights[target.name]

    def _scans(self, target: Target) -> Iterator[str]:
        """Yield the target's scan task, and the one that stands in for it where a data set is shared."""
        name = f"scan:{target.name}"
        yield name
        if name in self.tasks:
            yield from self.tasks[name].task_dep

    def _planned_stages(self, target: Target) -> None:
        from scaling_tasks.doit_plugin.forecast_units import planned_stages

        names = {f"{stage}:{target.name}" for stage in _PLANNED}
        self._done |= {name for name in self.tasks if any(name == own or name.startswith(own + ":") for own in names)}
        for row in planned_stages(self, target):
            self.rows[row.name] = row


_PLANNED = STAGES[STAGES.index("buckets") + 1 :]


def target_of(task: Any) -> Target | None:
    """Return the target whose task this is, None for a task that is not of this package."""
    for check, _, _ in task.uptodate:
        target: Target | None = getattr(check, "target", None)
        if target is not None and task.meta and "stage" in task.meta:
            return target
    return None
