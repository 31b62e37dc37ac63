"""A process's connection to a scheduler: made when first needed, never taken over a fork, made anew when lost."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scaling_tasks.errors import ExecutorError, one_line
from scaling_tasks.execution.farm.order import TOPIC, Answer, Blob, Order
from scaling_tasks.execution.farm.transport import WorkerFiles

__all__ = ["MOST_TRIES", "Connection", "Fault", "connection", "leaving", "running", "shown"]

MOST_TRIES = 7
_CONNECT_SECONDS = 10
_GATHER_SECONDS = 8.0
_UPLOADS = 4


class Fault(Exception):  # noqa: N818 - of the engine, not of the work
    """The engine lost the work, a worker or itself; elsewhere or later it may be done.

    Args:
        what: In words.
        tries: How often it may be tried again.
        broken: Whether the scheduler is not to be reached, so that all that is with it waits for the same.
    """

    def __init__(self, what: str, *, tries: int = MOST_TRIES, broken: bool = False) -> None:
        super().__init__(what)
        self.tries = tries
        self.broken = broken


_guard = threading.Lock()
_made: dict[tuple[int, str], Connection] = {}
_leaving = False


def connection(url: str) -> Connection:
    """Return this process's connection to a scheduler.

    Raises:
        ExecutorError: Nobody answers there, or Dask is not installed.
        Fault: Somebody did before.
    """
    with _guard:
        place = (os.getpid(), url)
        found = _made.get(place)
        if found is None or found.closed:
            _made[place] = found = Connection(url, again=found is not None)
            atexit.register(_leave)
        return found


def _leave() -> None:
    global _leaving
    _leaving = True
    for made in list(_made.values()):
        made.close()


def leaving() -> bool:
    """Return whether this process ends, so that what is lost is nobody's any more."""
    return _leaving


def shown(url: str) -> str:
    """Return a scheduler's address as it is written in settings."""
    return url.replace("tcp://", "dask://", 1)


def running() -> dict[str, str]:
    """Return which worker does which of this process's orders at this moment, by their names."""
    made = [each for (pid, _), each in list(_made.items()) if pid == os.getpid()]
    return {name: worker for each in made for name, worker in list(each.begun.values())}


