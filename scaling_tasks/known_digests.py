"""Digests of files that have not changed since they were last read, told by the file system's own record of them.

A build that has nothing to do looks at dozens of files; reading them all would take a hundred times as long.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.files import append, digest_file, publish, read_regular
from scaling_tasks.names import Digest
from scaling_tasks.names import digest as digest_of

__all__ = ["STATE", "KnownDigests", "known_digests"]

STATE = Path(".scaling")
"""Everything in a repository that is ours and not for git: scan cache, store, state, logs."""

# Times are as coarse as the kernel's tick: a file changed twice within one looks changed once.
_TICK = 20_000_000
_SPARE_LINES = 2000
_DIGITS = 16


def _decoder() -> Callable[[bytes], Any]:
    try:
        from msgspec.json import decode
    except ImportError:  # A server has none, and no thousands of entries either.
        return json.loads
    return decode


_decode = _decoder()


class KnownDigests:
    """A journal of digests with what ``stat`` said of their files; any number of processes may append to it.

    Args:
        path: The journal; nothing is remembered beyond this process where its directory is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, list[Any]] = {}
        self._noted: dict[str, Any] = {}
        self._load()

    def digest(self, path: Path | str) -> Digest:
        """Return the SHA-256 of a file, read only where it may have changed.

        Raises:
            OSError: It cannot be read.
        """
        name = os.fspath(path)
        state, known = _state(name), self._known.get(name)
        if known is not None and known[:-1] == state:
            return Digest(known[-1])
        digest = digest_file(Path(path))
        if _state(name) == state and time.time_ns() - max(state[1], state[2]) > _TICK:
            self._remember(name, [*state, digest])
        return digest

    def holds(self, path: Path | str, digest: Digest, size: int) -> bool:
        """Return whether there is a file of this content; one of another size is not read."""
        try:
            return bool(_state(os.fspath(path))[0] == size and self.digest(path) == digest)
        except OSError:
            return False

    def made(self, path: Path | str, digest: str) -> None:
        """Note the digest of a file that this process has just put in place."""
        with contextlib.suppress(OSError):
            name = os.fspath(path)
            self._remember(name, [*_state(name), digest])

    def fact(self, name: str) -> Any:
        """Return what was noted under a name that holds a digest, None where nothing was."""
        return self._noted.get(name)

    def note(self, name: str, value: Any) -> None:
        """Note a plain JSON value that follows from content alone, under a name that holds the content's digest."""
        self._noted[name] = value
        self._append(["fact", name, value])

    def _remember(self, name: str, entry: list[Any]) -> None:
        if self._known.get(name) != entry:
            self._known[name] = entry
            self._append(["file", name, entry])

    def _load(self) -> None:
        try:
            lines = read_regular(self._path, MOST_BYTES).splitlines()
        except OSError:
            return
        for line in lines:
            if (entry := _entry(line)) is not None:  # Otherwise it was cut short by a full disk, or damaged.
                kind, name, value = entry
                (self._known if kind == "file" else self._noted)[name] = value
        entries = len(self._known) + len(self._noted)
        if len(lines) > 2 * entries + _SPARE_LINES:
            kept = [["file", *item] for item in self._known.items()] + [["fact", *item] for item in self._noted.items()]
            with contextlib.suppress(OSError), publish(self._path, below=self._path.parent, derived=True) as temporary:
                temporary.write_text("".join(_line(line) + "\n" for line in kept))

    def _append(self, line: list[Any]) -> None:
        with self._lock, contextlib.suppress(OSError):  # Not remembered costs a second look, nothing else.
            append(self._path, f"{_line(line)}\n".encode(), below=self._path.parent)


def _line(entry: list[Any]) -> str:
    """Return an entry as text with a checksum in front: a wrong digest would be believed."""
    text = json.dumps(entry)
    return _checksum(text.encode()) + text


def _entry(line: bytes) -> list[Any] | None:
    """Return an entry, None where its line is not as it was written."""
    if _checksum(line[_DIGITS:]).encode() != line[:_DIGITS]:
        return None
    try:
        kind, name, value = entry = _decode(line[_DIGITS:])
        if kind == "file":
            digest_of(value[-1])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    sound = isinstance(name, str) and (kind == "fact" or (kind == "file" and isinstance(value, list)))
    return entry if sound else None


def _checksum(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=_DIGITS // 2).hexdigest()


def _state(path: str) -> list[int]:
    status = os.stat(path)  # noqa: PTH116 - asked for tens of thousands of times
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def known_digests(repository: Path | None = None) -> KnownDigests:
    """Return what is known in a repository, by default the one in the current directory; the same object each time."""
    return _at(str(repository or os.getcwd()))  # noqa: PTH109 - asked for hundreds of times


@functools.cache
def _at(repository: str) -> KnownDigests:
    return KnownDigests(Path(repository) / STATE / "digests.jsonl")
