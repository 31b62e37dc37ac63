"""``doit locked``: does the checkout fit its lock file? Needs neither the data set nor a compiler."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand, flag
from scaling_tasks.doit_plugin.task_targets import targets_of

if TYPE_CHECKING:
    from scaling_tasks.builds.lock_check import Finding

__all__ = ["Locked"]

_BUILT = flag("built", "also compare what is built here, down to the artefacts' bytes", short="b")
_STRICT = flag(
    "strict", "also fail where something could not be checked, such as a missing model or toolchain", short="s"
)


class Locked(TaskCommand):
    """Compares configurations, models and toolchains with ``scaling.lock``."""

    name = "locked"
    doc_purpose = "check the checkout against scaling.lock, without data set and without compiling"
    doc_usage = ""
    doc_description = (
        "Exit status: 0 when a build would leave the lock file as it is, 1 when it would change it. "
        "`doit locked=1` or SCALING_TASKS_LOCKED=1 makes a build fail that would."
    )
    cmd_options = (JSON_OPTION, _BUILT, _STRICT)
    needs_units = False

    def _execute(self, as_json: bool, built: bool, strict: bool) -> int:
        from scaling_tasks.builds.lock_check import check_lock
        from scaling_tasks.errors import ScalingTasksError

        self.dep_manager.close()
        try:
            findings = check_lock(targets_of(self.tasks()), built=built)
        except ScalingTasksError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        wrong = [each for each in findings if each.problem or (strict and each.unchecked)]
        if as_json:
            payload: dict[str, Any] = {"findings": [asdict(each) for each in findings], "ok": not wrong}
            self.write_json("lock-check", payload)
        else:
            self.write("\n".join(_lines(findings)))
        return 1 if wrong else 0


def _lines(findings: Sequence[Finding]) -> list[str]:
    lines = [f"differs    {each.target}: {each.subject}: {each.problem}" for each in findings if each.problem]
    lines += [f"unchecked  {each.target}: {each.subject}: {each.unchecked}" for each in findings if each.unchecked]
    if not any(each.problem for each in findings):
        targets = len({each.target for each in findings})
        lines.append(f"{targets} target{'s are' if targets != 1 else ' is'} as locked")
    return lines
