"""The protocol of a store that lies elsewhere: records by key, contents by digest, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit, urlunsplit

from scaling_tasks.errors import CacheError, one_line
from scaling_tasks.files import publish
from scaling_tasks.names import Digest

__all__ = [
    "MOST_RECORD_BYTES",
    "Moved",
    "Remote",
    "RemoteError",
    "WrongContentError",
    "receive",
    "shown_url",
]

MOST_RECORD_BYTES = 1 << 26
"""The longest record that is read: 64 MiB."""

_MOST_RIGHTS = 0o644  # As all contents of a store.

Moved = Callable[[int], None]
"""Called with the size of every block that went over the wire; raises what is to end the transfer."""


class RemoteError(Exception):
    """A remote store did not do what it was asked for.

    Args:
        what: Its answer, or why there was none; holds no credentials.
        passing: Whether asking again may help: it was not reached, or is in trouble.
        reached: Whether it answered at all.
    """

    def __init__(self, what: str, *, passing: bool, reached: bool) -> None:
        super().__init__(what)
        self.passing = passing
        self.reached = reached


class WrongContentError(Exception):
    """What came is not what it is called."""


class Remote(Protocol):
    """A store that lies elsewhere, laid out as Bazel's remote caches are: ``ac/<key>`` and ``cas/<digest>``.

    Any number of threads may use one. It can be pickled, and made anew from its address with
    ``open_remote``.
    """

    @property
    def url(self) -> str:
        """Its address, which may hold credentials: show ``shown_url`` of it."""
        ...

    def record(self, key: str) -> bytes | None:
        """Return the record under a key, None where there is none.

        Raises:
            RemoteError: It cannot be told.
        """
        ...

    def put_record(self, key: str, content: bytes) -> None:
        """Have this record under the key, whatever was there.

        Raises:
            RemoteError: It is not certain to be there.
        """
        ...

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which of the contents it does not have.

        Raises:
            RemoteError: It cannot be told.
        """
        ...

    def fetch(self, digest: str, target: Path, below: Path, moved: Moved = ...) -> bool:
        """Have a content at ``target``, whole and compared with its digest; return False where there is none.

        Args:
            digest: The content's.
            target: Where it is wanted.
            below: What that lies below, see ``files.publish``.
            moved: Told of every block.

        Raises:
            RemoteError: It did not come whole.
            WrongContentError: What came has another digest.
        """
        ...

    def upload(self, digest: str, source: BinaryIO | bytes, moved: Moved = ...) -> None:
        """Have a content there; a file is read from where it stands.

        Raises:
            RemoteError: It is not certain to be there.
        """
        ...


def shown_url(url: str) -> str:
    """Return an address without user, password and query, to be shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not an address)"
    host = parts.netloc.rpartition("@")[2]
    return one_line(urlunsplit((parts.scheme, host, parts.path, "", "")))


def receive(digest: str, blocks: Iterable[bytes], target: Path, below: Path, moved: Moved) -> None:
    """Publish a content at ``target`` as it comes, where it has the digest; see ``Remote.fetch``.

    Raises:
        WrongContentError: It has another.
        CacheError: The target cannot be written.
        Exception: What the blocks raise.
    """
    found = hashlib.sha256()
    try:
        with publish(target, below=below, durable=True, derived=True) as temporary:
            with temporary.open("xb") as file:
                for block in _from_wire(blocks, moved):
                    found.update(block)
                    file.write(block)
            if found.hexdigest() != digest:
                raise WrongContentError(f"its content is not {digest}")
            temporary.chmod(temporary.stat().st_mode & _MOST_RIGHTS)
    except _WireError as wrapped:
        raise wrapped.cause from None
    except OSError as cause:
        where = str(cause.filename or target)
        raise CacheError(f"cannot be written ({cause.strerror or cause})", where=where, fix="Mend the disk.") from cause


class _WireError(Exception):
    """Keeps errors of the connection, which are OSErrors too, apart from those of this machine's disk."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def _from_wire(blocks: Iterable[bytes], moved: Moved) -> Iterator[bytes]:
    try:
        for block in blocks:
            moved(len(block))
            yield block
    except Exception as cause:
        raise _WireError(cause) from cause
