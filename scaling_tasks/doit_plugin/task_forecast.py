"""What a run would do with every task, those of a dodo file among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaling_tasks.builds.forecast import FAIL, KEPT, MAY_RUN, RUN, Forecast, Forecaster
from scaling_tasks.doit_plugin.missing_toolchains import missing_toolchain
from scaling_tasks.doit_plugin.task_targets import target_of

if TYPE_CHECKING:
    from scaling_tasks.stages.target import Target

__all__ = ["forecast_tasks"]

_FILE_REASONS = {
    "missing_target": "{} does not exist",
    "changed_file_dep": "{} has changed",
    "missing_file_dep": "{} does not exist yet",
    "removed_file_dep": "{} is no longer an input",
    "added_file_dep": "{} is a new input",
}


def forecast_tasks(tasks: Mapping[str, Any], state: Any) -> dict[str, Forecast]:
    """Return the forecast of every task that does something, dependencies first.

    Args:
        tasks: All tasks by name, with the dependencies that follow from files.
        state: doit's dependency manager.
    """
    walk = _Walk(tasks, state)
    for name in tasks:
        walk.visit(name)
    return walk.rows


class _Walk:
    def __init__(self, tasks: Mapping[str, Any], state: Any) -> None:
        self.rows: dict[str, Forecast] = {}
        self._tasks, self._state = tasks, state
        self._done: set[str] = set()
        self._makers: dict[str, list[str]] = {}  # Of files, tasks that are not idle.
        self._forecaster = Forecaster()

    def visit(self, name: str) -> None:
        if name in self._done or name not in self._tasks:
            return
        self._done.add(name)
        task = self._tasks[name]
        target = target_of(task)
        for needed in (*task.task_dep, *task.setup_tasks):
            self.visit(needed)
        if target is not None:
            self._targets_rows(target)
        elif task.actions:
            self._add(self._guest(task))

    def _targets_rows(self, target: Target) -> None:
        if f"buckets:{target.name}" in self.rows:
            return
        left_out = missing_toolchain(target) if target.compiles else None
        makers = self._changers([target.model.as_posix()] if target.spec.model else [])
        for row in self._forecaster.forecasts(target, left_out):
            if makers and row.action in (KEPT, FAIL):
                action = MAY_RUN if row.idle else RUN
                row = replace(row, action=action, reasons=tuple(makers), needs=row.needs)
            self._add(row)

    def _add(self, row: Forecast) -> None:
        self.rows[row.name] = row
        if not row.idle and row.name in self._tasks:
            for path in self._tasks[row.name].targets:
                self._makers.setdefault(path, []).append(row.name)

    def _guest(self, task: Any) -> Forecast:
        """Return what doit's own rules say of a task, and what follows from the tasks before it."""
        needs = (*task.task_dep, *task.setup_tasks)
        found = self._state.get_status(task, self._tasks, get_log=True)
        waiting = tuple(self._changers(task.file_dep))
        made = {path for path in task.file_dep if any(path in reason for reason in waiting)}
        if missing := [path for path in found.reasons["missing_file_dep"] or () if path not in made]:
            lacking = tuple(f"{path} is missing and no task makes it" for path in missing)
            return Forecast(task.name, FAIL, lacking, needs=needs)
        if found.status != "up-to-date":
            return Forecast(task.name, RUN, _reasons(task, found.reasons, self._state) or waiting, needs=needs)
        return Forecast(task.name, MAY_RUN if waiting else KEPT, waiting, needs=needs)

    def _changers(self, paths: Iterable[str]) -> list[str]:
        """Return which tasks that are not idle may change which of the paths."""
        return sorted(f"{name} may change {path}" for path in paths for name in self._makers.get(path, ()))


def _reasons(task: Any, reasons: Mapping[str, Any], state: Any) -> tuple[str, ...]:
    return tuple(_sentences(task, reasons, state))


def _sentences(task: Any, reasons: Mapping[str, Any], state: Any) -> Iterator[str]:
    if not state.backend.in_(task.name):
        yield "it has not run here"
        return
    if reasons["has_no_dependencies"]:
        yield "it has nothing that could be up to date, so it always runs"
    yield from (f"{check!r} says so" for check, _, _ in reasons["uptodate_false"] or ())
    if reasons["checker_changed"]:
        yield "files were compared in another way"
    for reason, sentence in _FILE_REASONS.items():
        yield from (sentence.format(path) for path in reasons.get(reason) or ())
