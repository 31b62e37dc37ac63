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

from doit.task import DelayedLoader, Task, dict_to_task

from scaling_tasks.doit_plugin.groups import Above, RequestedNames, named_on_command_line
from scaling_tasks.doit_plugin.optional import missing_toolchain
from scaling_tasks.doit_plugin.tasks import TaskDict, left_out_task, stage_task
from scaling_tasks.stages.graph import STAGES, stages_of
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import read_units_if_there

__all__ = ["creators"]

_LEFT_OUT = "toolchain"
_RUNNING = {"running": True}


def creators(targets: Sequence[Target]) -> dict[str, Any]:
    """Return everything that a dodo namespace needs to have the targets' tasks."""
    namespace: dict[str, Any] = {}
    for name, stage in STAGES.items():
        concerned = [target for target in targets if stage.applies(target)]
        if stage.after_plan:
            requested = RequestedNames()
            later = [_TargetStage(name, target, requested) for target in concerned]
            namespace |= {f"{name}:{each.target.name}": _delayed(each) for each in later}
            namespace[name] = _group(name, later, requested)
        else:
            namespace[name] = _creator(_Stage(name, tuple(concerned)), _Stage.tasks)
    return namespace


def _doc(stage: str, target: Target) -> str:
    return f"{target.name}: {STAGES[stage].doc}"


def _creator(owner: Any, method: Callable[..., Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(create_doit_tasks=_own_method(owner, method))


def _own_method(owner: Any, method: Callable[..., Any]) -> Any:
    """Return a bound method with a function of its own.

    doit reads a creator's settings from attributes of its function, takes real methods only, and pickles them where
    processes are spawned: a closure would do for the first two, a bound method does for all three.
    """
    source: Any = method
    function = types.FunctionType(source.__code__, source.__globals__, source.__name__, source.__defaults__)
    function.__doc__ = source.__doc__
    return types.MethodType(function, owner)


def _delayed(later: _TargetStage) -> types.SimpleNamespace:
    per_unit = STAGES[later.stage].per_unit
    creator = _own_method(later, _TargetStage.units if per_unit else _TargetStage.whole)
    creator.__func__.__doc__ = _doc(later.stage, later.target)
    creator.__func__.doit_create_after = later.loader(creator)
    return types.SimpleNamespace(create_doit_tasks=creator)


def _group(stage: str, later: Sequence[_TargetStage], requested: RequestedNames) -> types.SimpleNamespace:
    creator = _own_method(_Group(stage, tuple(later), requested), _Group.tasks)
    creator.__func__.__doc__ = STAGES[stage].doc
    loader = DelayedLoader(creator)
    loader.regex_groups = requested
    loader.kwargs = _RUNNING
    creator.__func__.doit_create_after = loader
    return types.SimpleNamespace(create_doit_tasks=creator)


@dataclass(frozen=True)
class _Group:
    """The task that stands for a stage of every target."""

    stage: str
    targets: tuple[_TargetStage, ...]
    requested: RequestedNames

    def tasks(self, running: bool = False) -> Iterator[Any]:
        """Yield the group, and for each sub-task asked for by name a task that waits until it can be created."""
        prefix = f"{self.stage}:"
        below = [prefix + each.target.name for each in self.targets]
        if not running and STAGES[self.stage].per_unit:
            # For commands that look one level down; a run meets other units than these where plans change.
            below += [f"{prefix}{each.target.name}:{name}" for each in self.targets for name in each.names()]
        yield {"name": None, "doc": STAGES[self.stage].doc, "task_dep": below}
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
        yield {"name": None, "doc": STAGES[self.stage].doc}
        scanned: dict[str, str] = {}
        for target in self.targets:
            task = stage_task(STAGES[self.stage], target)
            if self.stage == "scan" and (first := scanned.setdefault(str(target.scan_cache), target.name)):
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
        stages = [each.name for each in stages_of(self.target) if each.after_plan or each.name == "buckets"]
        loader = DelayedLoader(creator, executed=f"{stages[stages.index(self.stage) - 1]}:{self.target.name}")
        loader.kwargs = _RUNNING
        return loader

    @property
    def group(self) -> str:
        """The name that stands for the stage of this target."""
        return f"{self.stage}:{self.target.name}"

    def units(self, running: bool = False) -> Iterator[Task]:
        """Yield the group and one task per unit of the plan, none where there is no plan yet."""
        names = self.names(running=running)
        doc = _doc(self.stage, self.target)
        below = [f"{self.group}:{name}" for name in names]
        group = dict_to_task({"name": self.group, "doc": doc, "actions": None, "task_dep": below})
        group.has_subtask = True
        yield _below(group, Above(self.stage, listed=True))
        for name in names:
            task = {"name": f"{self.group}:{name}", "doc": f"{self.target.name} {name}: {STAGES[self.stage].doc}"}
            yield _below(dict_to_task({**task, **self._unit(name)}), Above(self.group))

    def whole(self, running: bool = False) -> Task:
        """Return the task that concerns all units of the target."""
        task: TaskDict = {"actions": None}
        if not missing_toolchain(self.target):
            task = stage_task(STAGES[self.stage], self.target)
        made = dict_to_task({"name": self.group, "doc": _doc(self.stage, self.target), **task})
        return _below(made, Above(self.stage, listed=True))

    def names(self, *, running: bool = False) -> list[str]:
        """Return the names of the units there are, and of those that were asked for and may not exist."""
        if missing_toolchain(self.target):
            return [_LEFT_OUT] if self.stage == "compile" else []
        prefix = f"{self.group}:"
        asked = self.requested.names if running else named_on_command_line(prefix)
        others = [name.removeprefix(prefix) for name in asked if name.startswith(prefix)]
        return list(dict.fromkeys([*_unit_names(self.target), *others]))

    def _unit(self, name: str) -> TaskDict:
        if name == _LEFT_OUT and (reason := missing_toolchain(self.target)):
            return left_out_task(self.target, reason)
        # A unit that the plan has not finds that out and says so.
        return stage_task(STAGES[self.stage], self.target, name)


def _below(task: Task, group: Above) -> Task:
    task.subtask_of = group
    return task


def _unit_names(target: Target) -> list[str]:
    document = read_units_if_there(target.units) if target.compiles else None
    return [unit.name for unit in document.units] if document else []
