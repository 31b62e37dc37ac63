"""``doit why TASK``: what of a task's key and files is not what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from doit.exceptions import InvalidCommand

from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand, selected

if TYPE_CHECKING:
    from scaling_tasks.builds.forecast import Forecast

__all__ = ["Why"]

_LONGEST = 100


class Why(TaskCommand):
    """Explains what a run would do with a task, with every changed component of its key, old and new."""

    name = "why"
    doc_purpose = "show why a task would run: every component of its key that changed, old and new"
    doc_usage = "TASK ..."
    doc_description = "A group stands for its sub-tasks. Exit status: 0 when all are up to date, 1 when one would run."
    cmd_options = (JSON_OPTION,)
    needs_units = False

    def _execute(self, as_json: bool, pos_args: list[str]) -> int:
        from scaling_tasks.builds.forecast import compared_with_lock
        from scaling_tasks.doit_plugin.task_forecast import forecast_tasks

        if not pos_args:
            raise InvalidCommand("`why` needs the name of a task; `doit list --all` shows them.")
        tasks = self.tasks()
        rows = forecast_tasks(tasks, self.dep_manager)
        self.dep_manager.close()
        wanted = _wanted(pos_args, tasks, rows)
        rows |= {name: compared_with_lock(rows[name]) for name in wanted}
        if as_json:
            self.write_json("explanation", {"tasks": [rows[name].to_payload() for name in wanted]})
        else:
            for name in wanted:
                self.write("\n".join(_explanation(rows[name], rows)))
        return 0 if all(rows[name].idle for name in wanted) else 1


def _wanted(patterns: list[str], tasks: Mapping[str, Any], rows: Mapping[str, Forecast]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        plain_group = pattern in tasks and not tasks[pattern].actions and pattern not in rows
        below = [name for name in tasks[pattern].task_dep if name in rows] if plain_group else []
        if below:
            found |= dict.fromkeys(below)
        else:
            found |= dict.fromkeys(selected([pattern], rows))
    return list(found)


def _explanation(row: Forecast, rows: Mapping[str, Forecast]) -> Iterator[str]:
    yield f"{row.name}: {_SAID[row.action]}"
    for reason in row.reasons:
        yield f"  - {reason}"
    for change in row.changes:
        yield f"    {change.component}: {_value(change.old)} -> {_value(change.new)}"
    if row.seconds is not None:
        from scaling_tasks.doit_plugin.console.quantities import duration

        yield f"  compiling will take about {duration(row.seconds)}"
    before = [need for need in row.needs if need in rows and not rows[need].idle]
    if before and not row.idle:
        yield f"  before it: {', '.join(before[:5])}{' …' if len(before) > 5 else ''}"


_SAID = {
    "run": "would run",
    "restore": "would be restored from the store",
    "may run": "may run",
    "fail": "would fail",
    "up to date": "is up to date",
    "left out": "is left out",
}


def _value(value: Any) -> str:
    """Return a component's value as compact JSON, its middle left out where it is long."""
    if value is None:
        return "(absent)"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
