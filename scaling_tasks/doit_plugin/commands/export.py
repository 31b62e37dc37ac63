"""``doit export_commands``: the compiler's commands as a script, for a machine that has the toolchain."""

from __future__ import annotations

import sys
from typing import Any

from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand
from scaling_tasks.doit_plugin.task_targets import targets_of

__all__ = ["ExportCommands"]


class ExportCommands(TaskCommand):
    """Writes ``compile.sh`` beside the plans of targets of the backend ``atc``."""

    name = "export_commands"
    doc_purpose = "write ATC commands as a script for a machine that has CANN"
    doc_usage = "[TARGET ...]"
    doc_description = (
        "Plan first (`doit buckets:TARGET`). Run the script where CANN is, copy its results back, and set "
        "compile.options.adopt to their directory."
    )
    cmd_options = (JSON_OPTION,)
    needs_units = False

    def _execute(self, as_json: bool, pos_args: list[str]) -> int:
        from scaling_tasks.builds.export import export_target, verdict_of
        from scaling_tasks.errors import ScalingTasksError

        self.dep_manager.close()
        written: dict[str, str] = {}
        verdicts: dict[str, str] = {}
        known = {target.name: target for target in targets_of(self.tasks())}
        asked = pos_args or [name for name, target in known.items() if target.options.get("backend") == "atc"]
        try:
            for name in asked:
                if name not in known:
                    sys.stderr.write(f"error: there is no target {name!r}. Targets: {', '.join(known)}.\n")
                    return 2
                written[name] = export_target(known[name]).as_posix()
                verdicts[name] = verdict_of(known[name])
        except ScalingTasksError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        payload: dict[str, Any] = {"scripts": written, "verdicts": verdicts}
        if as_json:
            self.write_json("export", payload)
        else:
            self.write(
                "\n".join(f"{path}  {verdicts[name]}" for name, path in written.items())
                or "no target has the backend 'atc'"
            )
        return 0
