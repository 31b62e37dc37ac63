"""Publishing files whole or not at all, and digesting them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["digest_bytes", "digest_file", "link_or_copy", "publish", "write_if_changed"]


@contextlib.contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is renamed onto it when the block succeeds.

    The temporary file lives in the same directory so that the rename is atomic; it is removed when the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_if_changed(path: Path, content: bytes) -> bool:
    """Publish ``content`` at ``path`` unless it is there already; return whether it was written.

    Leaving an unchanged file alone keeps its modification time, so that nothing downstream looks changed.
    """
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    with publish(path) as temporary:
        temporary.write_bytes(content)
    return True


def link_or_copy(source: Path, target: Path) -> None:
    """Give the new file ``target`` the content of ``source``, without copying where the file system can link.

    Raises:
        FileNotFoundError: There is no such source, or no such directory.
        FileExistsError: The target exists.
    """
    try:
        os.link(source, target)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:
        shutil.copyfile(source, target)


def digest_bytes(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of the file at ``path`` in hexadecimal, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
