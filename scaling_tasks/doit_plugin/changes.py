"""Why a task is not up to date, in words and as old and new values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaling_tasks.doit_plugin.uptodate import KEY, DatasetUnchanged, KeyUnchanged, LockCurrent
from scaling_tasks.errors import ScalingTasksError

__all__ = ["ABSENT", "Change", "differences", "reasons_of"]

ABSENT = None
"""Stands for a component that is not there on one side."""

_FILE_REASONS = {
    "missing_target": "{} does not exist",
    "changed_file_dep": "{} has changed",
    "missing_file_dep": "{} does not exist yet",
    "removed_file_dep": "{} is no longer an input",
    "added_file_dep": "{} is a new input",
}


@dataclass(frozen=True)
class Change:
    """One component of a key that is not what it was.

    Attributes:
        component: Where it stands in the key, such as ``options.device`` or ``buckets[0][1]``.
        old: What it was when the task last succeeded, None where it was not there.
        new: What it is now, None where it is no longer there.
    """

    component: str
    old: Any
    new: Any


def differences(old: Any, new: Any, where: str = "") -> Iterator[Change]:
    """Yield the innermost differences between two JSON values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{where}.{key}" if where else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{where}[{index}]")
    elif old != new:
        yield Change(where, old, new)


def reasons_of(task: Any, reasons: Mapping[str, Any], state: Any) -> tuple[tuple[str, ...], tuple[Change, ...]]:
    """Turn doit's record of why a task is not up to date into sentences and changes of its key."""
    sentences: list[str] = []
    changes: tuple[Change, ...] = ()
    if not state.backend.in_(task.name):
        return ("it has not run here",), ()
    if reasons["has_no_dependencies"]:
        sentences.append("it has nothing that could be up to date, so it always runs")
    for check, _, _ in reasons["uptodate_false"] or ():
        if isinstance(check, KeyUnchanged):
            said, changes = _key_reasons(check, state.get_values(task.name))
            sentences += said
        elif isinstance(check, DatasetUnchanged):
            sentences.append("the data set is not what was scanned")
        elif isinstance(check, LockCurrent):
            sentences.append("scaling.lock does not say what is built")
        else:
            sentences.append(f"{check!r} says so")
    if reasons["checker_changed"]:
        sentences.append("files were compared in another way")
    for reason, sentence in _FILE_REASONS.items():
        sentences += [sentence.format(path) for path in reasons.get(reason) or ()]
    return tuple(sentences), changes


def _key_reasons(check: KeyUnchanged, values: Mapping[str, Any]) -> tuple[list[str], tuple[Change, ...]]:
    try:
        components = check.components()
    except ScalingTasksError as error:
        return [str(error)], ()
    return key_reasons(values.get(KEY), components)


def key_reasons(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> tuple[list[str], tuple[Change, ...]]:
    """Return in words and as changes how a key differs from the one recorded; no words where it is another matter."""
    if old is None:
        return [], ()
    changes = tuple(differences(old, new))
    if not changes:
        return ["its files are not what it made"], ()
    return [f"{', '.join(change.component for change in changes)} changed"], changes