class Connection:
    """A client of a scheduler, and what this process offers to its workers.

    Args:
        url: Where the scheduler listens.
        again: Whether there was a connection before, so that the address is known to be right.
    """

    def __init__(self, url: str, *, again: bool) -> None:
        self.url = url
        self.closed = False
        self._process = os.getpid()
        self.sender = secrets.token_hex(8)
        self.begun: dict[str, tuple[str, str]] = {}
        self._offers: dict[str, tuple[str, Mapping[Blob, Path]]] = {}
        self._uploads = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="uploads")
        self._asking = threading.Lock()
        self._answers: dict[str, dict[str, Answer | str]] = {}
        self.client = _client(url, again=again)
        self._since = time.monotonic()
        self.client.subscribe_topic(TOPIC, self._hear)

    @property
    def young(self) -> bool:
        """Whether workers may still be on their way that were started together with the scheduler."""
        return time.monotonic() - self._since < _GATHER_SECONDS

    def close(self) -> None:
        """Give the connection up; what waits for it ends, and whoever asks next gets another."""
        if self.closed or os.getpid() != self._process:
            return
        self.closed = True
        with contextlib.suppress(Exception):
            self.client.close(timeout=1)
        self._uploads.shutdown(wait=False, cancel_futures=True)

    def files(self, address: str) -> WorkerFiles:
        """Return the files of one worker."""
        return WorkerFiles(lambda function, *arguments: self.call(function, *arguments, address=address), self.sender)

    def call(self, function: Any, *arguments: Any, address: str) -> Any:
        """Call a function on a worker.

        Raises:
            Fault: It is gone, or what it does for this build failed.
        """
        try:
            return self.client.run(function, *arguments, workers=[address])[address]
        except Exception as cause:
            raise Fault(f"the worker at {address} does not answer ({_said(cause)})") from cause

    @contextlib.contextmanager
    def offered(self, order: Order, inputs: Path) -> Any:
        """Have workers given the inputs that they ask for, and noted who does the order, until the block ends."""
        self._offers[order.key] = (order.name, {blob: inputs / name for name, blob in order.inputs.items()})
        try:
            yield
        finally:
            self._offers.pop(order.key, None)
            self.begun.pop(order.key, None)

    def answers(self, order: Order) -> dict[str, Answer | str]:
        """Return what each worker has, by address; in place of an answer why there is none.

        Workers are asked once for tools that were asked for before.

        Raises:
            Fault: The scheduler does not answer.
        """
        from scaling_tasks.execution.farm import worker

        question = repr((order.tools, sorted((kind, sorted(each.items())) for kind, each in order.expected.items())))
        try:
            with self._asking:
                known = self._answers.setdefault(question, {})
                present = list(self.client.nthreads())
                if fresh := [address for address in present if address not in known]:
                    arguments = worker.answer, order.tools, order.parameters
                    found = self.client.run(*arguments, workers=fresh, on_error="return")
                    for address, told in found.items():
                        known[address] = told if isinstance(told, Answer) else f"{address}: {_said(told)}"
        except Exception as cause:
            raise Fault(f"the scheduler at {self.url} does not answer ({_said(cause)})", broken=True) from cause
        return {address: known[address] for address in present if address in known}

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take in what a worker tells; called in the client's own thread, which must not wait."""
        told = event[1]
        offer = self._offers.get(told["key"])
        if offer is None:
            return
        if told["what"] == "began":
            self.begun[told["key"]] = (offer[0], told["name"])
        elif told["what"] == "wants" and (told["anyone"] or told["sender"] == self.sender):
            wanted = [Blob(*each) for each in told["blobs"]]
            sources = {blob: offer[1][blob] for blob in wanted if blob in offer[1]}
            with contextlib.suppress(RuntimeError):  # It was closed meanwhile.
                self._uploads.submit(self._send, told["address"], sources)

    def _send(self, address: str, sources: Mapping[Blob, Path]) -> None:
        # Whoever wants them asks again.
        with contextlib.suppress(Fault, OSError):
            self.files(address).upload(sources)


def _client(url: str, *, again: bool) -> Any:
    try:
        from distributed import Client
    except ImportError as cause:
        fix = "Run `pip install scaling-tasks[dask]`."
        raise ExecutorError("Dask is not installed", where=f"executor {shown(url)}", fix=fix) from cause
    # What matters of it is said in this package's own words.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        host, _, port = url.partition("://")[2].rpartition(":")
        # First, because a client that was not answered takes long to let go of; and nobody is found at once.
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        asyncio.run(_greet(url))
        return Client(url, timeout=_CONNECT_SECONDS, set_as_default=False, name="scaling-tasks")
    except (OSError, ValueError, TimeoutError) as cause:
        if again:
            raise Fault(f"no scheduler answers at {shown(url)}", broken=True) from cause
        raise ExecutorError(
            f"no scheduler answers there ({_said(cause)})",
            where=f"executor {shown(url)}",
            fix="Start one with `dask scheduler`, or build with `executor=local`.",
        ) from cause


async def _greet(url: str) -> None:
    """Speak with the scheduler once, with the certificates of Dask's configuration where it wants some.

    Raises:
        OSError: It does not answer, or not to this.
        ValueError: There are no certificates.
    """
    from distributed.comm import connect
    from distributed.security import Security

    try:
        comm = await connect(url, timeout=_CONNECT_SECONDS, **Security().get_connection_args("client"))
        await comm.close()
    except (RuntimeError, TypeError) as cause:
        raise ValueError(one_line(cause)) from cause


def _said(cause: object) -> str:
    return one_line(cause) or type(cause).__name__
