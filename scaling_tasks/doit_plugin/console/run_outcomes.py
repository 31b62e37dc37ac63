"""What happened in a run so far: outcome and duration of every task of this package."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from scaling_tasks.doit_plugin.console.causes import Failures
from scaling_tasks.doit_plugin.doit_internals import is_delayed

__all__ = ["RunOutcomes", "is_ours", "told_by"]

UNREACHED, FAILED, KEPT = "not reached", "failed", "up to date"


def is_ours(task: Any) -> bool:
    """Return whether a task does the work of a stage."""
    # Not by its actions: doit would make them for that, of thousands of tasks that have nothing to do.
    return bool(task.meta) and "stage" in task.meta


def told_by(task: Any) -> dict[str, Any]:
    """Return what a stage has told, now or when it was last run; nothing where doit's state of it is not to be used."""
    from scaling_tasks.actions.told import told

    try:
        return told(task.values)
    except ValueError:
        return {}


class RunOutcomes:
    """Outcomes by task name.

    Attributes:
        tasks: doit's live table of tasks; delayed ones join it as they are created.
        selected: Names of the tasks asked for.
        outcomes: ``compiled``, ``restored``, ``done``, ``up to date``, ``failed``, ``not reached`` or ``left out``.
        failures: What failed tasks said, those with one cause together.
        seconds: How long a task took.
        spans: Each task that ran, when it began by the monotonic clock, and how long it took, in order of their ends.
        started: When the tasks that are running now began, by the monotonic clock, in that order.
        most_running: Most tasks that have run at once.
    """

    def __init__(self, tasks: Mapping[str, Any] | None = None) -> None:
        self.tasks = tasks or {}
        self.selected: tuple[str, ...] = ()
        self.outcomes: dict[str, str] = {}
        self.failures = Failures(self.tasks)
        self.seconds: dict[str, float] = {}
        self.spans: list[tuple[str, float, float]] = []
        self.started: dict[str, float] = {}
        self.most_running = 1
        self.begun = time.monotonic()
        self._expected: dict[str, None] = {}
        self._delayed: list[str] = []
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, tasks: Mapping[str, Any], selected: Iterable[str]) -> None:
        """Keep doit's live table of tasks, and what was asked for."""
        self.tasks, self.selected, self.failures = tasks, tuple(selected), Failures(tasks)

    def start(self, name: str) -> None:
        """Note that a task runs."""
        self.started[name] = time.monotonic()
        self.most_running = max(self.most_running, len(self.started))

    def fail(self, name: str, message: str) -> bool:
        """Note that a task failed; return whether none before had the same cause."""
        self.end(name, FAILED)
        return self.failures.add(name, message)

    def end(self, name: str, outcome: str) -> None:
        """Note how a task ended."""
        begun = self.started.pop(name, None)
        if begun is not None:
            self.seconds[name] = time.monotonic() - begun
            self.spans.append((name, begun, self.seconds[name]))
        self.outcomes[name] = outcome

    def expected(self) -> list[str]:
        """Return the names of all tasks that this run concerns as far as known."""
        with self._lock:
            self._look_further()
            return list(self._expected)

    def progress(self) -> tuple[int, int, bool]:
        """Return how many tasks have ended, of how many that this run concerns, and whether more may join them."""
        with self._lock:
            self._look_further()
            return len(self.outcomes), len(self._expected), bool(self._delayed)

    def _look_further(self) -> None:
        """Follow the tasks that this run concerns from where they were not known any further the last time.

        A run of thousands of units asks after each of them.
        """
        pending = self._delayed if self._expected or self._delayed else list(self.selected)
        self._delayed = []
        self._seen.update(pending)
        while pending:
            name = pending.pop()
            task = self.tasks.get(name)
            if task is None:
                continue
            if is_ours(task):
                self._expected[name] = None
            needed = [*task.task_dep, *task.setup_tasks]
            if (before := is_delayed(task)) is not None:
                self._delayed.append(name)
                needed += [before] if before else []
            pending += [each for each in needed if each not in self._seen]
            self._seen.update(needed)

    def rows(self) -> list[dict[str, Any]]:
        """Gather one row of facts per target that this run reached."""
        rows: dict[str, dict[str, Any]] = {}
        for name, outcome in self.outcomes.items():
            task = self.tasks[name]
            row = rows.setdefault(task.meta["target"], {"target": task.meta["target"], "units": {}})
            stage = task.meta["stage"]
            row.setdefault("outcomes", {}).setdefault(stage, outcome)
            values = told_by(task)
            if outcome == "left out":
                row["left out"] = values["reason"]
            elif stage == "compile":
                row["units"][task.meta["unit"]] = outcome
            elif stage == "verify" and "absolute" in values:
                row["difference"] = max(row.get("difference", 0.0), values["absolute"])
            else:
                row[stage] = values
        return [rows[name] for name in sorted(rows)]

    def store_line(self) -> str:
        """Return in one line what the store did for this run; nothing where nothing was compiled or restored."""
        restored = self._values("restored")
        compiled = [*self._values("compiled"), *self._values("done")]
        if not restored and not compiled:
            return ""
        from scaling_tasks.doit_plugin.console.quantities import duration, size

        return (
            f"store: {_count(len(restored), 'hit')}, {_count(len(compiled), 'miss', 'misses')}; "
            f"{size(_sum(restored, 'bytes'))} restored, {size(_sum(compiled, 'bytes'))} added; "
            f"{duration(_sum(restored, 'seconds'))} of work saved"
        )

    def _values(self, outcome: str) -> list[Mapping[str, Any]]:
        values = (told_by(self.tasks[name]) for name, ended in self.outcomes.items() if ended == outcome)
        return [each for each in values if each.get("outcome") == outcome]


def _sum(values: Iterable[Mapping[str, Any]], key: str) -> float:
    return sum(float(each.get(key, 0.0)) for each in values)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
