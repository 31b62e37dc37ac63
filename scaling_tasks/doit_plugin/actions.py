"""What tasks do: each calls one pipeline stage and turns a user's mistake into a failure without a traceback."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from doit.exceptions import TaskFailed

from scaling_tasks.config.environment import knobs
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.pipeline.target import Target

__all__ = ["clean_unit", "run_stage"]


def run_stage(stage: str, target: Target, unit: str | None = None) -> dict[str, Any] | TaskFailed:
    """Run ``pipeline.<stage>.run`` and return its summary, which doit stores as the task's values."""
    module = import_module(f"scaling_tasks.pipeline.{stage}")
    try:
        if knobs().locked and target.config is not None:
            return _run_locked(stage, target, unit, module)
        summary: dict[str, Any] = module.run(target) if unit is None else module.run(target, unit)
    except ScalingTasksError as error:
        return TaskFailed(str(error))
    return summary


def _run_locked(stage: str, target: Target, unit: str | None, module: Any) -> dict[str, Any]:
    """Run a stage that must not lead to another lock file than there is."""
    from scaling_tasks.pipeline import lock

    if stage == "compile":
        lock.refuse(target, unit)
    if stage == "lock":
        lock.refuse_built(target)
        return {"changed": False}
    summary: dict[str, Any] = module.run(target) if unit is None else module.run(target, unit)
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
