"""What a build has to do with its remote store: attempts, how long it waits, and when it goes on without."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from scaling_tasks.store.notices import tell
from scaling_tasks.store.patience import Patience
from scaling_tasks.store.remote import Remote, RemoteError, shown_url

__all__ = ["Connection"]

_PAUSES = (0.1, 0.3)
_STEP_SECONDS = 0.1
# What is left may be too little to change a sum of seconds.
_NOTHING_SECONDS = 0.001
_T = TypeVar("_T")


class Connection:
    """A remote store as long as it is of use; whoever uses it asks ``reading`` or ``writing`` first.

    Args:
        remote: The store.
        patience: How many seconds it may cost, all in all.

    Attributes:
        remote: The store.
        reading: Whether anything is still asked of it.
        writing: Whether anything is still sent to it.
        attempts: Requests so far, those that failed among them.
        answers: Requests that were answered.
        fetched: Bytes of content that came.
        sent: Bytes of content that went.
    """

    def __init__(self, remote: Remote, patience: float) -> None:
        self.remote = remote
        self.reading = self.writing = True
        self.attempts = self.answers = self.fetched = self.sent = 0
        self._patience = Patience(patience)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Its address without credentials."""
        return shown_url(self.remote.url)

    def ask(self, call: Callable[[], _T]) -> _T:
        """Return what a request gives; make it again, after a pause, where that may help.

        Raises:
            RemoteError: It never succeeded.
        """
        for pause in (*_PAUSES, None):
            with self._lock:
                self.attempts += 1
            try:
                found = call()
            except RemoteError as error:
                if pause is None or not error.passing or not self.reading:
                    raise
                time.sleep(pause * random.uniform(1, 1.5))
            else:
                with self._lock:
                    self.answers += 1
                return found
        raise AssertionError

    def moved_in(self, size: int) -> None:
        """Count what came."""
        with self._lock:
            self.fetched += size

    def moved_out(self, size: int) -> None:
        """Count what went."""
        with self._lock:
            self.sent += size

    def wait(self, futures: Collection[Future[Any]], *, writing: bool = False) -> None:
        """Wait until all are done, but no longer than this store may cost; then go on without it.

        Args:
            futures: Requests under way.
            writing: Whether they send something; what is fetched may then still go on.
        """
        answers, size, waited = self.answers, self.fetched + self.sent, 0.0

        def lost() -> float:
            return self._patience.lost(waited, self.answers - answers, self.fetched + self.sent - size)

        pending: Collection[Future[Any]] = futures
        while pending:
            left = self._patience.left - lost()
            if left < _NOTHING_SECONDS:
                self.give_up(RemoteError("it is too slow", passing=True, reached=False), writing=writing)
                for future in pending:
                    future.cancel()
                break
            step, begun = min(_STEP_SECONDS, left), time.monotonic()
            pending = wait(pending, timeout=step).not_done
            # Where a step takes longer, this process did not get to run: that is not the store's fault.
            waited += min(step, time.monotonic() - begun)
        self._patience.lose(lost(), time.monotonic())

    def give_up(self, error: RemoteError, *, writing: bool) -> None:
        """Go on without the store, or without sending to it where it answers but takes nothing; say so once."""
        with self._lock:
            everything = not (writing and error.reached)
            known = not self.reading or (not everything and not self.writing)
            self.writing = False
            self.reading = self.reading and not everything
        if known:
            return
        if everything:
            tell(f"warning: the store {self.name} is left out of this build: {error}")
        else:
            tell(f"warning: nothing more of this build is sent to the store {self.name}: {error}")
