"""A state backend for doit that commits each task as it finishes, so that a kill forgets nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

__all__ = ["ScalingState"]


class ScalingState:
    """doit's record of what was done, in SQLite with a write-ahead log.

    doit's own backends write once, at the end of a run. Here a task is written when doit stores its ``deps:`` entry,
    which is the last one of a finished task, and a failed task is removed at once; two runs in one repository
    therefore keep each other's records.
    """

    desc = "SQLite, committed as each task finishes"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        self.name = name
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        # A worker thread never writes, but doit may close the connection from another thread than the one that opened.
        self._connection = sqlite3.connect(name, timeout=60, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS tasks (name TEXT PRIMARY KEY, record TEXT NOT NULL)")
        self._cache: dict[str, dict[str, Any]] = {}

    def get(self, task_id: str, dependency: str) -> Any:
        """Return one entry of a task's record, None where there is none."""
        if task_id not in self._cache:
            row = self._connection.execute("SELECT record FROM tasks WHERE name = ?", (task_id,)).fetchone()
            self._cache[task_id] = json.loads(row[0]) if row else {}
        return self._cache[task_id].get(dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Set one entry; the record is committed with its last one."""
        self._cache.setdefault(task_id, {})[dependency] = value
        if dependency in ("deps:", "ignore:"):
            self._commit(task_id)

    def in_(self, task_id: str) -> bool:
        """Return whether there is a record of the task."""
        if self._cache.get(task_id):
            return True
        return self._connection.execute("SELECT 1 FROM tasks WHERE name = ?", (task_id,)).fetchone() is not None

    def names(self) -> list[str]:
        """Return the names of all recorded tasks, sorted."""
        return [row[0] for row in self._connection.execute("SELECT name FROM tasks ORDER BY name")]

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        self._cache.pop(task_id, None)
        self._connection.execute("DELETE FROM tasks WHERE name = ?", (task_id,))

    def remove_all(self) -> None:
        """Forget everything."""
        self._cache = {}
        self._connection.execute("DELETE FROM tasks")

    def dump(self) -> None:
        """Close; everything is committed already."""
        self._connection.close()

    def _commit(self, task_id: str) -> None:
        record = json.dumps(self._cache[task_id])
        self._connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?)", (task_id, record))
