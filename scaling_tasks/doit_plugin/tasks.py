"""A stage's doit task: action, dependencies and targets as doit's dictionary."""

from __future__ import annotations

from typing import Any

from scaling_tasks.doit_plugin.actions import RunStage, clean_stage
from scaling_tasks.doit_plugin.optional import leave_out
from scaling_tasks.doit_plugin.uptodate import StageCurrent
from scaling_tasks.stages.graph import STAGES
from scaling_tasks.stages.stage import Stage
from scaling_tasks.stages.target import Target

__all__ = ["TaskDict", "left_out_task", "stage_task"]

TaskDict = dict[str, Any]


def stage_task(stage: Stage, target: Target, unit: str | None = None) -> TaskDict:
    """Return the task of a stage for a target, or for one unit of it."""
    return {
        "actions": [RunStage(stage.name, target, unit)],
        "uptodate": [StageCurrent(target, stage.name, unit)],
        # For tasks of a dodo file that make a model, and for those that take up a product.
        "file_dep": [target.model.as_posix()] if target.spec.model and not stage.after_plan else [],
        "targets": [path.as_posix() for path in stage.products(target)],
        "task_dep": [_name(each, target, unit) for each in stage.after if STAGES[each].applies(target)],
        "verbosity": 1,
        # Stages print nothing. Capturing would swap the streams of the whole process under the other threads.
        "io": {"capture": False},
        "clean": [] if stage.lasting else [(clean_stage, [stage.name, target, unit])],
        "meta": {"stage": stage.name, "target": target.name, "unit": unit},
    }


def left_out_task(target: Target, reason: str) -> TaskDict:
    """Return the task that stands for all units of a target whose toolchain is missing."""
    return {
        "actions": [(leave_out, [target, reason])],
        "verbosity": 1,
        "meta": {"stage": "compile", "target": target.name, "unit": None},
    }


def _name(stage: str, target: Target, unit: str | None) -> str:
    """Return what a stage's task for a unit waits for: that unit alone where the stage before has it, else all."""
    of_unit = unit is not None and STAGES[stage].per_unit
    return f"{stage}:{target.name}:{unit}" if of_unit else f"{stage}:{target.name}"
