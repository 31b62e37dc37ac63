"""What tasks do: each runs one stage and turns a user's mistake into a failure without a traceback."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from doit.exceptions import TaskFailed

from scaling_tasks.config.environment import knobs
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.stages.target import Target

__all__ = ["RunStage", "clean_stage"]


@dataclass(frozen=True)
class RunStage:
    """The action that runs a stage for a target, or for one unit of it.

    An object instead of a function because every task has one, so that a worker that doit spawns comes by here when it
    receives its tasks, before it waits for work.
    """

    stage: str
    target: Target
    unit: str | None = None

    def __call__(self) -> dict[str, Any] | TaskFailed:
        """Return the stage's summary, which doit stores as the task's values."""
        from scaling_tasks.stages import lock
        from scaling_tasks.stages.graph import run_stage

        locked = knobs().locked and self.target.config is not None
        try:
            if locked and self.stage == "compile":
                lock.refuse(self.target, self.unit)
            summary = run_stage(self.stage, self.target, self.unit)
            if locked and self.stage == "buckets":
                lock.refuse(self.target)
        except ScalingTasksError as error:
            return TaskFailed(str(error))
        return summary

    def __reduce__(self) -> tuple[Any, ...]:
        return (_received, (self.stage, self.target, self.unit))


def _received(stage: str, target: Target, unit: str | None) -> RunStage:
    from scaling_tasks.doit_plugin.processes import end_with_parent

    end_with_parent()
    return RunStage(stage, target, unit)


def clean_stage(stage: str, target: Target, unit: str | None, dryrun: bool) -> None:
    """Remove what a stage made; the store keeps its copy."""
    from scaling_tasks.actions.results import read_result_if_there

    record = target.result(stage, unit)
    result = read_result_if_there(record)
    for path in (*(file.path for file in result.files), record) if result else ():
        if path.exists():
            # As doit says it of targets; a clean action has no other way to speak.
            sys.stdout.write(f"{stage}:{target.name}{f':{unit}' if unit else ''} - removing file '{path}'\n")
            if not dryrun:
                path.unlink(missing_ok=True)
