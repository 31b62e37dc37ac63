"""A stage's doit task: what it does, what it waits for, and what ``clean`` removes."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from doit.exceptions import TaskFailed

from scaling_tasks.builds.graph import STAGES
from scaling_tasks.config.environment import environment_settings
from scaling_tasks.doit_plugin.missing_toolchains import leave_out, units_asked_for
from scaling_tasks.doit_plugin.uptodate import StageCurrent
from scaling_tasks.errors import CacheError, ScalingTasksError, of_disk, printable
from scaling_tasks.files import remove_whole
from scaling_tasks.stages.stage import Stage
from scaling_tasks.stages.target import Target

__all__ = ["RunStage", "TaskDict", "clean_stage", "left_out_task", "stage_task"]

TaskDict = dict[str, Any]


def stage_task(stage: Stage, target: Target, unit: str | None = None, *, cleaned: bool = True) -> TaskDict:
    """Return the task of a stage for a target, or for one unit of it.

    Args:
        stage: The stage.
        target: The target.
        unit: The unit, where it is for one.
        cleaned: Whether `clean` may ask for it; a run asks thousands of tasks for nothing of that kind.
    """
    return {
        "actions": [RunStage(stage.name, target, unit)],
        "uptodate": [StageCurrent(target, stage.name, unit)],
        # For tasks of a dodo file that make a model, and for those that take up a product.
        # The lock waits for stages that have it, and stays as it is where these are left out, whatever the model.
        "file_dep": [target.model.as_posix()] if target.spec.model and _reads_model(stage) else [],
        "targets": [path.as_posix() for path in stage.products(target)],
        "task_dep": [_name(each, target, unit) for each in stage.after if STAGES[each].applies(target)],
        "verbosity": 1,
        # Stages print nothing. Capturing would swap the streams of the whole process under the other threads.
        "io": {"capture": False},
        "clean": [] if stage.lasting or not cleaned else [(clean_stage, [stage.name, target, unit])],
        "meta": {"stage": stage.name, "target": target.name, "unit": unit, "config": target.config},
    }


def _reads_model(stage: Stage) -> bool:
    return not stage.after_plan and stage.name != "lock"


def left_out_task(target: Target, reason: str) -> TaskDict:
    """Return the task that stands for all units of a target whose toolchain is missing."""
    return {
        "actions": [(leave_out, [target, reason])],
        "verbosity": 1,
        "meta": {"stage": "compile", "target": target.name, "unit": None, "config": target.config},
    }


def _name(stage: str, target: Target, unit: str | None) -> str:
    """Return what a stage's task for a unit waits for: that unit alone where the stage before has it, else all."""
    of_unit = unit is not None and STAGES[stage].per_unit
    return f"{stage}:{target.name}:{unit}" if of_unit else f"{stage}:{target.name}"


class RunStage(msgspec.Struct, frozen=True):
    """The action that runs a stage for a target, or for one unit of it.

    An object instead of a function because every task has one, so that a worker that doit spawns comes by here when it
    receives its tasks, before it waits for work.
    """

    stage: str
    target: Target
    unit: str | None = None

    def __call__(self) -> dict[str, Any] | TaskFailed:
        """Return the stage's summary, which doit stores as the task's values."""
        from scaling_tasks.builds.graph import run_stage
        from scaling_tasks.stages import lock

        locked = environment_settings().locked and self.target.config is not None
        try:
            if locked and self.stage == "compile":
                lock.refuse(self.target, self.unit)
            summary = run_stage(self.stage, self.target, self.unit, others=not units_asked_for())
            if locked and self.stage == "buckets":
                lock.refuse(self.target)
        except ScalingTasksError as error:
            return TaskFailed(str(error))
        except OSError as error:
            return TaskFailed(str(of_disk(error, CacheError, where=f"{self.stage} of {self.target.name}")))
        return summary

    def __reduce__(self) -> tuple[Any, ...]:
        return (_received, (self.stage, self.target, self.unit))


def _received(stage: str, target: Target, unit: str | None) -> RunStage:
    from scaling_tasks.doit_plugin.interruption import end_with_parent

    end_with_parent()
    return RunStage(stage, target, unit)


def clean_stage(stage: str, target: Target, unit: str | None, dryrun: bool) -> None:
    """Remove what a stage made; the store keeps its copy."""
    from scaling_tasks.actions.results import read_result_if_there

    record = target.result(stage, unit)
    result = read_result_if_there(record)
    made = [STAGES[stage].place(target, unit, file.name) for file in result.files] if result else []
    for path in (*made, record) if result else ():
        if path.exists():
            # As doit says it of targets; a clean action has no other way to speak.
            told = f"{stage}:{target.name}{f':{unit}' if unit else ''} - removing file '{path}'"
            sys.stdout.write(f"{printable(told)}\n")
            if not dryrun:
                remove_whole(*target.rooted(path))
