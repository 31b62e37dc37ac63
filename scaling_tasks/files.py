"""Publishing files whole or not at all, digesting them, and names that cannot leave their directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

__all__ = [
    "append_line",
    "copy_digest",
    "digest_bytes",
    "digest_file",
    "is_below",
    "is_inner_name",
    "is_plain_name",
    "link_or_copy",
    "open_regular",
    "publish",
    "read_regular",
    "reflink",
    "remove_whole",
    "write_if_changed",
]

_BLOCK = 1 << 20
_LONGEST_NAME = 128
_FICLONE = 0x40049409  # ioctl: share the extents of another file, copy on write (btrfs, xfs)


@contextlib.contextmanager
def publish(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is renamed onto it when the block succeeds.

    The temporary file lives in the same directory so that the rename is atomic; it is removed when the block raises.

    Args:
        path: What to publish.
        durable: Whether the content must be on the disk before the name is: for what a later name relies on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
    except OSError as cause:
        if cause.filename is None:  # What is written to is not named by what a full disk says.
            cause.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def is_plain_name(name: str, most: int = _LONGEST_NAME) -> bool:
    """Return whether ``name`` is one visible component of a path, so that no directory is left or entered by it.

    It is no pattern either, and has room for endings: it has at most so many bytes.
    """
    if name[:1] in ("", ".") or not name.isprintable() or {*"\\*?[]"} & set(name):
        return False
    return PurePosixPath(name).name == name and len(name.encode("utf-8", "replace")) <= most


def is_inner_name(name: str) -> bool:
    """Return whether ``name`` is a relative path in its only spelling that stays below where it starts."""
    return is_below(name) and str(PurePosixPath(name)) == name


def is_below(name: str) -> bool:
    """Return whether a path leads only downwards; what lies there may still be a link to elsewhere.

    Caches of models keep every file as a link to a store of contents.
    """
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def write_if_changed(path: Path, content: bytes, *, durable: bool = False) -> bool:
    """Publish ``content`` at ``path`` unless it is there already; return whether it was written.

    Leaving an unchanged file alone keeps its modification time, so that nothing downstream looks changed.
    """
    try:
        if read_regular(path, len(content)) == content:
            return False
    except OSError:
        pass  # absent, longer, or no file at all: it is replaced
    with publish(path, durable=durable) as temporary:
        temporary.write_bytes(content)
    return True


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, links followed; anything else could block or have no end.

    Raises:
        OSError: There is none that can be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory", str(path))
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises:
        OSError: There is none, or it is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    return content


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, made where absent; a single write, so that concurrent processes do not mix their lines.

    Raises:
        OSError: It cannot be written, or is a pipe that nobody reads.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def remove_whole(path: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it, as far as it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def copy_digest(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256 of what was copied, whatever becomes of the source meanwhile."""
    if reflink(source, target):
        return digest_file(target)
    digest = hashlib.sha256()
    with source.open("rb") as origin, target.open("xb") as copy:
        while block := origin.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def reflink(source: Path, target: Path) -> bool:
    """Make the new file ``target`` share the extents of ``source``, copied on write; return whether it could."""
    try:
        with source.open("rb") as origin, target.open("xb") as copy:
            fcntl.ioctl(copy.fileno(), _FICLONE, origin.fileno())
    except FileNotFoundError:
        raise
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True
