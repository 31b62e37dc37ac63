"""Giving doit its tasks: for a dodo file, and as a loader that needs none.

The loader is named in pyproject.toml: ``[tool.doit] loader = "scaling_tasks"``.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from doit.cmd_base import DodoTaskLoader
from doit.doit_cmd import get_var

from scaling_tasks.config.environment import (
    EXECUTOR_VARIABLE,
    LOCKED_VARIABLE,
    parse_executor,
    parse_flag,
    unknown_variables,
)
from scaling_tasks.config.load import read_targets
from scaling_tasks.config.yaml_values import KeyPath
from scaling_tasks.doit_plugin import collect_seldom
from scaling_tasks.doit_plugin.changed_since import VARIABLE, touched_tasks
from scaling_tasks.doit_plugin.creators import creators
from scaling_tasks.doit_plugin.dodo_file import read_dodo
from scaling_tasks.doit_plugin.doit_internals import jobs_asked_for
from scaling_tasks.errors import ConfigError, ScalingTasksError, in_order, of_disk, one_line
from scaling_tasks.known_digests import STATE
from scaling_tasks.stages.target import Target

__all__ = ["ScalingLoader", "WrongConfigurations", "add_tasks", "doit_config", "load_targets", "load_tasks"]

_ADDED = "_scaling_tasks_added"
"""The key of a namespace that says that it has the tasks already."""


_Readable = tuple[Target, frozenset[KeyPath]]


class WrongConfigurations(SystemExit):
    """Ends doit with one line per mistake, where it would show a traceback; a command may tell them in its own way.

    Args:
        errors: What keeps them from being used.
        targets: Those that could be read, each with the keys that it is without.
    """

    def __init__(self, errors: Sequence[ScalingTasksError], targets: Sequence[_Readable] = ()) -> None:
        self._errors, self._targets = tuple(errors), tuple(targets)
        super().__init__("\n".join(f"error: {error}" for error in self.mistakes()))

    def mistakes(self, *, thorough: bool = False) -> list[ScalingTasksError]:
        """Return these mistakes with all others that are in the targets, see ``find_mistakes``."""
        from scaling_tasks.builds.mistakes import find_mistakes

        more = (find_mistakes(target, thorough=thorough, unread=unread) for target, unread in self._targets)
        # What targets of a matrix share is told once.
        return in_order({str(error): error for error in (*self._errors, *chain.from_iterable(more))}.values())


def load_tasks(namespace: dict[str, Any], configs: str = "configs") -> None:
    """Add the tasks of every ``<configs>/*.yaml`` and doit's settings to a dodo file's namespace.

    Call it as ``load_tasks(globals())``. A ``DOIT_CONFIG`` that the dodo file defines before the call keeps its
    say over every setting it names.

    Raises:
        WrongConfigurations: Configurations, or what the command line sets, are wrong.
    """
    try:
        _take_over_settings()
        targets = load_targets(configs)
        chosen = _chosen(targets)
        _own_settings(namespace)
    except ConfigError as error:
        raise WrongConfigurations(error.errors) from None
    if multiprocessing.parent_process() is None:
        sys.stderr.writelines(f"{notice}\n" for notice in _notices(targets, configs, chosen))
    add_tasks(namespace, targets)
    namespace["DOIT_CONFIG"] |= chosen


def _notices(targets: Sequence[Target], configs: str, chosen: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield what is no mistake, and probably not what was meant."""
    for name, near in unknown_variables(os.environ).items():
        advice = f"Did you mean {near}?" if near else "The documentation lists those there are."
        yield f"warning: there is no variable {name}, it is ignored. {advice}"
    if not targets:
        found = "; targets end in .yaml, not .yml" if any(Path(configs).glob("*.yml")) else ""
        yield f"no target in {configs}/*.yaml{found}; `doit scaling_init MODEL.onnx` writes one"
    elif chosen.get("default_tasks") == []:
        yield f"no target is touched by what changed since {get_var(VARIABLE)}"


def _take_over_settings() -> None:
    """Have `doit locked=1 executor=…` mean what the variables do; as those it reaches the processes that doit starts.

    Raises:
        ConfigError: One of them is wrong.
    """
    if locked := str(get_var("locked") or ""):
        parse_flag(locked, where="locked")
        os.environ[LOCKED_VARIABLE] = locked
    if executor := str(get_var("executor") or ""):
        parse_executor(executor, where="executor")
        os.environ[EXECUTOR_VARIABLE] = executor


def _chosen(targets: Sequence[Target]) -> dict[str, list[str]]:
    """Return the setting that has doit build what `doit changed_since=REV` asks for, where no task is named."""
    revision = get_var(VARIABLE)
    return {} if revision is None else {"default_tasks": touched_tasks(targets, str(revision))}


def add_tasks(namespace: dict[str, Any], targets: Sequence[Target]) -> None:
    """Add the tasks of these targets and doit's settings to a namespace."""
    os.environ.setdefault("SCALING_TASKS_JOBS", str(jobs_asked_for(sys.argv[1:])))
    namespace.update(creators(targets))
    namespace[_ADDED] = True
    namespace["DOIT_CONFIG"] = {**doit_config(targets), **_own_settings(namespace)}


def _own_settings(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the dodo file sets of doit.

    Raises:
        ConfigError: It is no mapping.
    """
    found = namespace.get("DOIT_CONFIG", {})
    if not isinstance(found, Mapping):
        what = f"DOIT_CONFIG is {one_line(repr(found))}, no mapping"
        raise ConfigError(what, where=Path(str(namespace.get("__file__", "dodo.py"))).name, fix="Write a dict.")
    return found


def load_targets(configs: str = "configs") -> list[Target]:
    """Read every configuration in a directory, in order of their names; ``_defaults.yaml`` holds what they share.

    Raises:
        ConfigError: The directory cannot be listed.
        WrongConfigurations: One of them is wrong, or two give the same name.
    """
    targets: dict[str, _Readable] = {}
    wrong: list[ScalingTasksError] = []
    for path in _files(Path(configs)):
        try:
            found = read_targets(path)
        except ConfigError as error:
            wrong += error.errors
            continue
        wrong += (error for each in found for error in each.mistakes)
        for target, unread in ((Target(each.spec, path.as_posix()), each.unread) for each in found if each.spec):
            if target.name in targets:
                what = f"the name {target.name!r} is taken by {targets[target.name][0].config}"
                where = f"{path.as_posix()}: name"
                wrong.append(ConfigError(what, where=where, fix="Give each target its own name."))
            targets[target.name] = target, unread
    wrong += _shared_outputs([target for target, _ in targets.values()])
    if wrong:
        raise WrongConfigurations(wrong, list(targets.values()))
    return [target for target, _ in targets.values()]


def _shared_outputs(targets: Sequence[Target]) -> Iterator[ConfigError]:
    """Yield a mistake for every target whose bundle would replace another's."""
    taken: dict[Path, Target] = {}
    for target in targets:
        first = taken.setdefault(Path(os.path.normpath(target.directory)), target)
        if first is not target:
            what = f"{target.directory.as_posix()} is the output of {first.config} as well"
            yield ConfigError(what, where=f"{target.config}: output", fix="Give each target a directory of its own.")


def _files(configs: Path) -> list[Path]:
    """Return the configurations of targets in a directory; a name that begins with ``_`` is none's.

    Raises:
        ConfigError: The directory is there and cannot be listed.
    """
    try:
        names = os.listdir(configs)  # noqa: PTH208 - a glob finds nothing where it may not look
    except FileNotFoundError:
        return []
    except OSError as cause:
        raise of_disk(cause, ConfigError, where=configs, what="cannot be listed") from cause
    return [configs / name for name in sorted(names) if name.endswith(".yaml") and name[0] not in "._"]


def doit_config(targets: Sequence[Target]) -> dict[str, Any]:
    """Return the settings of doit that its own defaults would get wrong here."""
    return {
        "backend": "scaling_tasks",
        "dep_file": (STATE / "doit.sqlite").as_posix(),
        "check_file_uptodate": "md5",
        "par_type": "thread",
        "reporter": "scaling_tasks",
        "verbosity": 1,
        # Without names, and without default tasks, doit's `forget` would end in a traceback.
        "forget_disable_default": True,
    }


class ScalingLoader(DodoTaskLoader):  # type: ignore[misc]  # doit carries no types
    """Loads every ``configs/*.yaml``, and a dodo file's own tasks where there is one."""

    def setup(self, opt_values: dict[str, Any]) -> None:
        """Load the dodo file if it exists, then add the targets unless it has added them itself."""
        collect_seldom()
        dodo = Path(opt_values["cwdPath"] or ".") / opt_values["dodoFile"]
        self.namespace = {}
        if os.path.lexists(dodo) or opt_values["seek_file"]:
            self.namespace = read_dodo(dodo, opt_values)
        if _ADDED not in self.namespace:
            load_tasks(self.namespace)
