"""What tasks depend on: the key of their stage's action, and that what it made is still there."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from scaling_tasks.doit_plugin.missing_toolchains import missing_toolchain
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.stages.target import Target

__all__ = ["KEY", "StageCurrent"]

KEY = "scaling_tasks_key"
"""Under which a task's values hold the key that it last succeeded with."""


class StageCurrent(msgspec.Struct, frozen=True):
    """True while a stage's recorded result is the one to have, its files are intact, and doit remembers the task.

    Attributes:
        target: Whose task it is.
        stage: The stage's name.
        unit: The unit's name for stages that work on one unit.
    """

    target: Target
    stage: str
    unit: str | None = None

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        """Compare now with then, and have doit save the key of what the task will have made."""
        from scaling_tasks.builds.graph import is_current

        if self.stage == "lock" and self.target.compiles and missing_toolchain(self.target):
            return True  # Left out here; what another machine has built stays locked.
        task.value_savers.append(self.saved_values)
        try:
            key = is_current(self.stage, self.target, self.unit)
        except (ScalingTasksError, OSError):
            # The task's own action meets the same error and reports it where it belongs.
            return False
        return key is not None and values.get(KEY) == key

    def saved_values(self) -> dict[str, Any]:
        """Return what doit saves once the task is done: the key of what was made."""
        from scaling_tasks.actions.results import read_result_if_there

        result = read_result_if_there(self.target.result(self.stage, self.unit))
        return {KEY: result.key if result else "current"}

    # doit asks for it before every call, and finding it out takes longer than many a check.
    __signature__ = inspect.Signature.from_callable(lambda task, values: None)

    def __repr__(self) -> str:
        return f"key of {self.stage}:{self.target.name}" + (f":{self.unit}" if self.unit else "")
