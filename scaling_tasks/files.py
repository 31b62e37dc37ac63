"""Publishing files whole or not at all, reading what is a file, removing, and digesting.

What is written or removed lies below a directory that the caller names, and no link leads out of that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scaling_tasks.names import Digest
from scaling_tasks.paths import directory_of

__all__ = [
    "append",
    "copy_digest",
    "digest_bytes",
    "digest_file",
    "files_below",
    "link_or_copy",
    "open_own",
    "open_regular",
    "publish",
    "put_aside",
    "read_regular",
    "reflink",
    "remove_whole",
    "write_if_changed",
]

_LOG = logging.getLogger(__name__)

_BLOCK = 1 << 20
_FICLONE = 0x40049409  # ioctl: share the extents of another file, copy on write (btrfs, xfs)


@contextlib.contextmanager
def publish(path: Path, *, below: Path, durable: bool = False, derived: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is renamed onto it when the block succeeds.

    The temporary file lies in the same directory so that the rename is atomic; it is removed when the block raises.

    Args:
        path: What to publish; directories that lead there are made.
        below: What it lies below, see ``directory_of``.
        durable: Whether the content must be on the disk before the name is: for what a later name relies on.
        derived: Whether it is this tool's to make, so that a directory in its place is put aside, see ``put_aside``.

    Raises:
        OSError: A link is on the way, or the disk is full or not to be written.
    """
    with directory_of(path, below, make=True) as (directory, name):
        temporary = f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        place = _way(directory, path.parent) / temporary
        try:
            yield place
            if durable:
                _flush(place)
            try:
                os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except IsADirectoryError:
                if not derived:
                    raise
                put_aside(path, below=below)
                os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as cause:
            if str(cause.filename).endswith(temporary):  # A name that nobody knows the file by.
                cause.filename = str(path)
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)


def put_aside(path: Path, *, below: Path) -> None:
    """Rename a directory or a pipe that stands in the place of a file which this tool makes, and say so.

    It is nobody's that this tool knows, so it is neither read nor removed.

    Raises:
        OSError: It cannot be renamed, or a link is on the way.
    """
    with directory_of(path, below) as (directory, name):
        aside = f"{name}.aside-{os.urandom(4).hex()}"
        os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
    shown = str(path).removeprefix(f"{Path.cwd()}/")
    _LOG.warning("warning: %s: what stood there is no file; it is called %s now", shown, aside)


def _way(directory: int, otherwise: Path) -> Path:
    """Return a path that leads to an open directory, whatever name that has meanwhile."""
    place = Path(f"/proc/self/fd/{directory}")
    return place if place.exists() else otherwise


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_if_changed(path: Path, content: bytes, *, below: Path, durable: bool = False, derived: bool = False) -> bool:
    """Publish ``content`` at ``path`` unless it is there already; return whether it was written.

    Leaving an unchanged file alone keeps its modification time, so that nothing downstream looks changed.
    """
    try:
        if read_regular(path, len(content), below=below) == content:
            return False
    except OSError:
        pass  # absent, longer, or no file at all: it is replaced
    with publish(path, below=below, durable=durable, derived=derived) as temporary:
        temporary.write_bytes(content)
    return True


def open_regular(path: Path, *, below: Path | None = None) -> BinaryIO:
    """Open a regular file for reading; anything else could block or have no end.

    Args:
        path: The file.
        below: What it lies below, see ``directory_of``; without it links are followed, as befits a user's own data.

    Raises:
        OSError: There is none that can be read.
    """
    return os.fdopen(_opened(path, below)[0], "rb")


