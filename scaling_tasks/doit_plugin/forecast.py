"""What a run would do with one task, and why, found out without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling_tasks.doit_plugin.changes import Change, reasons_of

if TYPE_CHECKING:
    from scaling_tasks.pipeline.foresight import Foresight
    from scaling_tasks.pipeline.target import Target

__all__ = ["FAIL", "KEPT", "LEFT_OUT", "MAY_RUN", "RESTORE", "RUN", "Forecast", "Known"]

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


class Known:
    """What is known of a run before it begins: doit's tasks and state, and the forecasts so far.

    Args:
        tasks: All tasks by name, with the dependencies that follow from files.
        state: doit's dependency manager.
    """

    def __init__(self, tasks: Mapping[str, Any], state: Any) -> None:
        self.tasks = tasks
        self.state = state
        self.rows: dict[str, Forecast] = {}
        self._foresights: dict[str, Foresight] = {}

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
