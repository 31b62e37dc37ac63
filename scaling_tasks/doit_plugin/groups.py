"""Names of tasks and groups that doit itself has no means for: groups of groups, and tasks that do not exist yet."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Above", "RequestedNames", "named_on_command_line"]


class Above(str):
    """The name of the group above a task, which is equal to those of all groups further above, too.

    doit knows one level of groups: ``forget`` and ``clean`` take with a group what says to be its sub-task. A unit is
    one of ``compile`` as well as of ``compile:<target>``.

    Args:
        name: The group's name.
        listed: Whether ``doit list`` shows the task without ``--all``, as it does for what has no group above.
    """

    listed: bool

    def __new__(cls, name: str, listed: bool = False) -> Above:
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


def named_on_command_line(prefix: str) -> list[str]:
    """Return the tasks below ``prefix`` that the command line names.

    A command that runs nothing looks names up only after all tasks are made, so that ``doit info`` or ``doit forget``
    could not be asked of a unit that is not planned yet, or not any more.
    """
    return [word for word in sys.argv[1:] if word.startswith(prefix) and "*" not in word]
