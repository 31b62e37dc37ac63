"""Task creators: the stages of every target as doit tasks.

The stages up to ``buckets``, and ``lock``, are known when doit loads. What comes after the plan depends on it, so each
such stage of a target is created when the stage before it has run. One creator per stage *and target* keeps targets
independent: asking for one builds that one only, and one that fails holds up no other.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from doit.task import DelayedLoader, Task

from scaling_tasks.doit_plugin.optional import missing_toolchain
from scaling_tasks.doit_plugin.tasks import KNOWN, PER_UNIT, WHOLE, TaskDict, left_out_task, stage_task
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import read_units_if_there

__all__ = ["STAGES", "creators"]

_AFTER_PLAN = ("compile", "verify", "bundle", "padding", "metric", "measure", "report")
STAGES = ("scan", "statistics", "buckets", *_AFTER_PLAN, "lock")
_DOCS = {
    "scan": "measure the data set's samples",
    "statistics": "count the shapes the model will see",
    "buckets": "choose the cheapest buckets",
    "compile": "compile",
    "verify": "compare with the original model",
    "bundle": "write the manifest that the runtime loads",
    "padding": "tell what padding does to the answers",
    "metric": "score labelled data through the buckets and at exact shapes",
    "measure": "measure each bucket's latency for the next plan",
    "report": "write the report",
    "lock": "note in scaling.lock what was built",
}


def creators(targets: Sequence[Target]) -> dict[str, Any]:
    """Return everything that a dodo namespace needs to have the targets' tasks."""
    namespace: dict[str, Any] = {}
    for stage in STAGES:
        concerned = [target for target in targets if _has(target, stage)]
        if stage in _AFTER_PLAN:
            requested = RequestedNames()
            later = [_TargetStage(stage, target, requested) for target in concerned]
            namespace |= {f"{stage}:{each.target.name}": _delayed(each) for each in later}
            namespace[stage] = _group(stage, later, requested)
        else:
            namespace[stage] = _creator(_Stage(stage, tuple(concerned)), _Stage.tasks)
    return namespace


def _doc(stage: str, target: Target) -> str:
    return f"{target.name}: {_DOCS[stage]}"


def _has(target: Target, stage: str) -> bool:
    if stage in ("scan", "statistics"):
        return target.needs_data
    if stage == "lock":
        # A target given on a command line belongs to no repository whose lock file it could be noted in.
        return target.config is not None
    if stage == "metric":
        return target.compiles and target.spec.verify.metric is not None
    if stage == "measure":
        return target.compiles and target.spec.auto_scaling.cost == "measured"
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


def _delayed(later: _TargetStage) -> types.SimpleNamespace:
    per_unit = later.stage in PER_UNIT
    creator = _own_method(later, _TargetStage.units if per_unit else _TargetStage.whole)
    creator.__func__.__doc__ = _doc(later.stage, later.target)
    creator.__func__.doit_create_after = later.loader(creator)
    return types.SimpleNamespace(create_doit_tasks=creator)


def _group(stage: str, later: Sequence[_TargetStage], requested: RequestedNames) -> types.SimpleNamespace:
    creator = _own_method(_Group(stage, tuple(later), requested), _Group.tasks)
    creator.__func__.__doc__ = _DOCS[stage]
    loader = DelayedLoader(creator)
    loader.regex_groups = requested
    creator.__func__.doit_create_after = loader
    return types.SimpleNamespace(create_doit_tasks=creator)


class RequestedNames(dict[str, Any]):
    """Learns which sub-tasks of a stage were asked for by name before they exist.

    For ``doit compile:<target>:<unit>`` doit makes a task that only holds the loader of ``compile``, looks its name up
    in the loader's ``regex_groups``, and then calls the creator, which is not told the name. This mapping is always
    empty, as it should be, and remembers what was looked up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        """Note the name and answer that there is no such group."""
        self.names.append(key)
        return default

    def __reduce__(self) -> tuple[Any, ...]:
        return (RequestedNames, ())


@dataclass(frozen=True)
class _Group:
    """The task that stands for a stage of every target."""

    stage: str
    targets: tuple[_TargetStage, ...]
    requested: RequestedNames

    def tasks(self) -> Iterator[Any]:
        """Yield the group, and for each sub-task asked for by name a task that waits until it can be created."""
        prefix = f"{self.stage}:"
        yield {"name": None, "doc": _DOCS[self.stage], "task_dep": [prefix + each.target.name for each in self.targets]}
        for name in dict.fromkeys(self.requested.names):
            for each in self.targets:
                if name.startswith(f"{prefix}{each.target.name}:"):
                    loader = each.loader(_own_method(each, _TargetStage.units))
                    loader.basename = f"{prefix}{each.target.name}"
                    yield Task(name, None, loader=loader)


@dataclass(frozen=True)
class _Stage:
    """A stage over all targets."""

    stage: str
    targets: tuple[Target, ...]

    def tasks(self) -> Iterator[TaskDict]:
        """Yield the stage's task of every target."""
        yield {"name": None, "doc": _DOCS[self.stage]}
        scanned: dict[str, str] = {}
        for target in self.targets:
            task = KNOWN[self.stage](target)
            if self.stage == "scan" and (first := scanned.setdefault(str(target.scan_directory), target.name)):
                # A data set is scanned once, by the first target that uses it.
                task = task if first == target.name else {"actions": None, "task_dep": [f"scan:{first}"]}
            yield {"name": target.name, "doc": _doc(self.stage, target), **task}


@dataclass(frozen=True)
class _TargetStage:
    """A stage of one target, created when its plan is known."""

    stage: str
    target: Target
    requested: RequestedNames

    def loader(self, creator: Any) -> DelayedLoader:
        """Return doit's note to call the creator when the stage before has run."""
        stages = [each for each in ("buckets", *_AFTER_PLAN) if _has(self.target, each)]
        return DelayedLoader(creator, executed=f"{stages[stages.index(self.stage) - 1]}:{self.target.name}")

    def units(self) -> Iterator[TaskDict]:
        """Yield one task per unit of the plan, none where there is no plan yet."""
        yield {"name": None, "doc": _doc(self.stage, self.target)}
        if reason := missing_toolchain(self.target):
            if self.stage == "compile":
                yield {"name": "toolchain", **left_out_task(self.target, reason)}
            return
        names = _unit_names(self.target)
        for name in names:
            doc = f"{self.target.name} {name}: {_DOCS[self.stage]}"
            yield {"name": name, "doc": doc, **PER_UNIT[self.stage](self.target, name)}
        prefix = f"{self.stage}:{self.target.name}:"
        asked = [name.removeprefix(prefix) for name in self.requested.names if name.startswith(prefix)]
        for name in dict.fromkeys(asked):
            if name not in names:
                # Its action finds that the plan has no such unit and says so.
                yield {"name": name, **stage_task(self.stage, self.target, name)}

    def whole(self) -> TaskDict:
        """Return the task that concerns all units of the target."""
        doc = _doc(self.stage, self.target)
        if missing_toolchain(self.target):
            return {"doc": doc, "actions": None}
        return {"doc": doc, **WHOLE[self.stage](self.target, _unit_names(self.target))}


def _unit_names(target: Target) -> list[str]:
    document = read_units_if_there(target.units) if target.compiles else None
    return [unit.name for unit in document.units] if document else []
