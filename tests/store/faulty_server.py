"""An HTTP store that fails as it is told to: only for what a real server cannot be made to do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer(ThreadingHTTPServer):
    """Keeps what is put, by path.

    Attributes:
        content: What there is.
        requests: ``METHOD PATH`` each.
        statuses: Answered instead, one request each, until there are none left.
        cut: Bytes after which contents are cut off, though their length was told.
        delay: Seconds before each answer.
        trickle: Seconds between the bytes of a content, None for all at once.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.statuses: list[int] = []
        self.cut: int | None = None
        self.delay = 0.0
        self.trickle: float | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, method: str) -> int:
        return sum(each.startswith(method) for each in self.requests)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients leave when they have had enough."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def _begin(self) -> bool:
        self.server.requests.append(f"{self.command} {self.path}")
        time.sleep(self.server.delay)
        if self.server.statuses:
            self._answer(self.server.statuses.pop(0), b"")
            return False
        return True

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.trickle is not None:
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(self.server.trickle)
            return
        self.wfile.write(content[: self.server.cut])
        if self.server.cut is not None:
            self.close_connection = True

    def do_GET(self) -> None:
        if self._begin():
            found = self.server.content.get(self.path)
            self._answer(404 if found is None else 200, found or b"")

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self._begin():
            self.server.content[self.path] = content
            self._answer(201, b"")

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    server = FaultyServer()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
