"""Reading a remote store: records are looked up many at a time, contents are fetched when they are needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.errors import CacheError
from scaling_tasks.names import Digest
from scaling_tasks.store.background import Background
from scaling_tasks.store.connection import Connection
from scaling_tasks.store.notices import tell
from scaling_tasks.store.records import Record, StoredFile
from scaling_tasks.store.remote import RemoteError, WrongContentError
from scaling_tasks.store.remote_records import UnsignedError, decode_record

__all__ = ["UNKNOWN_BYTES", "RemoteReader"]

UNKNOWN_BYTES = 1 << 40
"""The size of a content that is known by its digest alone; none is as large."""

_LOOK_UPS, _TRANSFERS = 16, 8
# Then another machine may have made it, and it is worth a request to find out.
_ABSENT_SECONDS = 300.0


class RemoteReader:
    """Reads records and contents of a remote store; never raises for its sake: what cannot be had is not there.

    Args:
        connection: The store.
        secret: The key that records must be signed with, None where signatures do not matter.

    Attributes:
        damaged: Digests under which the store has something else.
        expected: Bytes of all contents that were or are being fetched.
    """

    def __init__(self, connection: Connection, secret: bytes | None) -> None:
        self._connection, self._secret = connection, secret
        self._lookers, self._movers = Background(_LOOK_UPS, "look-up"), Background(_TRANSFERS, "fetch")
        self._records: dict[str, tuple[Record | None, float]] = {}
        self._fetches: dict[str, Future[bool]] = {}
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self.damaged: set[str] = set()
        self.expected = 0

    @property
    def reading(self) -> bool:
        """Whether anything is still asked of it."""
        return self._connection.reading

    def look_up(self, actions: Mapping[Digest, Mapping[str, Any]]) -> None:
        """Look for the records of many actions at once, in one round; ``known`` then tells what there is.

        Args:
            actions: Components by key.
        """
        now = time.monotonic()
        wanted = [key for key in actions if not self._is_known(key, now)]
        if wanted and not self._connection.answers:
            # Whether it is there at all is found out with one request.
            self._round(wanted[:1], actions)
            wanted = wanted[1:]
        self._round(wanted, actions)

    def known(self, key: Digest, components: Mapping[str, Any]) -> Record | None:
        """Return what the last look-up of an action found; asks nobody."""
        record = self._records.get(key, (None, 0.0))[0]
        return msgspec.structs.replace(record, components=components) if record is not None else None

    def forget(self, key: Digest) -> None:
        """Have a record that turned out to be of no use not found again."""
        self._records[key] = (None, time.monotonic())

    def begin(self, file: StoredFile, target: Path, below: Path) -> Future[bool]:
        """Begin to fetch a content, unless that is under way; the future tells whether it came; see ``Remote``."""
        with self._lock:
            future = self._fetches.get(file.digest)
            # Again only where it is gone from here, or may come now.
            if future is None or (future.done() and file.digest not in self.damaged and not target.exists()):
                self._expect(file.size)
                future = self._fetches[file.digest] = self._movers.submit(self._fetch, file, target, below)
            return future

    def fetch(self, file: StoredFile, target: Path, below: Path) -> bool:
        """Have a content at ``target``, see ``Remote.fetch``; return whether it is there."""
        if not self.reading:
            return False
        future = self.begin(file, target, below)
        self._connection.wait([future])
        return future.done() and not future.cancelled() and future.result()

    def _is_known(self, key: Digest, now: float) -> bool:
        record, asked = self._records.get(key, (None, -_ABSENT_SECONDS))
        return record is not None or now - asked < _ABSENT_SECONDS

    def _round(self, keys: list[Digest], actions: Mapping[Digest, Mapping[str, Any]]) -> None:
        if keys and self.reading:
            self._connection.wait([self._lookers.submit(self._look, key, actions[key]) for key in keys])

    def _look(self, key: Digest, components: Mapping[str, Any]) -> None:
        if not self.reading:
            return
        found = None
        try:
            content = self._connection.ask(lambda: self._connection.remote.record(key))
            if content is not None:
                found = decode_record(content, components, key, self._secret)
        except RemoteError as error:
            self._connection.give_up(error, writing=False)
            return
        except UnsignedError:
            name = self._connection.name
            said = f"records in the store {name} are not signed with the key that is set here; they are not used"
            self._tell_once("unsigned", said)
        except CacheError as error:
            tell(f"warning: a record in the store {self._connection.name} is not used: {error.where}: {error.what}")
        self._records[key] = (found, time.monotonic())

    def _expect(self, size: int) -> None:
        self.expected += size if abs(size) < UNKNOWN_BYTES else 0

    def _tell_once(self, kind: str, text: str) -> None:
        with self._lock:
            known = kind in self._said
            self._said.add(kind)
        if not known:
            tell(f"warning: {text}")

    def _fetch(self, file: StoredFile, target: Path, below: Path) -> bool:
        came = self.reading and self._tried(file, target, below)
        if not came:
            with self._lock:
                self._expect(-file.size)
        return came

    def _tried(self, file: StoredFile, target: Path, below: Path) -> bool:
        try:
            return self._connection.ask(lambda: self._attempt(file, target, below))
        except WrongContentError:
            self.damaged.add(file.digest)
            tell(
                f"warning: a content in the store {self._connection.name} is not used: "
                f"cas/{file.digest} ({file.name}): damaged or cut short"
            )
        except RemoteError as error:
            self._connection.give_up(error, writing=False)
        except CacheError as error:
            self._tell_once("disk", f"what the store {self._connection.name} has is not kept here: {error}")
        return False

    def _attempt(self, file: StoredFile, target: Path, below: Path) -> bool:
        came = 0

        def moved(size: int) -> None:
            nonlocal came
            came += size
            if came > file.size:
                raise WrongContentError("it is longer than what was stored")
            if not self.reading:
                raise RemoteError("it was given up", passing=False, reached=True)
            self._connection.moved_in(size)

        return self._connection.remote.fetch(file.digest, target, below, moved)
