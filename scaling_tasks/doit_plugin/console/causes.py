"""What failures have in common: many tasks that fail for one reason are told as one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from scaling_tasks.reporting.figures import counted

__all__ = ["Failures", "cause_of", "short"]

_LOG, _ALONE = " Log: ", "Run it alone: "
_SHOWN = 12
_FRACTION = r"(?<![\w./-])\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)(?!\w)"
_BRACKETS = r"[\[{(][^\[\]{}()]*[\]})]"
_WHOLE = r"(?<![\w./-])\d+(?!\w|\.\d)"
_SIZE = _WHOLE + r"(?! (?:[KMGT]?i?B|bytes|m?s|h|min|seconds)\b)"  # A limit of 16 MiB is no size of a unit.


def short(message: str) -> str:
    """Return a failure's message without where its log is and how to repeat it."""
    return message.partition(_LOG)[0]


def cause_of(message: str, unit: str | None) -> str:
    """Return what is the same in the messages of all tasks that fail for one reason.

    Left out are the log and the command, the unit's name with what stands before it in one word, its sizes, fractions,
    and numbers in brackets, which are shapes. Other whole numbers stay: they tell statuses and error codes apart.
    """
    text = short(message)
    if unit:
        text = re.sub(rf"[\w.:-]*{re.escape(unit)}", "*", text)
        sizes = re.findall(r"\d+", unit)
        text = re.sub(_SIZE, lambda found: "#" if found[0] in sizes else found[0], text)
    text = re.sub(_FRACTION, "#", text)
    return re.sub(_BRACKETS, lambda found: re.sub(_WHOLE, "#", found[0]), text)


class Failures:
    """Failed tasks by their cause, in the order in which they failed.

    Attributes:
        tasks: The table of tasks.
        messages: What each failed task said.
    """

    def __init__(self, tasks: Mapping[str, Any]) -> None:
        self.tasks = tasks
        self.messages: dict[str, str] = {}
        self._causes: dict[str, list[str]] = {}

    def add(self, name: str, message: str) -> bool:
        """Note a failure; return whether none before had the same cause."""
        self.messages[name] = message
        names = self._causes.setdefault(cause_of(message, self.tasks[name].meta.get("unit")), [])
        names.append(name)
        return len(names) == 1

    def by_cause(self) -> list[list[str]]:
        """Return the names of the failed tasks, those with one cause together."""
        return list(self._causes.values())

    def heading(self) -> str:
        """Return how many failed for how many causes."""
        count, causes = len(self.messages), len(self._causes)
        several = f" for {counted(causes, 'cause')}" if causes < count else ""
        return f"{count} failed{several}"

    def title(self, names: Sequence[str]) -> str:
        """Return what to call the tasks that failed for one cause."""
        if len(names) == 1:
            return names[0]
        stages = dict.fromkeys(self.tasks[name].meta["stage"] for name in names)
        return f"{' and '.join(stages)}, {len(names)} times"

    def message(self, names: Sequence[str]) -> str:
        """Return what the first of the tasks said, with the command that repeats it.

        A target that no configuration of the repository gives has tasks in this run alone.
        """
        text, config = self.messages[names[0]], self.tasks[names[0]].meta.get("config")
        if _ALONE in text or config is None:
            return text
        return f"{text}{'' if text.endswith('.') else '.'} {_ALONE}doit {names[0]}"

    def places(self, names: Sequence[str], most: int = _SHOWN) -> list[str]:
        """Return a line per target that says which of its tasks these are; nothing for a single one."""
        below: dict[str, list[str]] = defaultdict(list)
        for name in names if len(names) > 1 else ():
            meta = self.tasks[name].meta
            below[meta["target"]].append(meta.get("unit") or meta["stage"])
        return [f"{target}: {_listed(list(dict.fromkeys(inner)), most)}" for target, inner in below.items()]


def _listed(names: Sequence[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
