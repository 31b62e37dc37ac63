"""A worker's own directory: files by their content, what is on its way, work in progress, and a journal."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.config.environment import environment_settings, parse_size
from scaling_tasks.execution.farm.order import Blob
from scaling_tasks.execution.file_locks import exclusive, taken_if_free
from scaling_tasks.files import append, digest_file, remove_whole
from scaling_tasks.names import digest as digest_of
from scaling_tasks.names import inner_name
from scaling_tasks.paths import entries, inside
from scaling_tasks.store.blobs import BlobDirectory, place_copy
from scaling_tasks.store.records import StoredFile

if TYPE_CHECKING:
    from scaling_tasks.store.remote_reader import RemoteReader

__all__ = ["DIRECTORY_VARIABLE", "SIZE_VARIABLE", "Depot", "open_depot"]

DIRECTORY_VARIABLE = "SCALING_TASKS_WORKER_DIRECTORY"
"""Where a worker keeps what it was given and what it made; ``~/.cache/scaling-tasks/worker`` by default."""

SIZE_VARIABLE = "SCALING_TASKS_WORKER_SIZE"
"""How much of it may stay there, such as ``20G``, which is the default."""

_DEFAULT_SIZE = "20G"
_GRACE_SECONDS = 600.0
_LOST_SECONDS, _OLD_SECONDS = 3600.0, 86400.0
_CONTENT = inner_name("content")


class Depot:
    """Files by their digest below one directory; any number of workers may share it.

    Args:
        root: The directory, made where it is not there, for its owner alone.
        limit: Bytes of files that may stay when work ends.
        remote: A store that is read before anybody is asked for files, None for none.
    """

    def __init__(self, root: Path, limit: int, remote: RemoteReader | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root
        self._limit = limit
        self._remote = remote
        self._blobs = BlobDirectory(root)
        self._arrival = threading.Condition()

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Return those that are not here, or not what they are called, each once."""
        distinct = {blob.digest: blob for blob in blobs}
        return [
            blob
            for digest, blob in distinct.items()
            if not (self._blobs.verify(digest, blob.size) and self._blobs.renew(digest))
        ]

    def fetch(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Take from the remote store what it has; return those that it has not."""
        if self._remote is None:
            return list(blobs)
        for blob in blobs:
            self._remote.fetch(StoredFile(_CONTENT, blob.digest, blob.size), self._blobs.path(blob.digest), self.root)
        return self.missing(blobs)

    def receive(self, sender: str, blob: Blob, offset: int, data: bytes) -> None:
        """Take a part of a file; parts come in order, and with the last of them the file is here.

        Raises:
            OSError: It cannot be written.
            ValueError: Something is between this part and the one before, or the whole is not what it is called, or
                that is no digest.
        """
        digest_of(blob.digest)  # Whoever reaches the worker says so.
        if not self.missing([blob]):
            self.wake()
            return
        # Several workers that share the directory may be sent the same at once.
        part = inside(self.root, f"arriving/{blob.digest}-{sender}-{os.getpid()}")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if offset else "wb") as file:
            if file.seek(0, os.SEEK_END) != offset:
                raise ValueError(f"{blob.digest}: the part at {offset} does not follow the one before")
            file.write(data)
        if offset + len(data) < blob.size:
            return
        if digest_file(part) != blob.digest:
            part.unlink(missing_ok=True)
            raise ValueError(f"{blob.digest}: what came is not what it is called")
        self._blobs.add(part)
        part.unlink(missing_ok=True)
        self.wake()

    def wake(self) -> None:
        """Have whoever waits for files look again."""
        with self._arrival:
            self._arrival.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until a file arrives, at most so long."""
        with self._arrival:
            self._arrival.wait(seconds)

    def read(self, digest: str, offset: int, length: int) -> bytes:
        """Return a part of a file.

        Raises:
            OSError: It is not here.
            ValueError: It is no digest.
        """
        with self._blobs.open(digest_of(digest)) as file:
            file.seek(offset)
            return file.read(length)

    def keep(self, path: Path) -> Blob:
        """Take over a file's content.

        Raises:
            ScalingTasksError: It cannot be written.
        """
        return Blob(self._blobs.add(path), path.stat().st_size)

    def fill(self, directory: Path, files: Mapping[str, Blob]) -> None:
        """Have exactly these files in a new directory, each compared with its digest.

        Raises:
            ScalingTasksError: One is lost, or cannot be written.
            OSError: A name leads out of the directory.
        """
        directory.mkdir(parents=True)
        for name, blob in files.items():
            place_copy(self._blobs.path(blob.digest), inside(directory, name), blob.digest, blob.size, below=directory)

    @contextlib.contextmanager
    def workdir(self, key: str) -> Iterator[Path]:
        """Give a new directory, and take it away whatever happens: where this process is killed, another does it."""
        parent, locks = self.root / "work", self.root / "locks"
        parent.mkdir(parents=True, exist_ok=True)
        self._sweep(parent, locks)
        name = f"{key[:16]}-{secrets.token_hex(6)}"
        with exclusive(locks / name, below=self.root, moment=True):
            made = parent / name
            made.mkdir()
            try:
                yield made
            finally:
                remove_whole(made, parent)
                (locks / name).unlink(missing_ok=True)

    def _sweep(self, parent: Path, locks: Path) -> None:
        """Remove the directories of workers that are no more."""
        for left in parent.iterdir():
            with contextlib.suppress(OSError):
                if not (locks / left.name).exists() and time.time() - left.lstat().st_mtime < _OLD_SECONDS:
                    continue  # Of a worker that runs an older version of this, which held no locks.
                with taken_if_free(locks / left.name, below=self.root) as held:
                    if held:
                        remove_whole(left, parent)
                        (locks / left.name).unlink(missing_ok=True)

    def scratch(self, name: str) -> Path:
        """Return a directory of shared work.

        Raises:
            OSError: The name leads elsewhere.
        """
        return inside(self.root, f"shared/{name}").absolute()

    def note(self, **facts: Any) -> None:
        """Append a line to the journal; one small write, so that several workers do not mix their lines."""
        line = json.dumps({"at": round(time.time(), 3), **facts}, sort_keys=True) + "\n"
        with contextlib.suppress(OSError):
            append(self.root / "journal.jsonl", line.encode(), below=self.root)

    def trim(self) -> None:
        """Remove what never arrived whole, and what was used longest ago until the rest takes at most the limit.

        What was used within ten minutes stays: it is needed, or about to be fetched.
        """
        for part in entries(self.root / "arriving", self.root):
            with contextlib.suppress(OSError):
                if time.time() - part.lstat().st_mtime > _LOST_SECONDS:
                    part.unlink()
        found = []
        for digest, size in self._blobs.sizes():
            with contextlib.suppress(OSError):
                found.append((self._blobs.path(digest).lstat().st_ctime, size, digest))
        total = sum(size for _, size, _ in found)
        for used, size, digest in sorted(found):
            if total <= self._limit or time.time() - used < _GRACE_SECONDS:
                break
            self._blobs.remove(digest)
            total -= size
        if total > self._limit:
            remove_whole(self.root / "shared", self.root)


@functools.cache
def open_depot() -> Depot:
    """Return this worker's directory, by what its environment says.

    Raises:
        ConfigError: The size is none, or the store that it names.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    given = os.environ.get(DIRECTORY_VARIABLE)
    limit = parse_size(os.environ.get(SIZE_VARIABLE) or _DEFAULT_SIZE, where=SIZE_VARIABLE)
    return Depot(Path(given) if given else caches / "scaling-tasks" / "worker", limit, _remote())


def _remote() -> RemoteReader | None:
    found = environment_settings()
    if found.remote_store is None:
        return None
    from scaling_tasks.store.remote_store import open_remote_store

    return open_remote_store(found.remote_store, writes=False, secret=None, patience=found.remote_store_patience).reader
