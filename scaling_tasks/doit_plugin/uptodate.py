"""doit `uptodate` objects: is what a task was made from, and what it made, still the same?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.pipeline.target import Target

__all__ = ["KEY", "DatasetUnchanged", "KeyUnchanged", "LockCurrent", "plain_json"]

KEY = "scaling_tasks_key"
"""Under which a task's values hold the components of its key."""


@dataclass(frozen=True)
class KeyUnchanged:
    """True while every component of a task's key is what it was when the task last succeeded.

    One object holds all components, so that a command can show which of them changed and how. doit keeps them with the
    task's record.

    Attributes:
        target: Whose task it is.
        stage: The stage's name in ``pipeline.keys``.
        unit: The unit's name for stages that work on one unit.
    """

    target: Target
    stage: str
    unit: str | None = None

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        """Compare now with then, and have doit save the components once the task has run."""
        try:
            components = self.components()
        except ScalingTasksError:
            # The task's own action meets the same error and reports it where it belongs.
            return False
        task.value_savers.append(_Saver(components))
        return bool(values.get(KEY) == components) and self._outputs_intact()

    def components(self) -> dict[str, Any]:
        """Return the key's components as they are now, as plain JSON values."""
        from scaling_tasks.pipeline import keys

        return plain_json(keys.components(self.stage, self.target, self.unit))

    def _outputs_intact(self) -> bool:
        from scaling_tasks.pipeline import artefacts

        if self.stage != "compile" or self.unit is None:
            return True
        return artefacts.intact(self.target, self.unit)

    def __repr__(self) -> str:
        return f"key of {self.stage}:{self.target.name}" + (f":{self.unit}" if self.unit else "")


@dataclass(frozen=True)
class _Saver:
    """Gives doit the components to store; a class because it must be picklable."""

    components: dict[str, Any]

    def __call__(self) -> dict[str, Any]:
        return {KEY: self.components}


@dataclass(frozen=True)
class DatasetUnchanged:
    """True while the data set is what the scan cache says, found out by one listing of its files."""

    target: Target

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        """Look at the data set; an unreadable one is left to the task itself to report."""
        from scaling_tasks.pipeline import scan

        try:
            return scan.unchanged(self.target)
        except ScalingTasksError:
            return False

    def __repr__(self) -> str:
        dataset = self.target.spec.dataset
        return f"listing of {dataset.path if dataset else 'no data set'}"


@dataclass(frozen=True)
class LockCurrent:
    """True while the target's section of the lock file says what is built."""

    target: Target

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        """Compare the two; whatever is not built is left to the task itself to report."""
        from scaling_tasks.doit_plugin.optional import missing_toolchain
        from scaling_tasks.pipeline import lock

        if self.target.compiles and missing_toolchain(self.target):
            return True  # Left out here; what another machine has built stays locked.
        try:
            return bool(lock.read_lock().get(self.target.name) == lock.built_section(self.target))
        except ScalingTasksError:
            return False

    def __repr__(self) -> str:
        return f"scaling.lock of {self.target.name}"


def plain_json(components: Mapping[str, Any]) -> dict[str, Any]:
    """Return components as they are when doit has stored them and read them back."""
    plain: dict[str, Any] = json.loads(canonical_json(components))
    return plain


Check = Callable[[Any, dict[str, Any]], bool]
