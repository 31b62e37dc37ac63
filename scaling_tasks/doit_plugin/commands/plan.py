"""``doit plan``: what a run would do, task by task, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from doit.doit_cmd import set_var

from scaling_tasks.doit_plugin.changed_since import VARIABLE
from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand, closure, flag, groups_of, selected

if TYPE_CHECKING:
    from scaling_tasks.builds.forecast import Forecast

__all__ = ["Plan"]

_SINCE = {
    "name": VARIABLE,
    "long": VARIABLE.replace("_", "-"),
    "type": str,
    "default": "",
    "help": "only targets that the changes since this revision of git touch",
}
_ALL = flag("show_all", "show every task", long="all", short="a")


class Plan(TaskCommand):
    """Lists what would run, why, what would come from the store, and how long compiling will take."""

    name = "plan"
    doc_purpose = "show what would run and why, without running it"
    doc_usage = "[TASK ...]"
    doc_description = (
        "Buckets that are not planned yet are planned in memory, so that every compile is known beforehand. "
        "Exit status: 0 when everything is up to date, 1 when something would run."
    )
    cmd_options = (JSON_OPTION, _ALL, _SINCE)
    needs_units = False

    def execute(self, params: Any, args: list[str]) -> int:
        """Hand the revision on to whoever loads the targets, as `doit changed_since=REV` does."""
        if params[VARIABLE]:
            set_var(VARIABLE, params[VARIABLE])
        return super().execute(params, args)

    def _execute(self, as_json: bool, show_all: bool) -> int:
        tasks = self.tasks()
        rows = self._forecasts(tasks)
        self.dep_manager.close()
        busy = [row for row in rows if not row.idle]
        if as_json:
            self.write_json("forecast", _payload(rows))
        else:
            width = max((len(row.name) for row in rows), default=0)
            for row in rows if show_all else busy:
                self.write(_line(row, width))
            self.write(_summary(rows))
            for line in _verdicts(rows):
                self.write(line)
        return 1 if busy else 0

    def _forecasts(self, tasks: Mapping[str, Any]) -> list[Forecast]:
        """Return the forecasts of the tasks asked for and of all that they need."""
        from scaling_tasks.doit_plugin.task_forecast import forecast_tasks

        rows = forecast_tasks(tasks, self.dep_manager)
        if self.sel_tasks is None:
            return list(rows.values())
        needs = {name: row.needs for name, row in rows.items()}
        below = groups_of(rows)
        groups = {name: [*task.task_dep, *below.get(name, ())] for name, task in tasks.items() if not task.actions}
        wanted = closure(selected(self.sel_tasks, {**rows, **groups}), {**groups, **needs})
        return [row for name, row in rows.items() if name in wanted]


def _payload(rows: Sequence[Forecast]) -> dict[str, Any]:
    verdicts = {row.name.partition(":")[2]: row.verdict for row in rows if row.verdict}
    return {"tasks": [row.to_payload() for row in rows], "totals": _totals(rows), "verdicts": verdicts}


def _verdicts(rows: Sequence[Forecast]) -> list[str]:
    """Return a line per target: what its answers will be worth, before anything is compiled."""
    verdicts = _payload(rows)["verdicts"]
    width = max(map(len, verdicts), default=0)
    return [f"verdict  {target:<{width}}  {verdict}" for target, verdict in verdicts.items()]


def _line(row: Forecast, width: int) -> str:
    seconds = f"  about {_duration(row.seconds)}" if row.seconds is not None else ""
    return f"{row.action:<10}  {row.name:<{width}}  {'; '.join(row.reasons)}{seconds}".rstrip()


def _totals(rows: Sequence[Forecast]) -> dict[str, Any]:
    compiles = [row for row in rows if row.name.startswith("compile:") and row.action == "run"]
    known = [row.seconds for row in compiles if row.seconds is not None]
    return {
        "actions": dict(Counter(row.action for row in rows)),
        "compiles": len(compiles),
        "compile_seconds": round(sum(known), 3),
        "compiles_of_unknown_duration": len(compiles) - len(known),
    }


def _summary(rows: Sequence[Forecast]) -> str:
    totals = _totals(rows)
    actions = totals["actions"]
    if all(row.idle for row in rows):
        left_out = f", {actions['left out']} left out" if "left out" in actions else ""
        return f"nothing to do: {actions.get('up to date', 0)} tasks are up to date{left_out}"
    parts = [f"{actions[action]} {said}" for action, said in _SAID.items() if action in actions]
    compiles = totals["compiles"]
    unknown = totals["compiles_of_unknown_duration"]
    seconds = f", about {_duration(totals['compile_seconds'])} of compiling" if compiles > unknown else ""
    without = f" ({unknown} of unknown duration)" if unknown else ""
    return f"{', '.join(parts)}; {compiles} to compile{without}{seconds}"


_SAID = {
    "run": "would run",
    "restore": "would come from the store",
    "may run": "may run",
    "fail": "would fail",
    "up to date": "up to date",
    "left out": "left out",
}


def _duration(seconds: float) -> str:
    from scaling_tasks.doit_plugin.console.quantities import duration

    return duration(seconds)
