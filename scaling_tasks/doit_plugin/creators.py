"""Task creators: the stages of every target as doit tasks.

The stages up to ``buckets`` are known when doit loads. What comes after depends on the plan, so each later stage of a
target is created when the stage before it has run. One creator per stage *and target* keeps targets independent: asking
for one builds that one only, and one that fails holds up no other.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from doit.task import DelayedLoader

from scaling_tasks.doit_plugin.actions import clean_unit, run_stage
from scaling_tasks.doit_plugin.uptodate import DatasetUnchanged, KeyUnchanged
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import read_units_if_there

__all__ = ["STAGES", "creators"]

STAGES = ("scan", "statistics", "buckets", "compile", "verify", "bundle", "report")
_AFTER_PLAN = STAGES[3:]
_DOCS = {
    "scan": "measure the data set's samples",
    "statistics": "count the shapes the model will see",
    "buckets": "choose the cheapest buckets",
    "compile": "compile one artefact per unit",
    "verify": "compare each artefact with the original model",
    "bundle": "write the manifest that the runtime loads",
    "report": "write the report",
}

TaskDict = dict[str, Any]


def creators(targets: Sequence[Target]) -> dict[str, Any]:
    """Return everything that a dodo namespace needs to have the targets' tasks."""
    namespace: dict[str, Any] = {}
    for stage in STAGES:
        concerned = [target for target in targets if _has(target, stage)]
        if stage in _AFTER_PLAN:
            for target in concerned:
                namespace[f"{stage}:{target.name}"] = _delayed(stage, target)
            namespace[stage] = _creator(_Stage(stage, tuple(concerned)), _Stage.group)
        else:
            namespace[stage] = _creator(_Stage(stage, tuple(concerned)), _Stage.tasks)
    return namespace


def _has(target: Target, stage: str) -> bool:
    if stage in ("scan", "statistics"):
        return target.needs_data
    return stage in ("buckets", "report") or target.compiles


