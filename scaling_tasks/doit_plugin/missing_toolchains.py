"""Targets that a plain ``doit`` leaves out because their toolchain is not on this machine."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from doit.exceptions import TaskFailed

if TYPE_CHECKING:
    from scaling_tasks.stages.target import Target

__all__ = ["leave_out", "missing_toolchain", "note_selection", "units_asked_for"]

_asked_for: list[str] | None = None


def note_selection(selected: Collection[str], known: Collection[str]) -> None:
    """Note which tasks were asked for; everything that is known means that none was named."""
    global _asked_for
    _asked_for = [] if set(selected) == set(known) else list(selected)


def units_asked_for() -> bool:
    """Return whether single units were asked for, so that others of the same stage may not be wanted."""
    return any(name.count(":") > 1 for name in _asked_for or ())


def missing_toolchain(target: Target) -> str | None:
    """Return why an optional target cannot be compiled here, None where it can or is not optional."""
    from scaling_tasks.compilers.registry import get_backend
    from scaling_tasks.errors import CompileError

    if not target.options.get("optional"):
        return None
    try:
        get_backend(target.options["backend"]).identity(target.options)
    except CompileError as error:
        return str(error)
    return None


def leave_out(target: Target, reason: str) -> dict[str, str] | TaskFailed:
    """Succeed in a run of everything; fail where this target was asked for by name."""
    if _asked_for == [] or not any(target.name in name.split(":") for name in _asked_for or [target.name]):
        return {"outcome": "left out", "reason": reason}
    return TaskFailed(reason)
