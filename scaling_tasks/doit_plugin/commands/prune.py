"""``doit prune``: remove what earlier builds left behind that is no longer configured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand, flag
from scaling_tasks.doit_plugin.task_targets import targets_of

__all__ = ["Prune"]

_DRY_RUN = flag("dry_run", "only say what would be removed", long="dry-run", short="n")
_STORE_SIZE = {
    "name": "store_size",
    "long": "store-size",
    "type": str,
    "default": "",
    "help": "also remove the least recently used results from the store until it has this size, such as 2G "
    "[default: the environment variable SCALING_TASKS_STORE_SIZE, or no limit]",
}


class Prune(TaskCommand):
    """Removes stale artefacts, records, logs and state, and trims the store."""

    name = "prune"
    doc_purpose = "remove artefacts, records and state of what is no longer configured; trim the store"
    doc_usage = ""
    doc_description = (
        "Only files that the records of earlier builds name are removed. "
        "Exit status: 0; with --dry-run 1 when something would be removed."
    )
    cmd_options = (JSON_OPTION, _DRY_RUN, _STORE_SIZE)

    def _execute(self, as_json: bool, dry_run: bool, store_size: str) -> int:
        found = self._prune(dry_run, store_size)
        self.dep_manager.close()
        if as_json:
            self.write_json("pruned", found)
        else:
            self._tell(found, "would remove" if dry_run else "removed")
        anything = found["files"] or found["tasks"] or found["locked_targets"] or found["store_bytes"]
        return 1 if dry_run and anything else 0

    def _prune(self, dry_run: bool, store_size: str) -> dict[str, Any]:
        from scaling_tasks.builds import pruning
        from scaling_tasks.builds.workshop import open_store
        from scaling_tasks.config.environment import environment_settings, parse_size
        from scaling_tasks.stages import lock

        limit = parse_size(store_size, where="--store-size") if store_size else environment_settings().store_size
        tasks = self.tasks()
        targets = targets_of(tasks)
        files = pruning.stale_files(targets)
        rows = _stale_rows(self.dep_manager.backend, tasks)
        names = {target.name for target in targets}
        locked = [name for name in lock.read_lock() if name not in names]
        store = open_store()
        excess = max(0, store.size() - limit) if limit is not None else 0
        if not dry_run:
            for row in rows:
                self.dep_manager.remove(row)
            pruning.remove(files)
            if locked:
                lock.remove_sections(locked)
            excess = store.evict(limit) if limit is not None else 0
        return {
            "files": [path.as_posix() for path in files if path.parent != Path(".scaling/locks")],
            "tasks": rows,
            "locked_targets": locked,
            "store_bytes": excess,
        }

    def _tell(self, found: Mapping[str, Any], verb: str) -> None:
        from scaling_tasks.doit_plugin.console.quantities import size

        for path in found["files"]:
            self.write(f"{verb} {path}")
        for name in found["tasks"]:
            self.write(f"{verb} the state of {name}")
        for name in found["locked_targets"]:
            self.write(f"{verb} {name} from scaling.lock")
        if found["store_bytes"]:
            self.write(f"{verb} {size(found['store_bytes'])} from the store")
        if not any(found.values()):
            self.write("nothing to remove")


def _stale_rows(backend: Any, tasks: Mapping[str, Any]) -> list[str]:
    """Return the recorded tasks that no longer exist: of our stages, of unknown groups, and doit's own helpers."""
    from scaling_tasks.builds.graph import STAGES

    names: list[str] = getattr(backend, "names", list)()  # Only our own backend can tell.
    groups = {name.partition(":")[0] for name in tasks}
    gone = [(name, name.partition(":")[0]) for name in names if name not in tasks]
    # A sub-task of a foreign group may be one that its creator makes only while a run goes on.
    return [name for name, group in gone if group in STAGES or group not in groups]
