"""Task creators: the stages of every target as doit tasks.

The stages up to ``buckets``, and ``lock``, are known when doit loads. What comes after the plan depends on it, so each
such stage of a target is created when the stage before it has run. One creator per stage *and target* keeps targets
independent: asking for one builds that one only, and one that fails holds up no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from doit.exceptions import InvalidCommand, TaskFailed
from doit.task import dict_to_task

from scaling_tasks.builds.graph import STAGES, stages_of
from scaling_tasks.doit_plugin.doit_internals import (
    GroupName,
    NamesAskedFor,
    creator,
    creator_called_after,
    creator_method,
    named_on_command_line,
    placeholder,
    task_below,
    units_matter,
)
from scaling_tasks.doit_plugin.missing_toolchains import missing_toolchain
from scaling_tasks.doit_plugin.stage_task import TaskDict, left_out_task, stage_task
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.stages.stage import Built
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

__all__ = ["creators"]

_LEFT_OUT = "toolchain"


def creators(targets: Sequence[Target]) -> dict[str, Any]:
    """Return everything that a dodo namespace needs to have the targets' tasks.

    Raises:
        InvalidCommand: The command line names a target that there is not, or that has not that stage.
    """
    namespace: dict[str, Any] = {}
    known = tuple(target.name for target in targets)
    for name, stage in STAGES.items():
        concerned = [target for target in targets if stage.applies(target)]
        if stage.after_plan:
            asked = NamesAskedFor()
            later = [_TargetStage(name, target, asked) for target in concerned]
            namespace |= {f"{name}:{each.target.name}": creator(each.creator()) for each in later}
            group = _Group(name, tuple(later), asked, known)
            for word in named_on_command_line(f"{name}:"):
                # doit would take it for a task that the group makes later, and do nothing.
                if not group.has(word):
                    raise InvalidCommand(group.unknown(word))
            method = creator_method(group, _Group.tasks, stage.doc)
            creator_called_after(method, None, asked)
            namespace[name] = creator(method)
        else:
            namespace[name] = creator(creator_method(_Stage(name, tuple(concerned)), _Stage.tasks))
    return namespace


def _doc(stage: str, target: Target) -> str:
    return f"{target.name}: {STAGES[stage].doc}"


class _Group(msgspec.Struct, frozen=True):
    """The task that stands for a stage of every target."""

    stage: str
    targets: tuple[_TargetStage, ...]
    asked: NamesAskedFor
    known: tuple[str, ...]

    def has(self, name: str) -> bool:
        """Return whether a task of that name is, or may become, one of the group's."""
        return any(name == each.group or name.startswith(f"{each.group}:") for each in self.targets)

    def unknown(self, name: str) -> str:
        """Return what is wrong with the name of a task that the group will never have."""
        target = name.split(":")[1]
        if target in self.known:
            return f"{name}: target {target!r} has no stage {self.stage!r}."
        import difflib  # Of no use but to a mistake.

        near = difflib.get_close_matches(target, self.known, 1)
        advice = f"Did you mean {near[0]!r}?" if near else "`doit list` shows what there is."
        return f"{name}: there is no target {target!r}. {advice}"

    def tasks(self, running: bool = False) -> Iterator[Any]:
        """Yield the group, and for each sub-task asked for by name a task that waits until it can be created."""
        prefix = f"{self.stage}:"
        below = [prefix + each.target.name for each in self.targets]
        if not running and STAGES[self.stage].per_unit:
            # For commands that look one level down; a run meets other units than these where plans change.
            below += [f"{prefix}{each.target.name}:{name}" for each in self.targets for name in each.names()]
        yield {"name": None, "doc": STAGES[self.stage].doc, "task_dep": below}
        for name in dict.fromkeys(self.asked.names):
            if name.startswith(prefix) and not self.has(name):  # Not from the command line: from default_tasks.
                refused = creator_method(_Unknown(self.unknown(name)), _Unknown.refuse)
                yield dict_to_task({"name": name, "actions": [refused]})
            for each in self.targets:
                if name.startswith(f"{each.group}:"):
                    waiting = creator_method(each, _TargetStage.tasks)
                    yield placeholder(name, creator_called_after(waiting, each.before, basename=each.group))


class _Unknown(msgspec.Struct, frozen=True):
    """The action of a task that there is not."""

    message: str

    def refuse(self) -> TaskFailed:
        """Fail."""
        return TaskFailed(self.message)


class _Stage(msgspec.Struct, frozen=True):
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


class _TargetStage(msgspec.Struct, frozen=True):
    """A stage of one target, created when its plan is known."""

    stage: str
    target: Target
    asked: NamesAskedFor

    def creator(self) -> Any:
        """Return the creator of its tasks, which is called when the stage before has run."""
        method = creator_method(self, _TargetStage.tasks, _doc(self.stage, self.target))
        creator_called_after(method, self.before)
        return method

    @property
    def before(self) -> str:
        """The task after which its own are known."""
        stages = [each.name for each in stages_of(self.target) if each.after_plan or each.name == "buckets"]
        return f"{stages[stages.index(self.stage) - 1]}:{self.target.name}"

    @property
    def group(self) -> str:
        """The name that stands for the stage of this target."""
        return f"{self.stage}:{self.target.name}"

    def tasks(self, running: bool = False) -> Any:
        """Return its tasks; short, because doit reads the source of every creator."""
        return self._units(running) if STAGES[self.stage].per_unit else self._whole()

    def _units(self, running: bool) -> Iterator[Any]:
        """Yield the group and one task per unit of the plan, none where there is no plan yet."""
        names = self.names(running=running)
        doc = _doc(self.stage, self.target)
        below = [f"{self.group}:{name}" for name in names]
        group = {"name": self.group, "doc": doc, "actions": None, "task_dep": below}
        yield task_below(GroupName(self.stage, listed=True), group, has_subtasks=True)
        above = GroupName(self.group)
        for name in names:
            task = {"name": f"{self.group}:{name}", "doc": f"{self.target.name} {name}: {STAGES[self.stage].doc}"}
            yield task_below(above, {**task, **self._unit(name, running)})

    def _whole(self) -> Any:
        """Return the task that concerns all units of the target."""
        task: TaskDict = {"actions": None}
        if not missing_toolchain(self.target):
            task = stage_task(STAGES[self.stage], self.target)
        whole = {"name": self.group, "doc": _doc(self.stage, self.target), **task}
        return task_below(GroupName(self.stage, listed=True), whole)

    def names(self, *, running: bool = False) -> list[str]:
        """Return the names of the units there are, and of those that were asked for and may not exist."""
        if not running and not units_matter():
            return []
        if missing_toolchain(self.target):
            return [_LEFT_OUT] if self.stage == "compile" else []
        prefix = f"{self.group}:"
        asked = self.asked.names if running else named_on_command_line(prefix)
        others = [name.removeprefix(prefix) for name in asked if name.startswith(prefix)]
        return list(dict.fromkeys([*_unit_names(self.target), *others]))

    def _unit(self, name: str, running: bool) -> TaskDict:
        if name == _LEFT_OUT and (reason := missing_toolchain(self.target)):
            return left_out_task(self.target, reason)
        # A unit that the plan has not finds that out and says so.
        return stage_task(STAGES[self.stage], self.target, name, cleaned=not running)


def _unit_names(target: Target) -> list[str]:
    if target.compiles:
        with contextlib.suppress(ScalingTasksError):  # None where there is no plan yet.
            return [unit.name for unit in planned_units(Built(target)).units]
    return []
