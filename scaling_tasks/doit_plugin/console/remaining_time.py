"""How long the compiles that remain will take, from how long compiles took before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.builds.history import CompileHistory
    from scaling_tasks.doit_plugin.console.run_outcomes import RunOutcomes
    from scaling_tasks.store.store import Store

__all__ = ["RemainingTime"]


class RemainingTime:
    """Looks each unit up once; to be used from one thread."""

    def __init__(self) -> None:
        self._known: dict[str, float | None] = {}
        self._store: Store | None = None
        self._history: CompileHistory | None = None

    def seconds(self, run: RunOutcomes) -> float | None:
        """Return the seconds until everything is compiled, None where there is nothing to go by."""
        now = time.monotonic()
        total, longest, known = 0.0, 0.0, False
        for name in run.expected():
            if name in run.outcomes or not name.startswith("compile:"):
                continue
            expected = self._expected(run.tasks[name])
            if expected is None:
                continue
            known = True
            left = max(0.0, expected - (now - run.started.get(name, now)))
            total, longest = total + left, max(longest, left)
        return max(longest, total / run.most_running) if known else None

    def _expected(self, task: Any) -> float | None:
        if task.name not in self._known:
            self._known[task.name] = self._look_up(task)
        return self._known[task.name]

    def _look_up(self, task: Any) -> float | None:
        from scaling_tasks.builds.graph import STAGES
        from scaling_tasks.builds.history import CompileHistory
        from scaling_tasks.builds.workshop import open_store
        from scaling_tasks.doit_plugin.task_targets import target_of
        from scaling_tasks.errors import ScalingTasksError
        from scaling_tasks.stages.stage import Built

        target, request = target_of(task), STAGES["compile"].request
        if target is None or request is None:
            return None
        try:
            if self._store is None or self._history is None:
                self._store = open_store()
                self._history = CompileHistory(self._store.records())
            components = request(target, Built(target), task.meta["unit"]).action.components
            return 0.0 if self._store.peek(components) else self._history.expected_seconds(components)
        except (ScalingTasksError, OSError):
            return None
