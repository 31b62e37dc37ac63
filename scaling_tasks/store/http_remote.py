"""A remote store over HTTP, as Bazel-compatible caches, nginx and others serve it.

``requests`` because its own means give credentials (netrc), proxies and certificates the way people expect, and
because its pool keeps connections open.
"""

from __future__ import annotations

import contextlib
import io
import os
import ssl
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from scaling_tasks.errors import ConfigError, one_line
from scaling_tasks.names import Digest
from scaling_tasks.store.remote import MOST_RECORD_BYTES, Moved, RemoteError, receive, shown_url

if TYPE_CHECKING:
    import requests

__all__ = ["HttpRemote"]

_BLOCK = 1 << 18
_FEW_BLOCKS = 4
# Whoever waits gives up much earlier; this only ends the thread that asked.
_CONNECT_SECONDS, _SILENCE_SECONDS = 3.0, 30.0
_ABSENT = (404, 410)
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class HttpRemote:
    """The store below an address: ``GET``, ``HEAD`` and ``PUT`` of ``ac/<key>`` and ``cas/<digest>``.

    Args:
        url: ``http://`` or ``https://``. Credentials come from ``~/.netrc``, or the file that ``NETRC`` names.

    Raises:
        ConfigError: ``requests`` is not installed, or the address has no host.
    """

    def __init__(self, url: str) -> None:
        try:
            import requests  # noqa: F401 - whether it is there
        except ImportError as cause:
            fix = "Install scaling-tasks[remote]."
            raise ConfigError("a store over HTTP needs the package requests", where=shown_url(url), fix=fix) from cause
        if not urlsplit(url).hostname:
            raise ConfigError("the address has no host", where=shown_url(url), fix="Write it like https://host/path.")
        self._url = url.rstrip("/")
        self._sessions = threading.local()

    @property
    def url(self) -> str:
        """Its address."""
        return self._url

    def __reduce__(self) -> tuple[Any, ...]:
        return (HttpRemote, (self._url,))

    def record(self, key: str) -> bytes | None:
        """Return the record under a key, None where there is none."""
        with self._answer("GET", f"ac/{key}") as answer:
            if answer is None:
                return None
            content = bytearray()
            for block in answer.iter_content(_BLOCK):
                content += block
                if len(content) > MOST_RECORD_BYTES:
                    raise RemoteError("it sent a record without end", passing=False, reached=True)
            return bytes(content)

    def put_record(self, key: str, content: bytes) -> None:
        """Have this record under the key."""
        self._put(f"ac/{key}", io.BytesIO(content), len(content), lambda _: None)

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which of the contents it does not have."""
        return {digest for digest in digests if not self._has(digest)}

    def fetch(self, digest: str, target: Path, below: Path, moved: Moved = lambda _: None) -> bool:
        """Have a content at ``target``; return False where there is none."""
        with self._answer("GET", f"cas/{digest}") as answer:
            if answer is None:
                return False
            receive(digest, answer.iter_content(_BLOCK), target, below, moved)
            return True

    def upload(self, digest: str, source: BinaryIO | bytes, moved: Moved = lambda _: None) -> None:
        """Have a content there."""
        if isinstance(source, bytes):
            self._put(f"cas/{digest}", io.BytesIO(source), len(source), moved)
        else:
            self._put(f"cas/{digest}", source, os.fstat(source.fileno()).st_size, moved)

    def _has(self, digest: str) -> bool:
        with self._answer("HEAD", f"cas/{digest}") as answer:
            return answer is not None

    def _put(self, path: str, file: IO[bytes], size: int, moved: Moved) -> None:
        # The length up front: servers refuse bodies that do not say how long they are.
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        body = _Body(file, moved) if size else b""
        with self._answer("PUT", path, data=body, headers=headers) as answer:
            if answer is None:
                raise RemoteError("it has no place for it (404)", passing=False, reached=True)

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, **more: Any) -> Iterator[requests.Response | None]:
        """Ask; give the answer, None where there is no such thing.

        Raises:
            RemoteError: There was no answer, another one, or it was cut short.
        """
        import requests
        from urllib3.exceptions import HTTPError

        timeout = (_CONNECT_SECONDS, _SILENCE_SECONDS)
        try:
            with self._asked(method, f"{self._url}/{path}", stream=True, timeout=timeout, **more) as answer:
                if answer.status_code in _ABSENT:
                    yield None
                elif answer.ok:
                    yield answer
                _drain(answer)
                if not answer.ok and answer.status_code not in _ABSENT:
                    said = f"it answers {method} with {answer.status_code} {answer.reason or ''}".rstrip()
                    raise RemoteError(said, passing=answer.status_code in _PASSING, reached=True)
        except (requests.RequestException, HTTPError) as cause:
            raise RemoteError(_reason(cause), passing=True, reached=False) from None

    def _asked(self, *request: Any, **more: Any) -> requests.Response:
        import requests

        try:
            return self._session().request(*request, **more)
        except requests.RequestException:
            raise
        except OSError as cause:
            # Of files that its settings name, such as certificates.
            raise RemoteError(one_line(cause), passing=False, reached=False) from None

    def _session(self) -> requests.Session:
        """Return this thread's session: its connections stay open from one request to the next."""
        import requests

        if not hasattr(self._sessions, "session"):
            self._sessions.session = requests.Session()
            # Which all else in Python that speaks TLS reads; of its own variables requests takes care itself.
            if named := os.environ.get("SSL_CERT_FILE"):
                self._sessions.session.verify = named
        found: requests.Session = self._sessions.session
        return found


def _drain(answer: requests.Response) -> None:
    """Read what is left of an answer, as far as that is little: a connection with something on it is not used again."""
    for _ in zip(range(_FEW_BLOCKS), answer.iter_content(_BLOCK) if not answer.raw.closed else (), strict=False):
        pass


class _Body:
    """A body that tells how much of it has been sent."""

    def __init__(self, file: IO[bytes], moved: Moved) -> None:
        self._file, self._moved = file, moved

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(min(size, _BLOCK) if size > 0 else _BLOCK)
        self._moved(len(block))
        return block


def _reason(error: BaseException) -> str:
    """Return why there was no answer, in the system's words: the library's own text holds the address."""
    seen: BaseException | None = error
    found = ""
    for _ in range(10):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {seen.verify_message}"
        if isinstance(seen, OSError) and seen.strerror:
            found = seen.strerror
        inner = [getattr(seen, "reason", None), *getattr(seen, "args", ()), getattr(seen, "__context__", None)]
        seen = next((each for each in inner if isinstance(each, BaseException)), None)
        if seen is None:
            break
    name = type(error).__name__
    return found or {"ConnectTimeout": "it does not answer", "ReadTimeout": "it fell silent"}.get(name, name)
