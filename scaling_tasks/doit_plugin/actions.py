"""What tasks do: each calls one pipeline stage and turns a user's mistake into a failure without a traceback."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from doit.exceptions import TaskFailed

from scaling_tasks.config.environment import knobs
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.pipeline.target import Target

__all__ = ["RunStage", "clean_unit"]


@dataclass(frozen=True)
class RunStage:
    """The action that runs ``pipeline.<stage>.run`` for a target, or for one unit of it.

    An object instead of a function because every task has one, so that a worker that doit spawns comes by here when it
    receives its tasks, before it waits for work.
    """

    stage: str
    target: Target
    unit: str | None = None

    def __call__(self) -> dict[str, Any] | TaskFailed:
        """Return the stage's summary, which doit stores as the task's values."""
        module = import_module(f"scaling_tasks.pipeline.{self.stage}")
        try:
            if knobs().locked and self.target.config is not None:
                return _run_locked(self.stage, self.target, self.unit, module)
            return _run(module, self.target, self.unit)
        except ScalingTasksError as error:
            return TaskFailed(str(error))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_received, (self.stage, self.target, self.unit))


def _received(stage: str, target: Target, unit: str | None) -> RunStage:
    from scaling_tasks.doit_plugin.processes import end_with_parent

    end_with_parent()
    return RunStage(stage, target, unit)


def _run(module: Any, target: Target, unit: str | None) -> dict[str, Any]:
    summary: dict[str, Any] = module.run(target) if unit is None else module.run(target, unit)
    return summary


def _run_locked(stage: str, target: Target, unit: str | None, module: Any) -> dict[str, Any]:
    """Run a stage that must not lead to another lock file than there is."""
    from scaling_tasks.pipeline import lock

    if stage == "compile":
        lock.refuse(target, unit)
    if stage == "lock":
        lock.refuse_built(target)
        return {"changed": False}
    summary = _run(module, target, unit)
    if stage == "buckets":
        lock.refuse(target)
    return summary


def clean_unit(target: Target, unit: str, dryrun: bool) -> None:
    """Remove a unit's artefact files and records; the store keeps its copy."""
    from scaling_tasks.pipeline import artefacts

    for path in artefacts.files_of(target, unit):
        if path.exists():
            # As doit says it of targets; a clean action has no other way to speak.
            sys.stdout.write(f"compile:{target.name}:{unit} - removing file '{path}'\n")
            if not dryrun:
                path.unlink(missing_ok=True)
