"""A remote store in use: its one connection, who reads it, and who sends to it where that is wanted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from scaling_tasks.store.connection import Connection
from scaling_tasks.store.open_remote import open_remote
from scaling_tasks.store.records import Record, StoredFile
from scaling_tasks.store.remote_reader import RemoteReader
from scaling_tasks.store.remote_sender import Sender

__all__ = ["RemoteStore", "open_remote_store"]


@dataclass(frozen=True)
class RemoteStore:
    """A remote store in use.

    Attributes:
        connection: What it has cost and moved so far.
        reader: Reads it.
        sender: Sends to it, None where it is only read.
    """

    connection: Connection
    reader: RemoteReader
    sender: Sender | None

    def send(self, record: Record, opened: Callable[[StoredFile], BinaryIO]) -> None:
        """Begin to send a result, where that is wanted; see ``Sender.send``."""
        if self.sender is None:
            return
        self.sender.send(record, opened)
        if multiprocessing.parent_process() is not None:
            self.sender.finish()  # A worker may be ended as soon as it has nothing to do.

    @property
    def pending(self) -> int:
        """How many results are on their way there."""
        return self.sender.pending if self.sender is not None else 0

    def finish(self) -> None:
        """Wait until everything is sent, or given up."""
        if self.sender is not None:
            self.sender.finish()


def open_remote_store(url: str, *, writes: bool, secret: bytes | None, patience: float) -> RemoteStore:
    """Return the remote store at an address; nothing is asked of it yet.

    Args:
        url: See ``open_remote``.
        writes: Whether results are sent to it.
        secret: The key that signs records, None for no signatures.
        patience: Seconds that it may cost a build when it is slow or gone.

    Raises:
        ConfigError: It is no address, or a package for its kind is missing.
    """
    connection = Connection(open_remote(url), patience, writes=writes)
    reader = RemoteReader(connection, secret)
    return RemoteStore(connection, reader, Sender(connection, secret, reader.damaged) if writes else None)
