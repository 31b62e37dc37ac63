"""Sending what was made to a remote store, while the build goes on."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from typing import BinaryIO

from scaling_tasks.action import action_text
from scaling_tasks.store.background import Background
from scaling_tasks.store.connection import Connection
from scaling_tasks.store.records import Record, StoredFile
from scaling_tasks.store.remote import RemoteError
from scaling_tasks.store.remote_records import encode_record

__all__ = ["Sender"]

_TRANSFERS = 4


class Sender:
    """Sends records after the contents that they name, so that whoever finds a record finds those too.

    Args:
        connection: The store.
        secret: The key to sign records with, None for no signatures.
        damaged: Digests that the store has something else under: what it says of having them does not count.

    Attributes:
        results: How many records have been sent.
    """

    def __init__(self, connection: Connection, secret: bytes | None, damaged: set[str]) -> None:
        self._connection, self._secret, self._damaged = connection, secret, damaged
        self._threads = Background(_TRANSFERS, "send")
        self._pending: list[Future[None]] = []
        self._there: set[str] = set()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        self.results = 0

    def send(self, record: Record, opened: Callable[[StoredFile], BinaryIO]) -> None:
        """Begin to send a record and what it names.

        Args:
            record: The record.
            opened: Opens the content of each of its files.
        """
        if self._connection.writing:
            with self._lock:
                self._pending = [future for future in self._pending if not future.done()]
                self._pending.append(self._threads.submit(self._send, record, opened))

    @property
    def pending(self) -> int:
        """How many results are on their way."""
        return sum(not future.done() for future in self._pending) if self._connection.writing else 0

    def finish(self) -> None:
        """Wait until all is sent, or given up."""
        if self._connection.writing:
            self._connection.wait(self._pending, writing=True)

    def _send(self, record: Record, opened: Callable[[StoredFile], BinaryIO]) -> None:
        if not self._connection.writing:
            return
        ask, remote = self._connection.ask, self._connection.remote
        try:
            unknown = {file.digest: file for file in record.files if file.digest not in self._there}
            missing = ask(lambda: remote.missing(unknown)) if unknown else set()
            for digest in missing | (unknown.keys() & self._damaged):
                self._upload(unknown[digest], opened)
            self._there |= unknown.keys()
            text = action_text(record.components).encode()
            ask(lambda: remote.upload(record.key, text, self._moved))
            content = encode_record(record, self._secret)
            ask(lambda: remote.put_record(record.key, content))
            with self._lock:
                self.results += 1
        except RemoteError as error:
            self._connection.give_up(error, writing=True)
        except OSError:
            pass  # Another process has just evicted it here: whoever needs it makes it again.

    def _upload(self, file: StoredFile, opened: Callable[[StoredFile], BinaryIO]) -> None:
        def attempt() -> None:
            with opened(file) as source:
                self._connection.remote.upload(file.digest, source, self._moved)

        # Weights that many units have in common go once.
        with self._locks[file.digest]:
            if file.digest not in self._there:
                self._connection.ask(attempt)
                self._damaged.discard(file.digest)
                self._there.add(file.digest)

    def _moved(self, size: int) -> None:
        if not self._connection.writing:
            raise RemoteError("it was given up", passing=False, reached=True)
        self._connection.moved_out(size)
