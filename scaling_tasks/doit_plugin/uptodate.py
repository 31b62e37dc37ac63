"""doit `uptodate` objects: is what a task was made from, and what it made, still the same?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.pipeline.target import Target

__all__ = ["DatasetUnchanged", "KeyUnchanged"]

_KEY = "scaling_tasks_key"


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
        return bool(values.get(_KEY) == components) and self._outputs_intact()

    def components(self) -> dict[str, Any]:
        """Return the key's components as they are now, as plain JSON values."""
        import json

        from scaling_tasks.pipeline import keys

        components: dict[str, Any] = json.loads(canonical_json(keys.components(self.stage, self.target, self.unit)))
        return components

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
        return {_KEY: self.components}


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


Check = Callable[[Any, dict[str, Any]], bool]
