"""A state backend for doit that commits each task as it finishes, so that a kill forgets nothing."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import stat
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from scaling_tasks.files import digest_bytes

__all__ = ["ScalingState"]

_PATIENCE_SECONDS = 60.0
_DIGITS = 16
# What SQLite says where the file itself is in order, or may be.
_NOT_DAMAGED = ("locked", "busy", "readonly", "read-only", "unable to open", "is full", "I/O")
# A damaged name in it is repeated in what SQLite says, which Python then cannot read.
_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
_TABLE = "CREATE TABLE IF NOT EXISTS tasks (name TEXT PRIMARY KEY, record TEXT NOT NULL)"


_OfDoit = TypedDict("_OfDoit", {"_values_:": dict[str, Any], "deps:": list[str], "checker:": str}, total=False)
"""What doit takes apart of a record beside what it says of files."""


class ScalingState:
    """doit's record of what was done, in SQLite with a write-ahead log.

    doit's own backends write once, at the end of a run. Here a task is written when doit stores its ``deps:`` entry,
    which is the last one of a finished task, and a failed task is removed at once; two runs in one repository
    therefore keep each other's records.
    """

    desc = "SQLite, committed as each task finishes"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        self.name = name
        self._connection = _open(Path(name))
        self._changed: dict[str, dict[str, Any]] = {}
        self._latest: tuple[str, dict[str, Any]] = ("", {})

    def get(self, task_id: str, dependency: str) -> Any:
        """Return one entry of a task's record, None where there is none."""
        return self._record(task_id).get(dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Set one entry; the record is committed with its last one."""
        self._changed.setdefault(task_id, self._record(task_id))[dependency] = value
        if dependency in ("deps:", "ignore:"):
            self._commit(task_id)

    def _record(self, task_id: str) -> dict[str, Any]:
        if task_id in self._changed:
            return self._changed[task_id]
        if self._latest[0] != task_id:  # doit asks for one entry of a task after the other.
            self._latest = task_id, _record(self._written.get(task_id, ""))
        return self._latest[1]

    @functools.cached_property
    def _written(self) -> dict[str, str]:
        """All records as they are when the first is asked for: one query instead of thousands."""
        return dict(self._execute("SELECT name, record FROM tasks"))

    def in_(self, task_id: str) -> bool:
        """Return whether there is a record of the task."""
        if self._changed.get(task_id):
            return True
        return bool(self._execute("SELECT 1 FROM tasks WHERE name = ?", task_id))

    def names(self) -> list[str]:
        """Return the names of all recorded tasks, sorted."""
        return [row[0] for row in self._execute("SELECT name FROM tasks ORDER BY name")]

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        self._changed[task_id] = {}
        self._execute("DELETE FROM tasks WHERE name = ?", task_id)

    def remove_all(self) -> None:
        """Forget everything."""
        self._changed, self._written, self._latest = {}, {}, ("", {})
        self._execute("DELETE FROM tasks")

    def dump(self) -> None:
        """Close; everything is committed already."""
        self._connection.close()

    def _commit(self, task_id: str) -> None:
        text = json.dumps(self._changed[task_id])
        self._execute("INSERT OR REPLACE INTO tasks VALUES (?, ?)", task_id, _checksum(text) + text)

    def _execute(self, statement: str, *values: str) -> list[Any]:
        """Return the rows.

        A database that turns out to be damaged is put aside, and a new one begun; from one that cannot be written any
        more, as on a full disk, this process goes on with a copy in memory.
        """
        try:
            return self._connection.execute(statement, values).fetchall()
        except _ERRORS as error:
            path = Path(self.name)
            self._connection.close()
            if any(word in str(error) for word in _NOT_DAMAGED):
                self._connection = _unwritable(path, error)
            else:
                _put_aside(path, error)
                self._connection = _open(path)
            return self._connection.execute(statement, values).fetchall()


def _record(text: object) -> dict[str, Any]:
    """Return what a record's text holds; nothing where it is not as it was written, which has its task done again."""
    import msgspec  # Not for commands that are only listed.

    if not isinstance(text, str):  # SQLite keeps in a column what it is given.
        return {}
    checksum, plain = text[:_DIGITS], text[_DIGITS:]
    if not plain or _checksum(plain) != checksum:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(plain, type=dict[str, Any])
        msgspec.convert(found, _OfDoit)
        files = [value for name, value in found.items() if not name.endswith(":")]
        msgspec.convert(files, list[tuple[float, int, str] | float | None])
    except (ValueError, RecursionError):
        return {}
    return found


def _checksum(text: str) -> str:
    return digest_bytes(text.encode("utf-8", "surrogatepass"))[:_DIGITS]


def _put_aside(path: Path, error: object) -> None:
    """Rename a damaged database: losing state costs no compile."""
    aside = path.with_suffix(".damaged")
    with contextlib.suppress(FileNotFoundError):
        path.replace(aside)
    for log in _logs(path):  # Of the damaged one, and no good to another.
        log.unlink(missing_ok=True)
    sys.stderr.write(f"warning: {path} was damaged ({error}) and is begun anew; the old one is {aside}\n")


def _logs(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _is_strange(path: Path) -> bool:
    """Return whether a pipe stands there, which would be waited for, or a link, which would be written through."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _open(path: Path) -> sqlite3.Connection:
    """Open the database, made where absent; a damaged one is put aside, because losing state costs no compile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if strange := next(filter(_is_strange, (path, *_logs(path))), None):
            _put_aside(path, f"{strange.name} is no regular file")
        return _connect(path)
    except _ERRORS as error:
        if any(word in str(error) for word in _NOT_DAMAGED):
            return _unwritable(path, error)
        _put_aside(path, error)
        return _connect(path)
    except OSError as error:
        return _unwritable(path, error)


def _connect(path: Path) -> sqlite3.Connection:
    # A worker thread never writes, but doit may close the connection from another thread than the one that opened.
    connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_TABLE)
        except sqlite3.OperationalError as error:
            # SQLite does not wait where several processes turn on the log at once.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return connection


def _unwritable(path: Path, error: Exception) -> sqlite3.Connection:
    """Return a copy in memory of a database that cannot be written, for commands that only look."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as disk,
    ):
        disk.backup(memory)
    memory.execute(_TABLE)  # Which the one on the disk may lack: it may have been cut short.
    sys.stderr.write(f"warning: {path}: what is done will not be remembered ({error})\n")
    return memory
