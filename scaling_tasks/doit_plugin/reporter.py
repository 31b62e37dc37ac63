"""What a run prints: a line per finished task, failures at once and again at the end, and a table of the targets."""

from __future__ import annotations

import signal
import threading
from typing import Any

from doit.exceptions import BaseFail, UnmetDependency
from doit.reporter import ConsoleReporter

from scaling_tasks.doit_plugin.optional import note_selection

__all__ = ["ScalingReporter"]


class ScalingReporter(ConsoleReporter):  # type: ignore[misc]  # doit carries no types
    """doit's console reporter, with stages, outcomes and a closing table for the tasks of this package."""

    desc = "scaling_tasks: a line per finished task and a table of targets"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self.failures: list[dict[str, Any]] = []
        self.tasks: dict[str, Any] = {}
        self.outcomes: dict[str, str] = {}
        # With threads, doit calls some of these methods from its workers.
        self.lock = threading.Lock()

    def initialize(self, tasks: dict[str, Any], selected_tasks: list[str]) -> None:
        """Keep doit's live table of tasks; delayed ones join it as they are created."""
        self.tasks = tasks
        note_selection(selected_tasks, tasks)
        # Continuous integration stops a job with SIGTERM; as an interrupt it lets doit close and compilers be stopped.
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def execute_task(self, task: Any) -> None:
        """Say nothing at the start of our tasks: their line says how they ended."""
        if not _is_ours(task):
            super().execute_task(task)

    def add_success(self, task: Any) -> None:
        """Print what the task did."""
        if not _is_ours(task):
            super().add_success(task)
            return
        self.outcomes[task.name] = task.values.get("outcome", "done")
        self._line(f".  {task.name}{_result(task)}")
        for warning in task.values.get("warnings", ()):
            self._line(f"   warning: {warning}")

    def skip_uptodate(self, task: Any) -> None:
        """Count what was up to date; the closing table tells."""
        if not _is_ours(task):
            if task.actions:
                super().skip_uptodate(task)
            return
        self.outcomes[task.name] = "up to date"

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        """Print what failed, at once; what only waited for it is named in the closing summary."""
        if not _is_ours(task) and task.actions:
            super().add_failure(task, fail)
            return
        if not task.actions:
            return
        unmet = isinstance(fail, UnmetDependency)
        self.outcomes[task.name] = "not reached" if unmet else "failed"
        if not unmet:
            self.failures.append({"task": task, "exception": fail})
            self._line(f"!  {task.name} failed: {fail.get_msg().strip()}")

    def complete_run(self) -> None:
        """Print the table of the targets, then every failure once more."""
        from scaling_tasks.reporting.summary import table

        rows = self._rows()
        if rows:
            self._line("")
            self._line(table(rows))
        for row in rows:
            if "left out" in row:
                self._line(f"left out: {row['target']}: {row['left out']}")
        ours = [each for each in self.failures if _is_ours(each["task"])]
        self.failures = [each for each in self.failures if not _is_ours(each["task"])]
        super().complete_run()
        if ours:
            unreached = sum(outcome == "not reached" for outcome in self.outcomes.values())
            waited = f"; {unreached} more could not start because of that" if unreached else ""
            self._line(f"\n{len(ours)} failed{waited}:")
            for each in ours:
                self._line(f"  {each['task'].name}: {each['exception'].get_msg().strip()}")

    def _rows(self) -> list[dict[str, Any]]:
        """Gather one row of facts per target that this run reached."""
        rows: dict[str, dict[str, Any]] = {}
        for name, outcome in self.outcomes.items():
            task = self.tasks[name]
            row = rows.setdefault(task.meta["target"], {"target": task.meta["target"], "units": {}})
            stage = task.meta["stage"]
            row.setdefault("outcomes", {}).setdefault(stage, outcome)
            if outcome == "left out":
                row["left out"] = task.values["reason"]
            elif stage == "compile":
                row["units"][task.meta["unit"]] = outcome
            elif stage == "verify" and "absolute" in task.values:
                row["difference"] = max(row.get("difference", 0.0), task.values["absolute"])
            else:
                row[stage] = dict(task.values)
        return [rows[name] for name in sorted(rows)]

    def _line(self, text: str) -> None:
        with self.lock:
            self.write(text + "\n")


def _is_ours(task: Any) -> bool:
    return bool(task.meta) and "stage" in task.meta and bool(task.actions)


def _result(task: Any) -> str:
    values = task.values
    if values.get("outcome") == "compiled":
        return f"  compiled in {values['seconds']:.1f} s"
    if values.get("outcome") == "left out":
        return f"  left out: {values['reason']}"
    if values.get("outcome") == "restored":
        return f"  from the store (compiling took {values['seconds']:.1f} s)"
    if "padding_ratio" in values:
        return f"  {values['buckets']} buckets, padding ratio {values['padding_ratio']:.3f}"
    if "samples" in values:
        return f"  {values['weight']:.0f} samples, {values['samples']} distinct"
    if "absolute" in values:
        return f"  largest difference {values['absolute']:.2g}"
    return ""
