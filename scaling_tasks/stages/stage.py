"""What a stage is: who has it, what it follows, its action, and where its files belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.actions.results import Result, ResultFile, read_result
from scaling_tasks.errors import CacheError
from scaling_tasks.known_digests import known_digests
from scaling_tasks.names import inner_name
from scaling_tasks.samples.places import summary_path
from scaling_tasks.stages.target import Target

if TYPE_CHECKING:
    from scaling_tasks.actions.perform import Workshop

__all__ = ["Built", "Made", "Opening", "Place", "Stage"]


class Made(Protocol):
    """What the stages before have made of a target."""

    def result(self, stage: str, unit: str | None = None) -> Result:
        """Return it.

        Raises:
            ScalingTasksError: It is not known.
        """
        ...


class Built(msgspec.Struct, frozen=True):
    """What lies in the repository."""

    target: Target

    def result(self, stage: str, unit: str | None = None) -> Result:
        """Return what a stage made when it last ran.

        Raises:
            CacheError: It has not run.
        """
        if stage == "scan":
            return _scanned(self.target)
        return read_result(self.target.record(stage, unit))


def _scanned(target: Target) -> Result:
    """Return the scan's summary; targets with the same data set share it, and any of them may have had it made."""
    summary = summary_path(target.scan_cache)
    try:
        digest, size = known_digests().digest(summary), summary.stat().st_size
        file = ResultFile(inner_name(summary.name), digest, size, summary.as_posix())
    except OSError as cause:
        raise CacheError(f"cannot be read ({cause.strerror})", where=str(summary), fix="Build it first.") from cause
    return Result.of("{}", (file,), {})


Place = Callable[[Target, str | None, str], Path]
"""Where a stage's file of a given name belongs, for a target and a unit."""


Opening = Callable[[], "Workshop"]


def _nowhere(target: Target, unit: str | None, name: str) -> Path:
    raise ValueError(f"{name} has no place")


class Stage(msgspec.Struct, frozen=True):
    """A stage of every target that it applies to.

    Attributes:
        name: The name of its tasks.
        doc: What it does, for people.
        after: The stages whose results it takes, where the target has them.
        applies: Whether a target goes through it.
        request: Its action for a target, or one unit of it, given what the stages before have made; None where it has
            none: such a stage brings ``do`` and ``current``.
        place: Where its files belong.
        per_unit: Whether it works unit by unit.
        after_plan: Whether its tasks are known only once there is a plan.
        do: What to do in place of having the action's result in place; opens the workshop where it wants one.
        current: Whether there is nothing to do, for a stage without an action.
        products: The files that users know it by.
        lasting: Whether its files survive ``clean``.
        awaited: Which of its files stay in a remote store, where only that has them, until a later stage reads them.
        verb: What a report says of it when it has done its work.
    """

    name: str
    doc: str
    after: tuple[str, ...]
    applies: Callable[[Target], bool]
    request: Callable[[Target, Made, str | None], ActionRequest] | None = None
    place: Place = _nowhere
    per_unit: bool = False
    after_plan: bool = True
    do: Callable[[Target, Opening], dict[str, Any]] | None = None
    current: Callable[[Target], bool] | None = None
    products: Callable[[Target], tuple[Path, ...]] = lambda target: ()
    lasting: bool = False
    awaited: Callable[[Target, str], bool] = lambda target, name: False
    verb: str = "done"
