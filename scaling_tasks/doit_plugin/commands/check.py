"""``doit check``: everything that is wrong with the configurations, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling_tasks.doit_plugin.commands.base import TaskCommand
from scaling_tasks.doit_plugin.task_targets import targets_of
from scaling_tasks.reporting.figures import counted

if TYPE_CHECKING:
    from scaling_tasks.errors import ScalingTasksError

__all__ = ["Check"]


class Check(TaskCommand):
    """Reads every configuration with the model and the files that it names, and tells all mistakes at once."""

    name = "check"
    thorough = True
    doc_purpose = "find every mistake in the configurations, before anything runs"
    doc_usage = ""
    doc_description = (
        "Looks at every target: its keys, its model's inputs and variables, the files, metric, backend and toolchain "
        "that it names. Exit status: 0 when nothing is wrong, 1 otherwise. A build does the same first, but for the "
        "toolchain."
    )

    def _execute(self, as_json: bool) -> int:
        from scaling_tasks.builds.mistakes import find_mistakes, notes
        from scaling_tasks.errors import ConfigError

        targets = targets_of(self.tasks())
        self.dep_manager.close()
        if not targets:
            fix = "`doit scaling_init MODEL.onnx` writes one."
            return self.refuse([ConfigError("there is no target to check", where="configs", fix=fix)], as_json=as_json)
        found = [(target, error) for target in targets for error in find_mistakes(target, thorough=True)]
        if as_json:
            self._write_mistakes([(target.name, error) for target, error in found])
            return 1 if found else 0
        messages = dict.fromkeys(str(error) for _, error in found)  # What targets of a matrix share is told once.
        for message in messages:
            self.write(f"error: {message}")
        for target in targets:
            for note in notes(target):
                self.write(f"note: {target.name}: {note}")
        if found:
            wrong = len({target.name for target, _ in found})
            self.write(f"{counted(len(messages), 'mistake')} in {wrong} of {len(targets)} targets")
        else:
            self.write(f"{counted(len(targets), 'target')}: no mistake found")
        return 1 if found else 0

    def refuse(self, errors: Sequence[ScalingTasksError], *, as_json: bool) -> int:
        """Tell what keeps the configurations from being loaded: mistakes like the others."""
        if as_json:
            self._write_mistakes([(None, error) for error in errors])
        else:
            self.write("\n".join(f"error: {error}" for error in errors))
            if len(errors) > 1:
                self.write(counted(len(errors), "mistake"))
        return 1

    def _write_mistakes(self, found: Sequence[tuple[str | None, ScalingTasksError]]) -> None:
        mistakes = [
            {"target": target, "where": error.where, "what": error.what, "fix": error.fix} for target, error in found
        ]
        self.write_json("check", {"mistakes": mistakes, "ok": not found})
