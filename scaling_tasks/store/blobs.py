"""Files by the digest of their content: each content once."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from scaling_tasks.errors import CacheError, of_disk
from scaling_tasks.files import copy_digest, digest_file, open_regular, publish, remove_whole
from scaling_tasks.names import Digest
from scaling_tasks.names import digest as digest_of
from scaling_tasks.paths import entries

__all__ = ["BlobDirectory", "LostContentError", "place_copy"]

_MOST_RIGHTS = 0o644  # Less where the user's umask says so: nobody else may change what many builds take.


# What this process has verified, and when that was so: weights that many results have in common are read once.
_verified: dict[Path, tuple[int, ...]] = {}


def _state(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    return (status.st_ino, status.st_size, status.st_mtime_ns)


class LostContentError(CacheError):
    """A content that was there is there no more."""


class BlobDirectory:
    """The blobs of a store or a worker.

    Nothing here trusts a blob before ``verify`` has compared its content with its name: something else may still have
    had the work file open that became the blob, and disks fail.

    Args:
        home: The directory of the store. Others may write it: no link leads from it to a blob.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._root = home / "blobs"

    def path(self, digest: Digest) -> Path:
        """Return where the blob with this digest lies or would lie."""
        return self._root / digest[:2] / digest

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading.

        Raises:
            OSError: There is none, or a link is on the way.
        """
        return open_regular(self.path(digest), below=self._home)

    def add(self, source: Path) -> Digest:
        """Store the content of ``source`` and return its digest."""
        digest = digest_file(source)
        target = self.path(digest)
        if self.verify(digest, source.stat().st_size) and self.renew(digest):
            return digest
        with publish(target, below=self._home, durable=True, derived=True) as temporary:
            if copy_digest(source, temporary) != digest:
                raise CacheError("it changed while it was stored", where=str(source), fix="Build again.")
            temporary.chmod(temporary.stat().st_mode & _MOST_RIGHTS)
        return digest

    def renew(self, digest: Digest) -> bool:
        """Tell concurrent sweeps, by the change time, that the blob is in use; return whether it is still there."""
        try:
            with self.open(digest) as file:
                os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & _MOST_RIGHTS)
        except FileNotFoundError:
            return False
        except OSError:  # Nobody sweeps what cannot be written.
            pass
        return True

    def has(self, digest: Digest, size: int) -> bool:
        """Return whether there is a blob of that size, without reading it."""
        try:
            return self.path(digest).lstat().st_size == size
        except OSError:
            return False

    def verify(self, digest: Digest, size: int) -> bool:
        """Return whether the blob exists, has so many bytes, and is what its name says; remove it when it is not."""
        path = self.path(digest)
        try:
            state = _state(path)
            if _verified.get(path) == state:
                return True
            if path.lstat().st_size != size:
                return False  # Who says of how many bytes it is may be wrong as well.
            if digest_file(path, below=self._home) == digest:
                _verified[path] = state
                return True
        except OSError:
            return False
        with contextlib.suppress(OSError):  # On a read-only disk it stays, and stays refused.
            remove_whole(path, below=self._home)
        return False

    def remove(self, digest: Digest) -> None:
        """Remove a blob, whoever may still want it."""
        remove_whole(self.path(digest), below=self._home)

    def sizes(self) -> Iterator[tuple[Digest, int]]:
        """Yield digest and size in bytes of every blob."""
        for path in self._paths():
            try:
                found = digest_of(path.name), path.lstat().st_size
            except (FileNotFoundError, ValueError):  # Gone, or half written.
                continue
            yield found

    def sweep(self, keep: Collection[str], grace: float) -> int:
        """Remove blobs outside ``keep`` that nothing has touched for ``grace`` seconds; return the bytes freed.

        The grace protects blobs that another process has stored and whose record it is about to write. Half-written
        files of processes that died go the same way.
        """
        freed = 0
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if path.name not in keep and time.time() - status.st_ctime >= grace:
                    remove_whole(path, below=self._home)
                    freed += status.st_size
        return freed

    def _paths(self) -> Iterator[Path]:
        for shard in entries(self._root, self._home):
            yield from entries(shard, self._home)


def place_copy(source: Path, target: Path, digest: Digest, size: int, *, below: Path) -> None:
    """Have at ``target`` the content with this digest and size, copied from ``source`` unless it is there already.

    ``below`` is what the target lies below, see ``files.publish``.

    A hard link would be cheaper, but then an edit or a truncation of the output would destroy the store's copy, which
    is what an output is mended from. Shared extents or a copy do not have that flaw.

    Raises:
        LostContentError: The source is not there or not what it should be.
        CacheError: The target cannot be written.
    """
    if _holds(target, digest, size, below):
        return
    try:
        with publish(target, below=below, derived=True) as temporary:
            if copy_digest(source, temporary) != digest:
                raise LostContentError("it is not what was made", where=str(source), fix="Build again.")
            temporary.chmod(temporary.stat().st_mode & _MOST_RIGHTS)
    except FileNotFoundError as cause:
        if source.exists():  # Its own directory cannot be made.
            raise of_disk(cause, CacheError, where=target, what="cannot be written") from cause
        what = f"the content of {target.name!r} was lost"
        raise LostContentError(what, where=str(source), fix="Build again.") from cause
    except OSError as cause:
        raise of_disk(cause, CacheError, where=target, what="cannot be written") from cause


def _holds(path: Path, digest: Digest, size: int, below: Path) -> bool:
    try:
        return digest_file(path, below=below, most=size) == digest
    except OSError:
        return False
