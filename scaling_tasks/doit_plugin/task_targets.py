"""Which target a task belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.stages.target import Target

__all__ = ["target_of", "targets_of"]


def targets_of(tasks: Mapping[str, Any]) -> list[Target]:
    """Return the targets that these tasks belong to, each once, in order."""
    found: dict[str, Target] = {}
    for target in map(target_of, tasks.values()):
        if target is not None:
            found.setdefault(target.name, target)
    return list(found.values())


def target_of(task: Any) -> Target | None:
    """Return the target whose task this is, None for a task that is not of this package."""
    for check, _, _ in task.uptodate:
        target: Target | None = getattr(check, "target", None)
        if target is not None and task.meta and "stage" in task.meta:
            return target
    return None
