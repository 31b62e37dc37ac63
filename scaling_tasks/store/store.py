"""The content-addressed store: what was done before need not be done again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.errors import CacheError, of_disk
from scaling_tasks.files import publish, read_regular
from scaling_tasks.store.activity import Journal, StoreActivity
from scaling_tasks.store.blobs import BlobDirectory, place_copy
from scaling_tasks.store.records import Record, StoredFile, key_of

__all__ = ["Record", "Store"]

_SWEEP_GRACE_SECONDS = 3600.0


class Store:
    """Records of actions by the digest of all that determines them, and the files they made by digest of content.

    Any number of processes may use one store at once: everything is written beside its place and renamed, and readers
    trust nothing that they have not verified.

    Args:
        root: Its directory, made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = BlobDirectory(root / "blobs")
        self._journal = Journal(root / "journal.jsonl")

    def get(self, components: Mapping[str, Any]) -> Record | None:
        """Return the record of the action with these components, None where there is none that can be used.

        Every file's content is compared with its digest first. A record that fails is removed and counts as a miss,
        so that the action is done again.
        """
        key = key_of(components)
        record = self._read(key)
        if record is None:
            self._note(misses=1)
            return None
        if not all(self._blobs.verify(file.digest) and self._blobs.renew(file.digest) for file in record.files):
            self._forget(key)
            self._note(misses=1, corrupt=1)
            return None
        with contextlib.suppress(OSError):
            os.utime(self._record_path(key))  # The least recently used are evicted first.
        self._note(hits=1, bytes_restored=record.size, seconds_saved=_seconds(record))
        return record

    def peek(self, components: Mapping[str, Any]) -> Record | None:
        """Return the record that ``get`` would most likely find; counts as no look-up and reads no content."""
        record = self._read(key_of(components))
        if record is None or not all(self._blobs.has(file.digest, file.size) for file in record.files):
            return None
        return record

    def put(self, components: Mapping[str, Any], files: Mapping[str, Path], details: Mapping[str, Any]) -> Record:
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
            with publish(self._record_path(record.key), durable=True) as temporary:
                temporary.write_text(record.to_json(), encoding="utf-8")
        except OSError as cause:
            raise of_disk(cause, CacheError, where=self.root, what="cannot be written") from cause
        self._note(stored=1, bytes_stored=record.size)
        return record

    def path(self, file: StoredFile) -> Path:
        """Return where the content of a file lies that ``get`` has found, to be read only."""
        return self._blobs.path(file.digest)

    def place(self, file: StoredFile, target: Path) -> None:
        """Have a record's file at ``target``, whole, unless that holds the same content.

        Raises:
            CacheError: The target cannot be written, or the store lost the file since ``get``.
        """
        place_copy(self.path(file), target, file.digest)

    def records(self) -> Iterator[Record]:
        """Yield every readable record, the least recently used first."""
        paths = []
        for path in (self.root / "records").glob("??/*.json"):
            with contextlib.suppress(FileNotFoundError):  # Another process may be evicting.
                paths.append((path.stat().st_mtime_ns, path.name))
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
        kept: dict[str, int] = {}
        full = False
        for record in reversed(list(self.records())):
            added = {file.digest: file.size for file in record.files if file.digest not in kept}
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

    def _record_path(self, key: str) -> Path:
        return self.root / "records" / key[:2] / f"{key}.json"

    def _read(self, key: str) -> Record | None:
        path = self._record_path(key)
        try:
            record = Record.from_json(read_regular(path, MOST_BYTES), where=str(path))
        except OSError:
            return None
        except CacheError:
            self._forget(key)
            return None
        return record if record.key == key else None

    def _forget(self, key: str) -> None:
        with contextlib.suppress(OSError):  # A record on a read-only disk stays, and stays unusable.
            self._record_path(key).unlink(missing_ok=True)

    def _note(self, **increments: float) -> None:
        # A store on a read-only or full disk can still be read.
        with contextlib.suppress(OSError):
            self._journal.add(**increments)


def _seconds(record: Record) -> float:
    return float(record.details.get("seconds", 0.0))
