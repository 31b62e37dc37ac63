"""Threads that a process does not wait for when it ends: one that asks a dead server may take a minute to notice."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Background"]

_T = TypeVar("_T")


class Background:
    """Up to so many threads, started as they are needed; a forked process gets its own.

    Args:
        threads: How many.
        name: What they are called.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads, self._name = threads, name
        self._lock = threading.Lock()
        self._begin()

    def submit(self, call: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Have a function called; return its future."""
        future: Future[_T] = Future()
        with self._lock:
            if self._pid != os.getpid():
                self._begin()
            self._queue.put((future, call, arguments))
            self._waiting += 1
            if self._waiting > self._idle and self._started < self._threads:
                self._started += 1
                threading.Thread(target=self._work, args=(self._queue,), name=self._name, daemon=True).start()
        return future

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._queue: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        self._waiting = self._idle = self._started = 0

    def _work(self, queue: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]]) -> None:
        while True:
            with self._lock:
                self._idle += 1
            future, call, arguments = queue.get()
            with self._lock:
                self._idle -= 1
                self._waiting -= 1
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call(*arguments))
            except BaseException as error:
                future.set_exception(error)
            del future, call, arguments
