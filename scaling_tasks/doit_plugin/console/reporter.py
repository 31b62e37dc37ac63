"""What a run prints: a line per finished task, failures at once and again at the end, and a table of the targets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from doit.exceptions import BaseFail, UnmetDependency
from doit.reporter import ConsoleReporter

from scaling_tasks.config.environment import EnvironmentSettings, environment_settings
from scaling_tasks.doit_plugin.console.causes import short
from scaling_tasks.doit_plugin.console.progress import Progress
from scaling_tasks.doit_plugin.console.run_outcomes import KEPT, UNREACHED, RunOutcomes, is_ours
from scaling_tasks.doit_plugin.console.status_line import StatusLine, wants_bar
from scaling_tasks.doit_plugin.console.transfers import finish_transfers, transfers_line
from scaling_tasks.doit_plugin.interruption import interruptible, run_is_over
from scaling_tasks.doit_plugin.missing_toolchains import note_selection
from scaling_tasks.errors import ConfigError, ScalingTasksError, of_disk, printable

__all__ = ["ScalingReporter"]


class ScalingReporter(ConsoleReporter):  # type: ignore[misc]  # doit carries no types
    """doit's console reporter, with progress, outcomes and a closing table for the tasks of this package."""

    desc = "scaling_tasks: progress, a line per finished task, and a table of targets"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self.failures: list[dict[str, Any]] = []
        self.run = RunOutcomes()
        self.progress = Progress(self.run)
        # With threads, doit calls some of these methods from its workers.
        self.lock = threading.Lock()
        self.settings, self.bar = _settings(outstream)
        self.lines = StatusLine(outstream, self.progress.text, shown=self.bar)

    def initialize(self, tasks: dict[str, Any], selected_tasks: list[str]) -> None:
        """Keep doit's live table of tasks; delayed ones join it as they are created."""
        from scaling_tasks.execution.file_locks import when_waiting
        from scaling_tasks.store.notices import when_told

        self.run.begin(tasks, selected_tasks)
        note_selection(selected_tasks, tasks)
        interruptible()
        when_waiting(self.lines.line)
        when_told(self.lines.line)

    def write(self, text: str) -> None:
        """Write what doit itself has to say, above the status line."""
        self.lines.line(text.removesuffix("\n"))

    def execute_task(self, task: Any) -> None:
        """Say nothing at the start of our tasks: their line says how they ended."""
        if is_ours(task):
            with self.lock:
                self.run.start(task.name)
        else:
            super().execute_task(task)
            if task.actions:
                self.lines.hide_for_guest()
        self.lines.start()

    def add_success(self, task: Any) -> None:
        """Print what the task did."""
        if not is_ours(task):
            self._guest_left(task)
            super().add_success(task)
            return
        with self.lock:
            self.run.end(task.name, task.values.get("outcome", "done"))
        text = [f".  {task.name}{_result(task)}{self._count()}"]
        text += [f"   warning: {printable(warning)}" for warning in task.values.get("warnings", ())]
        self.lines.line("\n".join(text))

    def skip_uptodate(self, task: Any) -> None:
        """Count what was up to date; the closing table tells."""
        if is_ours(task):
            with self.lock:
                self.run.end(task.name, KEPT)
        elif task.actions:
            super().skip_uptodate(task)

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        """Print what failed, at once, but each cause once; what only waited for it is named in the closing summary."""
        if not is_ours(task) and task.actions:
            self._guest_left(task)
            super().add_failure(task, fail)
        elif task.actions:
            if isinstance(fail, UnmetDependency):
                with self.lock:
                    self.run.end(task.name, UNREACHED)
                return
            message = fail.get_msg().strip()
            with self.lock:
                new = self.run.fail(task.name, message)
            if new:
                self.lines.line(f"!  {task.name} failed: {short(message)}{self._count()}")

    def complete_run(self) -> None:
        """Print the table of the targets, then each cause of failures; leave the reports that CI asked for."""
        finish_transfers(self.lines.line)
        self.lines.stop()
        for line in self._closing():
            self.lines.line(line)
        super().complete_run()
        for line in self._failures():
            self.lines.line(line)
        self._write_reports()
        run_is_over()

    def _guest_left(self, task: Any) -> None:
        if task.actions:
            self.lines.guest_left()

    def _count(self) -> str:
        return "" if self.bar else f"  ({self.progress.count()})"

    def _closing(self) -> list[str]:
        from scaling_tasks.reporting.summary import table

        rows = self.run.rows()
        lines = ["", table(rows)] if rows else []
        lines += [f"left out: {row['target']}: {row['left out']}" for row in rows if "left out" in row]
        return [*lines, *filter(None, (self.run.store_line(), transfers_line()))]

    def _failures(self) -> list[str]:
        failures = self.run.failures
        if not failures.messages:
            return []
        unreached = sum(outcome == UNREACHED for outcome in self.run.outcomes.values())
        waited = f"; {unreached} more could not start because of that" if unreached else ""
        lines = [f"\n{failures.heading()}{waited}:"]
        for names in failures.by_cause():
            lines.append(f"  {failures.title(names)}: {failures.message(names)}")
            lines += [f"    {place}" for place in failures.places(names)]
        return lines

    def _write_reports(self) -> None:
        if not self.run.outcomes:
            return
        junit, summary = self.settings.junit, self.settings.summary
        reports: dict[str, Callable[[], None] | None] = {
            "JUnit report": partial(_write_junit, junit, self.run) if junit else None,
            "job's summary": partial(_append_summary, summary, self.run) if summary else None,
            "profile of this run": partial(_write_profile, self.run) if self.run.spans else None,
        }
        for what, write in reports.items():
            try:
                if write is not None:
                    write()
            except OSError as error:
                told = of_disk(error, ScalingTasksError, where="", what=f"the {what} could not be written")
                self.lines.line(f"warning: {told}")


