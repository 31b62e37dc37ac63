"""All that leans on how doit works inside, with the behaviour that each part needs.

Checked against every version of doit that is supported: ``tests/doit_plugin/test_doit_internals.py``.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from doit.task import DelayedLoaded, DelayedLoader, Task, dict_to_task

__all__ = [
    "GroupName",
    "NamesAskedFor",
    "creator",
    "creator_called_after",
    "creator_method",
    "is_delayed",
    "jobs_asked_for",
    "named_on_command_line",
    "placeholder",
    "task_below",
    "units_matter",
    "without_units",
]

RUNNING = {"running": True}
"""What a delayed creator is called with in a run; commands that run nothing call it without."""


class GroupName(str):
    """The name of the group above a task, which is equal to those of all groups further above, too.

    doit knows one level of groups: ``forget`` and ``clean`` take with a group the tasks whose ``subtask_of`` is equal
    to its name, and ``list`` leaves out those for which that is true. A unit is one of ``compile`` as well as of
    ``compile:<target>``.

    Args:
        name: The group's name.
        listed: Whether ``doit list`` shows the task without ``--all``, as it does for what has no group above.
    """

    listed: bool

    def __new__(cls, name: str, listed: bool = False) -> GroupName:
        """Return the name."""
        made = super().__new__(cls, name)
        made.listed = listed
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and (str(self) == other or str(self).startswith(f"{other}:"))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()

    def __bool__(self) -> bool:
        return not self.listed

    def __getnewargs__(self) -> tuple[str, bool]:  # type: ignore[override]  # one more than str has
        return (str(self), self.listed)


class NamesAskedFor(dict[str, Any]):
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
        return (NamesAskedFor, ())


def creator_method(owner: Any, method: Callable[..., Any], doc: str | None = None) -> Any:
    """Return a bound method with a function of its own.

    doit reads a creator's settings from attributes of its function, takes real functions and methods only, and pickles
    them where processes are spawned: a closure would do for the first two, a bound method does for all three.
    """
    source: Any = method
    function = types.FunctionType(source.__code__, source.__globals__, source.__name__, source.__defaults__)
    function.__doc__ = doc or source.__doc__
    return types.MethodType(function, owner)


def creator(method: Any) -> types.SimpleNamespace:
    """Return what makes a method of ``creator_method`` a creator of tasks under the name that a namespace gives it.

    doit looks for the attribute ``create_doit_tasks`` on every object of a dodo file, classes too.
    """
    return types.SimpleNamespace(create_doit_tasks=method)


def creator_called_after(
    method: Any, executed: str | None, asked: NamesAskedFor | None = None, basename: str | None = None
) -> DelayedLoader:
    """Have a creator called in a run only when a task has been executed; return doit's note of it.

    Without ``creates``, so that commands that run nothing call the creator at once, and ``clean`` and ``forget`` see
    its tasks. The decorator ``create_after`` takes no arguments for the creator and no mapping for names.
    """
    loader = DelayedLoader(method, executed=executed)
    loader.kwargs = RUNNING
    if asked is not None:
        loader.regex_groups = asked
    if basename is not None:
        loader.basename = basename
    method.__func__.doit_create_after = loader
    return loader


def placeholder(name: str, loader: DelayedLoader) -> Task:
    """Return a task that waits until the loader's creator makes the task of that name."""
    return Task(name, None, loader=loader)


def task_below(group: GroupName, task: dict[str, Any], *, has_subtasks: bool = False) -> Task:
    """Return a task with the group that it is part of; doit's dictionaries can name no group but the creator's own."""
    made = dict_to_task(task)
    made.subtask_of = group
    made.has_subtask = has_subtasks or made.has_subtask
    return made


def is_delayed(task: Any) -> str | None:
    """Return the name of the task before whose end a delayed task cannot be created, None for one that is created."""
    waits = task.loader and task.loader is not DelayedLoaded
    return (task.loader.task_dep or "") if waits else None


def named_on_command_line(prefix: str) -> list[str]:
    """Return the tasks below ``prefix`` that the command line names.

    A command that runs nothing looks names up only after all tasks are made, so that ``doit info`` or ``doit forget``
    could not be asked of a unit that is not planned yet, or not any more.
    """
    return [word for word in sys.argv[1:] if word.startswith(prefix) and "*" not in word]


_LISTS_NO_UNITS = (["list"], ["list", "-q"], ["list", "--quiet"])
_without_units = False


def units_matter() -> bool:
    """Return whether the command that tasks are made for looks at those of units.

    doit makes every task for a command that runs none, and calls creators without telling them for which command. Of
    10,000 units that takes seconds, and ``doit list`` shows none of them.
    """
    return not _without_units and sys.argv[1:] not in _LISTS_NO_UNITS


@contextlib.contextmanager
def without_units() -> Iterator[None]:
    """Make no tasks of units in here: for a command that finds units by itself."""
    global _without_units
    before, _without_units = _without_units, True
    try:
        yield
    finally:
        _without_units = before


def jobs_asked_for(arguments: Sequence[str]) -> int:
    """Return the number that doit's ``-n`` gives on the command line, 1 without it; doit tells it to nobody."""
    for option, following in zip(arguments, [*arguments[1:], ""], strict=False):
        for name in ("--process=", "-n"):
            value = option.removeprefix(name) or following
            if option.startswith(name) and value.isdigit():
                return max(1, int(value))
        if option == "--process" and following.isdigit():
            return max(1, int(following))
    return 1
