"""A remote store in whatever fsspec can write to: object storage of every provider, or a mounted directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from scaling_tasks.errors import CacheError, ConfigError, one_line
from scaling_tasks.names import Digest
from scaling_tasks.store.remote import Moved, RemoteError, WrongContentError, receive, shown_url

__all__ = ["FsspecRemote"]

_BLOCK = 1 << 18
_READ_AHEAD = 1 << 23
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


class FsspecRemote:
    """The store below an address that fsspec knows.

    Args:
        url: Such as ``s3://bucket/prefix``, ``gs://…`` or ``file:///directory``. Credentials and end points come from
            the library of that kind: environment variables, profiles, roles.

    Raises:
        ConfigError: fsspec does not know such addresses, or the package for them is not installed.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition("://")[0]
        try:
            import fsspec

            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as cause:
            package = _PACKAGES.get(scheme)
            fix = f"Install scaling-tasks[remote]{f' and {package}' if package else ''}."
            what = f"there is no package here for addresses that begin with {one_line(scheme, 40)}://"
            raise ConfigError(what, where=shown_url(url), fix=fix) from cause
        self._url = url.rstrip("/")
        self._local = scheme in ("file", "local")
        self._lock = threading.Lock()
        self._opened: tuple[int, Any, str] | None = None
        # Clients of object storage take a while to be made, which is not the store's fault: now, not with the first
        # request, whose time is counted.
        with contextlib.suppress(Exception):
            getattr(self._files()[0], "connect", lambda: None)()

    @property
    def url(self) -> str:
        """Its address."""
        return self._url

    def __reduce__(self) -> tuple[Any, ...]:
        return (FsspecRemote, (self._url,))

    def record(self, key: str) -> bytes | None:
        """Return the record under a key, None where there is none."""
        with _told():
            files, root = self._files()
            try:
                return bytes(files.cat_file(f"{root}/ac/{key}"))
            except FileNotFoundError:
                return None

    def put_record(self, key: str, content: bytes) -> None:
        """Have this record under the key."""
        self._write(f"ac/{key}", lambda files, path: files.pipe_file(path, content))

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which of the contents it does not have."""
        with _told():
            files, root = self._files()
            return {digest for digest in digests if not files.exists(f"{root}/cas/{digest}")}

    def fetch(self, digest: str, target: Path, below: Path, moved: Moved = lambda _: None) -> bool:
        """Have a content at ``target``; return False where there is none."""
        with _told():
            files, root = self._files()
            try:
                file = files.open(f"{root}/cas/{digest}", "rb", block_size=_READ_AHEAD)
            except FileNotFoundError:
                return False
            with file:
                receive(digest, iter(lambda: file.read(_BLOCK), b""), target, below, moved)
            return True

    def upload(self, digest: str, source: BinaryIO | bytes, moved: Moved = lambda _: None) -> None:
        """Have a content there."""

        def write(files: Any, path: str) -> None:
            if isinstance(source, bytes):
                files.pipe_file(path, source)
                moved(len(source))
                return
            with files.open(path, "wb", block_size=_READ_AHEAD) as copy:
                while block := source.read(_BLOCK):
                    copy.write(block)
                    moved(len(block))

        self._write(f"cas/{digest}", write)

    def _write(self, name: str, write: Callable[[Any, str], None]) -> None:
        """Write a file so that no other sees half of it; object storage sees to that by itself."""
        with _told(absent="there is no such place"):
            files, root = self._files()
            path = f"{root}/{name}"
            if not self._local:
                write(files, path)
                return
            temporary = f"{path}.{secrets.token_hex(4)}.tmp"
            try:
                write(files, temporary)
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)

    def _files(self) -> tuple[Any, str]:
        """Return the file system and the path of the store in it; a forked process needs one of its own."""
        import fsspec

        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                more = {"auto_mkdir": True} if self._local else {}
                files, root = fsspec.core.url_to_fs(self._url, **more)
                self._opened = (os.getpid(), files, root.rstrip("/"))
            return self._opened[1], self._opened[2]


@contextlib.contextmanager
def _told(absent: str = "") -> Iterator[None]:
    """Raise what the libraries raise, of which each has its own, as ``RemoteError``."""
    try:
        yield
    except (RemoteError, WrongContentError, CacheError):
        raise
    except PermissionError as cause:
        raise RemoteError("it refuses access", passing=False, reached=True) from cause
    except FileNotFoundError as cause:
        raise RemoteError(absent or "it lost what it has just told of", passing=False, reached=True) from cause
    except OSError as cause:
        raise RemoteError(
            cause.strerror or type(cause).__name__, passing=True, reached=cause.errno is not None
        ) from cause
    except Exception as cause:
        # botocore and aiohttp have no root in common with anything; their messages name the end point, no secret.
        raise RemoteError(_without_query(one_line(cause)), passing=True, reached=False) from cause


def _without_query(text: str) -> str:
    return " ".join(shown_url(word) if "://" in word else word for word in text.split(" "))
