"""``doit diagram``: the tasks and what they wait for, as Mermaid text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand, closure, flag, selected

__all__ = ["Diagram"]

_UNITS = flag("units", "one node for every unit instead of one for all units of a target", long="all", short="a")


class Diagram(TaskCommand):
    """Writes a flowchart that GitHub, GitLab and most editors show."""

    name = "diagram"
    doc_purpose = "write the tasks and their dependencies as a Mermaid flowchart"
    doc_usage = "[TASK ...]"
    doc_description = "Units appear once they are planned."
    cmd_options = (JSON_OPTION, _UNITS)

    def _execute(self, as_json: bool, units: bool) -> int:
        tasks = self.tasks()
        self.dep_manager.close()
        needs = {name: [*task.task_dep, *task.setup_tasks] for name, task in tasks.items()}
        wanted = closure(selected(self.sel_tasks, tasks), needs) if self.sel_tasks else set(tasks)
        nodes, edges = _graph({name: task for name, task in tasks.items() if name in wanted}, units=units)
        if as_json:
            listed = [{"name": name, "label": label} for name, label in nodes.items()]
            self.write_json("diagram", {"nodes": listed, "edges": [list(edge) for edge in edges]})
        else:
            self.write(_mermaid(nodes, edges))
        return 0


def _graph(tasks: Mapping[str, Any], *, units: bool) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return label by node and the edges from what comes first to what follows; groups are passed through."""
    places = {name: _place(task, units=units) for name, task in tasks.items() if task.actions}
    members: dict[str, int] = {}
    for place in places.values():
        members[place] = members.get(place, 0) + 1
    labels = {}
    for name, place in places.items():
        alone = place == name
        labels[place] = name if alone else f"{place} ({members[place]} unit{'s' if members[place] > 1 else ''})"
    edges = {
        (places[before], place): None
        for name, place in places.items()
        for before in _before(tasks, name)
        if places[before] != place
    }
    return labels, sorted(edges)


def _place(task: Any, *, units: bool) -> str:
    """Return the node that a task is part of: itself, or the one for all units of its stage and target."""
    name = str(task.name)
    return name.rpartition(":")[0] if task.meta and task.meta.get("unit") and not units else name


def _before(tasks: Mapping[str, Any], name: str) -> list[str]:
    """Return the tasks with actions that ``name`` waits for, through groups."""
    found: dict[str, None] = {}
    pending = [*tasks[name].task_dep, *tasks[name].setup_tasks]
    while pending:
        need = pending.pop()
        if need not in tasks:
            continue
        if tasks[need].actions:
            found[need] = None
        else:
            pending += tasks[need].task_dep
    return sorted(found)


def _mermaid(nodes: Mapping[str, str], edges: list[tuple[str, str]]) -> str:
    numbers = {name: f"t{index}" for index, name in enumerate(nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {numbers[name]}["{_escaped(label)}"]' for name, label in nodes.items()]
    lines += [f"  {numbers[first]} --> {numbers[second]}" for first, second in edges]
    return "\n".join(lines)


def _escaped(label: str) -> str:
    return label.replace("#", "#35;").replace('"', "#quot;")