def _creator(owner: Any, method: Callable[..., Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(create_doit_tasks=_own_method(owner, method))


def _own_method(owner: Any, method: Callable[..., Any]) -> Any:
    """Return a bound method with a function of its own.

    doit reads a creator's settings from attributes of its function, takes real methods only, and pickles them where
    processes are spawned: a closure would do for the first two, a bound method does for all three.
    """
    source: Any = method
    function = types.FunctionType(source.__code__, source.__globals__, source.__name__)
    function.__doc__ = source.__doc__
    return types.MethodType(function, owner)


def _delayed(stage: str, target: Target) -> types.SimpleNamespace:
    per_unit = stage in ("compile", "verify")
    creator = _own_method(_TargetStage(stage, target), _TargetStage.units if per_unit else _TargetStage.whole)
    creator.__func__.__doc__ = f"{_DOCS[stage]} of {target.name}"
    stages = [each for each in STAGES[2:] if _has(target, each)]
    before = stages[stages.index(stage) - 1]
    creator.__func__.doit_create_after = DelayedLoader(creator, executed=f"{before}:{target.name}")
    return types.SimpleNamespace(create_doit_tasks=creator)


class _Stage:
    """A stage over all targets."""

    def __init__(self, stage: str, targets: tuple[Target, ...]) -> None:
        self.stage = stage
        self.targets = targets

    def group(self) -> TaskDict:
        """Return the task that stands for the stage of every target."""
        names = [f"{self.stage}:{target.name}" for target in self.targets]
        return {"actions": None, "task_dep": names, "doc": _DOCS[self.stage]}

    def tasks(self) -> Iterator[TaskDict]:
        """Yield the stage's task of every target."""
        yield {"name": None, "doc": _DOCS[self.stage]}
        scanned: dict[str, str] = {}
        for target in self.targets:
            task = _TASKS[self.stage](target)
            if self.stage == "scan" and (first := scanned.setdefault(str(target.scan_directory), target.name)):
                # A data set is scanned once, by the first target that uses it.
                task = task if first == target.name else {"actions": None, "task_dep": [f"scan:{first}"]}
            yield {"name": target.name, "doc": f"{_DOCS[self.stage]} of {target.name}", **task}


class _TargetStage:
    """A stage of one target, created when its plan is known."""

    def __init__(self, stage: str, target: Target) -> None:
        self.stage = stage
        self.target = target

    def units(self) -> Iterator[TaskDict]:
        """Yield one task per unit of the plan, none where there is no plan yet."""
        yield {"name": None, "doc": f"{_DOCS[self.stage]} of {self.target.name}"}
        for name in _unit_names(self.target):
            yield {"name": name, "doc": f"{_DOCS[self.stage]}: {self.target.name} {name}", **self._task(name)}

    def whole(self) -> TaskDict:
        """Return the task that concerns all units of the target."""
        doc = f"{_DOCS[self.stage]} of {self.target.name}"
        return {"doc": doc, **_WHOLE[self.stage](self.target, _unit_names(self.target))}

    def _task(self, unit: str) -> TaskDict:
        return _PER_UNIT[self.stage](self.target, unit)


def _unit_names(target: Target) -> list[str]:
    document = read_units_if_there(target.units) if target.compiles else None
    return [unit.name for unit in document.units] if document else []


def _task(stage: str, target: Target, unit: str | None = None, **more: Any) -> TaskDict:
    arguments = [stage, target] if unit is None else [stage, target, unit]
    return {
        "actions": [(run_stage, arguments)],
        "uptodate": [KeyUnchanged(target, stage, unit)],
        "verbosity": 1,
        "clean": True,
        "meta": {"stage": stage, "target": target.name, "unit": unit},
        **more,
    }


def _scan(target: Target) -> TaskDict:
    from scaling_tasks.pipeline import scan

    return _task(
        "scan", target, targets=[scan.summary(target).as_posix()], uptodate=[DatasetUnchanged(target)], clean=[]
    )


def _statistics(target: Target) -> TaskDict:
    from scaling_tasks.pipeline import scan

    return _task(
        "statistics",
        target,
        file_dep=[scan.summary(target).as_posix(), *_model(target)],
        targets=[target.statistics.as_posix()],
    )


def _buckets(target: Target) -> TaskDict:
    statistics = [target.statistics.as_posix()] if target.needs_data else []
    units = [target.units.as_posix()] if target.compiles else []
    return _task(
        "buckets", target, file_dep=[*statistics, *_model(target)], targets=[target.buckets.as_posix(), *units]
    )


def _model(target: Target) -> list[str]:
    return [target.model.as_posix()] if target.spec.model else []


def _compile(target: Target, unit: str) -> TaskDict:
    return _task(
        "compile",
        target,
        unit,
        task_dep=[f"buckets:{target.name}"],
        targets=[target.artefact_record(unit).as_posix()],
        clean=[(clean_unit, [target, unit])],
    )


def _verify(target: Target, unit: str) -> TaskDict:
    return _task(
        "verify",
        target,
        unit,
        task_dep=[f"compile:{target.name}:{unit}"],
        file_dep=[target.artefact_record(unit).as_posix()],
        targets=[target.verification(unit).as_posix()],
    )


def _bundle(target: Target, units: Sequence[str]) -> TaskDict:
    records = [target.artefact_record(unit).as_posix() for unit in units]
    return _task(
        "bundle",
        target,
        task_dep=[f"buckets:{target.name}", *(f"verify:{target.name}:{unit}" for unit in units)],
        file_dep=[target.buckets.as_posix(), target.units.as_posix(), *records],
        targets=[target.manifest.as_posix()],
    )


def _report(target: Target, units: Sequence[str]) -> TaskDict:
    statistics = [target.statistics.as_posix()] if target.needs_data else []
    manifest = [target.manifest.as_posix()] if target.compiles else []
    verifications = [target.verification(unit).as_posix() for unit in units]
    return _task(
        "report",
        target,
        task_dep=[f"{'bundle' if target.compiles else 'buckets'}:{target.name}"],
        file_dep=[target.buckets.as_posix(), *statistics, *manifest, *verifications],
        targets=[target.report.as_posix()],
    )


_TASKS = {"scan": _scan, "statistics": _statistics, "buckets": _buckets}
_PER_UNIT = {"compile": _compile, "verify": _verify}
_WHOLE = {"bundle": _bundle, "report": _report}