def _opened(path: Path | str, below: Path | None) -> tuple[int, int]:
    """Return a descriptor of a regular file, see ``open_regular``, and how many bytes it has."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    if below is None:
        descriptor = os.open(path, flags)
    else:
        with directory_of(Path(path), below) as (directory, name):
            descriptor = os.open(name, flags | os.O_NOFOLLOW, dir_fd=directory)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory", str(path))
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor, status.st_size


def read_regular(path: Path | str, most: int, *, below: Path | None = None) -> bytes:
    """Return the content of a regular file of at most so many bytes, see ``open_regular``.

    Raises:
        OSError: There is none, or it is larger.
    """
    descriptor, size = _opened(path, below)
    try:
        content = b""
        while size <= most and (more := os.read(descriptor, size + 1 - len(content))):
            content += more
    finally:
        os.close(descriptor)
    if max(size, len(content)) > most:
        raise _too_large(path, most)
    return content


def _too_large(path: Path | str, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))


def append(path: Path, content: bytes, *, below: Path) -> None:
    """Append to a file of this tool's; a single write, so that concurrent processes do not mix their lines.

    Args:
        path: The file, made where it is not there; its directory is.
        content: Whole lines.
        below: What it lies below, see ``directory_of``.

    Raises:
        OSError: It cannot be written, or is a link.
    """
    descriptor = open_own(path, os.O_WRONLY, 0o644, below=below, make=False)
    try:
        while content:  # Once, unless the disk is full, which the second time tells.
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def open_own(path: Path, access: int, rights: int, *, below: Path, make: bool) -> int:
    """Open a file of this tool's for appending; a directory or a pipe in its place is put aside, see ``put_aside``.

    Args:
        path: The file, made where it is not there.
        access: ``os.O_WRONLY`` or ``os.O_RDWR``.
        rights: Of a new one.
        below: What it lies below, see ``directory_of``.
        make: Whether directories that lead there are made.

    Returns:
        Its descriptor.

    Raises:
        OSError: It cannot be made, or is a link: what that leads to would be written.
    """
    flags = access | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    with directory_of(path, below, make=make) as (directory, name):
        try:
            descriptor = os.open(name, flags, rights, dir_fd=directory)
        except OSError as cause:
            if cause.errno not in (errno.EISDIR, errno.ENXIO):
                raise
        else:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
        put_aside(path, below=below)
        return os.open(name, flags, rights, dir_fd=directory)


def remove_whole(path: Path, below: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it, as far as it is there.

    Args:
        path: What to remove.
        below: What it lies below, see ``directory_of``.

    Raises:
        OSError: A link is on the way, or it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError), directory_of(path, below) as (directory, name):
        if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
            shutil.rmtree(_way(directory, path.parent) / name, ignore_errors=True)
        else:
            os.unlink(name, dir_fd=directory)


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


def files_below(directory: Path) -> list[Path]:
    """Return all files below a directory, sorted, as the images of a data set are found.

    Names beginning with a dot are left out. Links are followed; a directory that several ways lead to is listed once.

    Raises:
        OSError: A directory cannot be listed.
    """
    found: list[Path] = []
    pending, seen = [directory], set()
    while pending:
        place = pending.pop()
        status = place.stat()
        if (here := (status.st_dev, status.st_ino)) in seen:
            continue
        seen.add(here)
        inside = sorted(path for path in place.iterdir() if not path.name.startswith("."))
        found += [path for path in inside if path.is_file()]
        pending += [path for path in reversed(inside) if path.is_dir()]
    return sorted(found)


def digest_bytes(content: bytes) -> Digest:
    """Return the SHA-256 of ``content`` in hexadecimal."""
    return Digest(hashlib.sha256(content).hexdigest())


def digest_file(path: Path, *, below: Path | None = None, most: int | None = None) -> Digest:
    """Return the SHA-256 of a file in hexadecimal, read in blocks of 1 MiB; see ``open_regular``.

    Args:
        path: The file.
        below: What it lies below.
        most: Bytes it may have: a file that somebody made endless takes for ever.

    Raises:
        OSError: There is none that can be read, or it is larger.
    """
    digest = hashlib.sha256()
    with open_regular(path, below=below) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise _too_large(path, most)
        while block := file.read(_BLOCK):
            digest.update(block)
    return Digest(digest.hexdigest())


def copy_digest(source: Path, target: Path) -> Digest:
    """Copy a file and return the SHA-256 of what was copied, whatever becomes of the source meanwhile."""
    if reflink(source, target):
        return digest_file(target)
    digest = hashlib.sha256()
    with open_regular(source) as origin, target.open("xb") as copy:
        while block := origin.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    return Digest(digest.hexdigest())


def reflink(source: Path, target: Path) -> bool:
    """Make the new file ``target`` share the extents of ``source``, copied on write; return whether it could."""
    try:
        with open_regular(source) as origin, target.open("xb") as copy:
            fcntl.ioctl(copy.fileno(), _FICLONE, origin.fileno())
    except FileNotFoundError:
        raise
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True
