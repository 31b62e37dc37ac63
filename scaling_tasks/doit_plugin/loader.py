"""Giving doit its tasks: for a dodo file, and as a loader that needs none.

The loader is named in pyproject.toml: ``[tool.doit] loader = "scaling_tasks"``.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from doit import loader as doit_loader
from doit.cmd_base import DodoTaskLoader
from doit.doit_cmd import get_var

from scaling_tasks.actions.known_digests import STATE
from scaling_tasks.config.environment import EXECUTOR_VARIABLE
from scaling_tasks.config.load import load_targets as load_specs
from scaling_tasks.doit_plugin.changed_since import VARIABLE, touched_tasks
from scaling_tasks.doit_plugin.creators import creators
from scaling_tasks.doit_plugin.doit_internals import jobs_asked_for
from scaling_tasks.errors import ConfigError, Mistakes, ScalingTasksError, of_disk
from scaling_tasks.stages.target import Target

__all__ = ["ScalingLoader", "add_tasks", "doit_config", "load_targets", "load_tasks"]

_ADDED = "_scaling_tasks_added"
"""The key of a namespace that says that it has the tasks already."""


def load_tasks(namespace: dict[str, Any], configs: str = "configs") -> None:
    """Add the tasks of every ``<configs>/*.yaml`` and doit's settings to a dodo file's namespace.

    Call it as ``load_tasks(globals())``. A ``DOIT_CONFIG`` that the dodo file defines before the call keeps its
    say over every setting it names.

    Raises:
        SystemExit: With one line per mistake, when configurations are wrong; doit would show a traceback otherwise.
    """
    try:
        targets = load_targets(configs)
        chosen = _chosen(targets)
    except Mistakes as several:
        raise SystemExit("\n".join(f"error: {error}" for error in several.errors)) from None
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    if not targets and multiprocessing.parent_process() is None:
        found = "; targets end in .yaml, not .yml" if any(Path(configs).glob("*.yml")) else ""
        sys.stderr.write(f"no target in {configs}/*.yaml{found}; `doit scaling_init MODEL.onnx` writes one\n")
    add_tasks(namespace, targets)
    namespace["DOIT_CONFIG"] |= chosen


def _chosen(targets: Sequence[Target]) -> dict[str, list[str]]:
    """Return the setting that has doit build what `doit changed_since=REV` asks for, where no task is named."""
    revision = get_var(VARIABLE)
    return {} if revision is None else {"default_tasks": touched_tasks(targets, str(revision))}


def add_tasks(namespace: dict[str, Any], targets: Sequence[Target]) -> None:
    """Add the tasks of these targets and doit's settings to a namespace."""
    if get_var("locked"):
        # `doit locked=1`; through the environment it reaches the processes that doit starts.
        os.environ["SCALING_TASKS_LOCKED"] = str(get_var("locked"))
    if get_var("executor"):
        os.environ[EXECUTOR_VARIABLE] = str(get_var("executor"))
    os.environ.setdefault("SCALING_TASKS_JOBS", str(jobs_asked_for(sys.argv[1:])))
    namespace.update(creators(targets))
    namespace[_ADDED] = True
    namespace["DOIT_CONFIG"] = {**doit_config(targets), **namespace.get("DOIT_CONFIG", {})}


def load_targets(configs: str = "configs") -> list[Target]:
    """Read every configuration in a directory, in order of their names; ``_defaults.yaml`` holds what they share.

    Raises:
        ConfigError: One of them is wrong, or two give the same name; with several mistakes all of them, and what else
            is wrong with the others.
    """
    targets: dict[str, Target] = {}
    wrong: list[ScalingTasksError] = []
    for path in _files(Path(configs)):
        try:
            found = [Target(spec, path.as_posix()) for spec in load_specs(path)]
        except ConfigError as error:
            wrong += error.errors if isinstance(error, Mistakes) else [error]
            continue
        for target in found:
            if target.name in targets:
                what = f"the name {target.name!r} is taken by {targets[target.name].config}"
                where = f"{path.as_posix()}: name"
                wrong.append(ConfigError(what, where=where, fix="Give each target its own name."))
            targets[target.name] = target
    wrong += _shared_outputs(list(targets.values()))
    if wrong:
        from scaling_tasks.stages.mistakes import find_mistakes

        wrong += (error for target in targets.values() for error in find_mistakes(target))
        raise wrong[0] if len(wrong) == 1 else Mistakes(wrong)
    return list(targets.values())


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
        dodo = Path(opt_values["cwdPath"] or ".") / opt_values["dodoFile"]
        self.namespace = {}
        if dodo.exists() or opt_values["seek_file"]:
            module = doit_loader.get_module(opt_values["dodoFile"], opt_values["cwdPath"], opt_values["seek_file"])
            self.namespace = dict(inspect.getmembers(module))
        if _ADDED not in self.namespace:
            load_tasks(self.namespace)
