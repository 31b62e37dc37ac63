"""The content-addressed store: what was done before need not be done again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from scaling_tasks.action import components_of, key_of
from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.errors import CacheError, of_disk
from scaling_tasks.files import publish, read_regular, remove_whole
from scaling_tasks.names import Digest, InnerName, inner_name
from scaling_tasks.paths import entries
from scaling_tasks.store.activity import Journal, StoreActivity
from scaling_tasks.store.blobs import BlobDirectory, place_copy
from scaling_tasks.store.records import Record, StoredFile, stored_seconds
from scaling_tasks.store.remote_reader import UNKNOWN_BYTES
from scaling_tasks.store.remote_store import RemoteStore

__all__ = ["Record", "Store"]

_SWEEP_GRACE_SECONDS = 3600.0
_CONTENT = inner_name("content")


class Store:
    """Records of actions by the digest of all that determines them, and the files they made by digest of content.

    Any number of processes may use one store at once: everything is written beside its place and renamed, and readers
    trust nothing that they have not verified.

    Args:
        root: Its directory, made when first written to.
        remote: Another that is asked for what is not there. What it has is noted here at once, and the content of
            its files when that is read. What is put here is sent there.
    """

    def __init__(self, root: Path, remote: RemoteStore | None = None) -> None:
        self.root = root
        self.remote = remote
        self._blobs = BlobDirectory(root)
        self._journal = Journal(root / "journal.jsonl")

    def get(self, components: Mapping[str, Any]) -> Record | None:
        """Return the record of the action with these components, None where there is none that can be used.

        Every file's content is compared with its digest first. A record that fails is removed and counts as a miss,
        so that the action is done again. Content that is not here may be in the remote store: ``place`` tells.
        """
        key = key_of(components)
        record = self._read(key) or self._from_remote(key, components)
        if record is None:
            self._note(misses=1)
            return None
        here = [self._blobs.verify(file.digest, file.size) and self._blobs.renew(file.digest) for file in record.files]
        if not all(here) and not self._is_remote:
            self._forget(key)
            self._note(misses=1, corrupt=1)
            return None
        with contextlib.suppress(OSError):
            os.utime(self._record_path(key))  # The least recently used are evicted first.
        self._note(hits=1, bytes_restored=record.size, seconds_saved=stored_seconds(record.details))
        return record

    def peek(self, components: Mapping[str, Any]) -> Record | None:
        """Return the record that ``get`` would most likely find; counts as no look-up and reads no content.

        Of the remote store it tells what ``look_up`` has found.
        """
        key = key_of(components)
        record = self._read(key)
        if record is not None and (self._is_remote or all(self.has(file) for file in record.files)):
            return record
        return self.remote.reader.known(key, components) if self.remote is not None else None

    def look_up(self, actions: Iterable[Mapping[str, Any]]) -> None:
        """Look in the remote store for the records of many actions at once, as far as they are not here."""
        if self.remote is not None and self.remote.reader.reading:
            wanted = {key_of(components): components for components in actions}
            self.remote.reader.look_up(
                {key: components for key, components in wanted.items() if not self._record_path(key).exists()}
            )

    def expect(self, files: Iterable[StoredFile]) -> None:
        """Begin to fetch content that will be asked for soon, many files at once."""
        if self.remote is not None:
            for file in files:
                if not self.has(file) and self.remote.reader.reading:
                    self.remote.reader.begin(file, self.path(file), self.root)

    def lose(self, record: Record) -> None:
        """Forget a record that ``get`` has found and whose content could not be had: it was a miss."""
        self._forget(record.key)
        if self.remote is not None:
            self.remote.reader.forget(record.key)
        saved = stored_seconds(record.details)
        self._note(hits=-1, misses=1, corrupt=1, bytes_restored=-record.size, seconds_saved=-saved)

    def components(self, key: Digest) -> dict[str, Any] | None:
        """Return the action with this key, whoever has done it; None where that is not known."""
        record = self._read(key)
        if record is not None:
            return dict(record.components)
        try:
            path = self.obtain(key)
            return None if path is None else components_of(read_regular(path, MOST_BYTES, below=self.root))
        except (OSError, ValueError, RecursionError, CacheError):
            return None

    def put(self, components: Mapping[str, Any], files: Mapping[InnerName, Path], details: Mapping[str, Any]) -> Record:
        """Store what an action made.

        Args:
            components: All that determines the result, as plain JSON values.
            files: Existing files by the name they are restored under.
            details: Anything worth keeping; ``seconds``, what the action took, enters the statistics.

        Raises:
            CacheError: The store cannot be written.
        """
        try:
            stored = tuple(StoredFile(name, self._blobs.add(path), path.stat().st_size) for name, path in files.items())
            record = Record(key_of(components), dict(components), stored, dict(details))
            with publish(self._record_path(record.key), below=self.root, durable=True, derived=True) as temporary:
                temporary.write_text(record.to_json(), encoding="utf-8")
        except OSError as cause:
            raise of_disk(cause, CacheError, where=self.root, what="cannot be written") from cause
        self._note(stored=1, bytes_stored=record.size)
        if self.remote is not None:
            self.remote.send(record, self._opened)
        return record

    def send_all(self) -> int:
        """Send every result that is here whole and not in the remote store; return how many were sent.

        For what was made while that was not there, or not known of.
        """
        if self.remote is None or self.remote.sender is None:
            return 0
        before = self.remote.sender.results
        whole = {
            each.key: each for each in self.records() if all(self._blobs.verify(f.digest, f.size) for f in each.files)
        }
        self.remote.reader.look_up({key: record.components for key, record in whole.items()})
        for key, record in whole.items():
            if self.remote.reader.known(key, record.components) is None:
                self.remote.send(record, self._opened)
        self.remote.finish()
        return self.remote.sender.results - before

    def path(self, file: StoredFile) -> Path:
        """Return where the content of a file lies, or would lie once it is ``here``, to be read only."""
        return self._blobs.path(file.digest)

    def _opened(self, file: StoredFile) -> BinaryIO:
        return self._blobs.open(file.digest)

    def here(self, file: StoredFile) -> Path:
        """Return where the content of a file lies, fetched where it is not here; nothing lies there if that failed."""
        path = self.path(file)
        if self.remote is not None and not self.has(file):
            self.remote.reader.fetch(file, path, self.root)
        return path

    def obtain(self, digest: Digest) -> Path | None:
        """Return where a content lies by its digest alone, fetched where it is not here; None where nobody has it."""
        path = self._blobs.path(digest)
        if self.remote is not None and not path.exists():
            self.remote.reader.fetch(StoredFile(_CONTENT, digest, UNKNOWN_BYTES), path, self.root)
        return path if path.exists() else None

    def place(self, file: StoredFile, target: Path, *, below: Path) -> None:
        """Have a record's file at ``target``, whole, unless that holds the same content; see ``place_copy``.

        Raises:
            LostContentError: The content is not here any more, or cannot be fetched.
            CacheError: The target cannot be written.
        """
        place_copy(self.here(file), target, file.digest, file.size, below=below)

    def records(self) -> Iterator[Record]:
        """Yield every readable record, the least recently used first."""
        paths = []
        for path in (path for shard in entries(self.root / "records", self.root) for path in entries(shard, self.root)):
            with contextlib.suppress(FileNotFoundError):  # Another process may be evicting.
                if path.suffix == ".json":
                    paths.append((path.lstat().st_mtime_ns, path.name))
        for _, name in sorted(paths):
            if record := self._read(name.removesuffix(".json")):
                yield record

    def remove(self, key: str) -> None:
        """Forget a record; its files go with the next sweep, unless another record has them too."""
        self._forget(key)
        self._note(evicted=1)

    def evict(self, limit: int, *, grace: float = _SWEEP_GRACE_SECONDS) -> int:
        """Remove the least recently used records until the files of the others take at most ``limit`` bytes.

        Args:
            limit: Bytes; 0 empties the store.
            grace: Seconds for which a file without a record is left alone, because another process may be about to
                write its record.

        Returns:
            The bytes freed.
        """
        kept: dict[Digest, int] = {}
        full = False
        for record in reversed(list(self.records())):
            new = [file for file in record.files if file.digest not in kept]
            added = {file.digest: file.size for file in new if self.has(file)}
            full = full or sum(kept.values()) + sum(added.values()) > limit
            if full:
                self.remove(record.key)
            else:
                kept |= added
        return self._blobs.sweep(set(kept), grace)

    def size(self) -> int:
        """Return the bytes of all stored files, each content counted once."""
        return sum(size for _, size in self._blobs.sizes())

    def mark(self) -> int:
        """Return a mark for ``activity``."""
        return self._journal.position()

    def activity(self, since: int = 0) -> StoreActivity:
        """Return what happened in the store, through any process, since the mark."""
        return self._journal.activity(since)

    @property
    def _is_remote(self) -> bool:
        return self.remote is not None and self.remote.reader.reading

    def has(self, file: StoredFile) -> bool:
        """Return whether the content of a file is here, without reading it."""
        return self._blobs.has(file.digest, file.size)

    def _from_remote(self, key: Digest, components: Mapping[str, Any]) -> Record | None:
        """Return the remote store's record, noted here from now on."""
        if self.remote is None:
            return None
        self.remote.reader.look_up({key: components})
        record = self.remote.reader.known(key, components)
        if record is not None:
            with (
                contextlib.suppress(OSError),
                publish(self._record_path(key), below=self.root, derived=True) as temporary,
            ):
                temporary.write_text(record.to_json(), encoding="utf-8")
        return record

    def _record_path(self, key: str) -> Path:
        return self.root / "records" / key[:2] / f"{key}.json"

    def _read(self, key: str) -> Record | None:
        path = self._record_path(key)
        try:
            record = Record.from_json(read_regular(path, MOST_BYTES, below=self.root), where=str(path))
        except OSError:
            return None
        except CacheError:
            self._forget(key)
            return None
        return record if record.key == key else None

    def _forget(self, key: str) -> None:
        with contextlib.suppress(OSError):  # A record on a read-only disk stays, and stays unusable.
            remove_whole(self._record_path(key), below=self.root)

    def _note(self, **increments: float) -> None:
        # A store on a read-only or full disk can still be read.
        with contextlib.suppress(OSError):
            self._journal.add(**increments)