def _settings(outstream: Any) -> tuple[EnvironmentSettings, bool]:
    """Return what the environment says, and whether there is a status line."""
    try:
        found = environment_settings()
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    return found, wants_bar(outstream, found.progress)


def _write_junit(path: Path, run: RunOutcomes) -> None:
    from scaling_tasks.doit_plugin.console.junit import junit_xml
    from scaling_tasks.files import publish

    with publish(path, below=path.parent) as temporary:
        temporary.write_bytes(junit_xml(run))


def _append_summary(path: Path, run: RunOutcomes) -> None:
    from scaling_tasks.doit_plugin.console.job_summary import job_summary

    with path.open("a", encoding="utf-8") as file:
        file.write(job_summary(run))


def _write_profile(run: RunOutcomes) -> None:
    from scaling_tasks.doit_plugin.console.profile import write_profile

    write_profile(run)


def _result(task: Any) -> str:
    worker = task.values.get("worker")
    return f"{_result_of(task)}{f'  on {worker}' if worker else ''}"


def _result_of(task: Any) -> str:
    from scaling_tasks.reporting.figures import counted, difference

    values = task.values
    if values.get("outcome") == "compiled":
        return f"  compiled in {values['seconds']:.1f} s"
    if values.get("outcome") == "left out":
        return f"  left out: {values['reason']}"
    if values.get("outcome") == "restored":
        return f"  from the store ({values['seconds']:.1f} s of work)"
    if "padding_ratio" in values:
        ratio = values["padding_ratio"]
        told = "-" if ratio is None else f"{ratio:.3f}"
        return f"  {counted(values['buckets'], 'bucket')}, padding ratio {told}"
    if "line" in values:
        return f"  {values['line']}"
    if "samples" in values:
        return f"  {counted(values['weight'], 'sample')}, {values['samples']} distinct"
    if "absolute" in values:
        what = "change by padding" if task.meta["stage"] == "padding" else "difference"
        return f"  largest {what} {difference(values['absolute'])}"
    return ""
