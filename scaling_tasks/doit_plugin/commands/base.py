"""What the commands share: tasks with all their dependencies, selection by name, and JSON output."""

from __future__ import annotations

import contextlib
import fnmatch
import getopt
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase
from doit.control import TaskControl
from doit.exceptions import InvalidCommand

from scaling_tasks.doit_plugin.console.output import write_out
from scaling_tasks.doit_plugin.doit_internals import without_units
from scaling_tasks.errors import printable

if TYPE_CHECKING:
    from scaling_tasks.errors import ScalingTasksError

__all__ = ["JSON_OPTION", "TaskCommand", "closure", "flag", "groups_of", "options_first", "selected"]

Option = dict[str, Any]


def flag(name: str, words: str, *, long: str = "", short: str = "") -> Option:
    """Return a command's option that is given or not, as doit takes it; ``name`` is its argument's."""
    return {"name": name, "long": long or name, "short": short, "type": bool, "default": False, "help": words}


JSON_OPTION = flag("as_json", "write JSON", long="json")


def options_first(parser: Any, arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments with its options in front; behind a name, doit takes them for further names.

    Args:
        parser: The command's, of doit.
        arguments: What follows the command on the command line.
    """
    long = parser.get_long()
    try:
        options, names = getopt.gnu_getopt(list(arguments), parser.get_short(), long)
    except getopt.GetoptError:
        return list(arguments)  # doit says what is wrong.
    given: list[str] = []
    for option, value in options:
        takes_value = f"{option[2:]}=" in long if option.startswith("--") else f"{option[1:]}:" in parser.get_short()
        given += [option, value] if takes_value else [option]
    return [*given, "--", *names] if any(name.startswith("-") for name in names) else [*given, *names]


class TaskCommand(DoitCmdBase):  # type: ignore[misc]  # doit carries no types
    """Base of a command that looks at all tasks and runs none.

    A subclass implements ``report``, which returns what to write and the exit status.
    """

    execute_tasks = False
    needs_units = True
    """Whether it looks at the tasks of units."""
    thorough = False
    """Whether it tells mistakes that a build finds out only when it comes to them."""
    cmd_options: tuple[Option, ...] = (JSON_OPTION,)

    def parse_execute(self, in_args: list[str]) -> Any:
        """Take options behind the names of tasks too."""
        return super().parse_execute(options_first(self.cmdparser, in_args))

    def execute(self, params: Any, args: list[str]) -> int:
        """Run the command; what a user can mend is one line and the status 3, as for doit's own errors."""
        from scaling_tasks.doit_plugin.loader import WrongConfigurations
        from scaling_tasks.errors import CacheError, ScalingTasksError, of_disk

        try:
            with contextlib.nullcontext() if self.needs_units else without_units():
                return int(super().execute(params, args) or 0)
        except WrongConfigurations as wrong:
            return self.refuse(wrong.mistakes(thorough=self.thorough), as_json=params.get("as_json", False))
        except ScalingTasksError as error:
            sys.stderr.write(f"error: {error}\n")
        except OSError as error:
            sys.stderr.write(f"error: {of_disk(error, CacheError, where=self.name)}\n")
        return 3

    def refuse(self, errors: Sequence[ScalingTasksError], *, as_json: bool) -> int:
        """Tell why there is nothing to look at; return the exit status."""
        sys.stderr.writelines(f"error: {error}\n" for error in errors)
        return 3

    def tasks(self) -> dict[str, Any]:
        """Return all tasks by name, with the dependencies that follow from files."""
        known: dict[str, Any] = TaskControl(self.task_list).tasks
        return known

    def write(self, text: str) -> None:
        """Write lines, without what would steer a terminal: there are names in them that others gave."""
        write_out(self.outstream, "".join(f"{printable(line)}\n" for line in text.split("\n")))

    def write_json(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Write a document of ``kind``."""
        whole = {"format": f"scaling-tasks/{kind}/1", **payload}
        write_out(self.outstream, json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def selected(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the names that the patterns stand for: themselves, all below a group, or by wild card.

    Raises:
        InvalidCommand: A pattern stands for nothing.
    """
    known = list(names)
    found: dict[str, None] = {}
    for pattern in patterns:
        hits = [name for name in known if name == pattern or name.startswith(f"{pattern}:")]
        hits = hits or [name for name in known if "*" in pattern and fnmatch.fnmatchcase(name, pattern)]
        if not hits:
            raise InvalidCommand(not_found=pattern)
        found |= dict.fromkeys(hits)
    return list(found)


def closure(names: Iterable[str], needs: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the names and everything they need, directly or not; a group stands for what is below it."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += needs.get(name, ())
    return found


def groups_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return which of these tasks each group stands for, at every level: ``compile`` and ``compile:<target>``."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(":")
        for count in range(1, len(parts)):
            found.setdefault(":".join(parts[:count]), []).append(name)
    return found
