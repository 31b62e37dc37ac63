"""Who may use which engine: an artefact's engines and their buffers, each held by one thread at a time."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from scaling_tasks.engines.contract import Engine
from scaling_tasks.runtime.buffers import PaddedBuffer

__all__ = ["Slot", "Slots"]

_LOG = logging.getLogger(__name__)


class Slot:
    """An artefact's engine with its buffers; everything in it belongs to whoever holds it.

    Args:
        freed: Told whenever the slot gets free; None where nobody waits for one of several.

    Attributes:
        engine: None where none is loaded.
        buffers: By bucket and input.
        memory: The engine's bytes, where they are counted.
        worth: How often it was used, and a start; the least is dropped first.
        uses: How often it was used.
        used: When it was used last.
    """

    def __init__(self, freed: threading.Condition | None) -> None:
        self._lock, self._freed = threading.Lock(), freed
        self.engine: Engine | None = None
        self.buffers: dict[tuple[int, str], PaddedBuffer] = {}
        self.memory = 0
        self.worth, self.uses, self.used = 0, 0, 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the slot, once whoever holds it now is done."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    @contextlib.contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """Hold the slot if nobody does; yield whether that is so."""
        if not self.try_hold():
            yield False
            return
        try:
            yield True
        finally:
            self.release()

    def hold(self) -> None:
        """Hold the slot, once whoever holds it now is done, until ``release``."""
        self._lock.acquire()

    def try_hold(self) -> bool:
        """Hold the slot if nobody does; return whether that is so."""
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        """Let the next one have the slot."""
        self._lock.release()
        if self._freed is not None:
            with self._freed:
                self._freed.notify()

    def drop(self) -> None:
        """Close the engine and forget the buffers; the holder's to call."""
        engine, self.engine = self.engine, None
        self.buffers.clear()
        self.memory = self.uses = 0
        if engine is not None:
            engine.close()

    def abandon(self) -> None:
        """Drop the engine for the sake of something else, which does not fail where closing does."""
        try:
            self.drop()
        except Exception:
            _LOG.warning("an engine could not be closed", exc_info=True)


class Slots:
    """The slots of one artefact."""

    def __init__(self, copies: int) -> None:
        self._freed = threading.Condition()
        self._slots = [Slot(self._freed if copies > 1 else None) for _ in range(copies)]

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def take(self) -> Slot:
        """Hold and return a slot: a loaded one, else an empty one, else the first that gets free."""
        if len(self._slots) == 1:
            (slot,) = self._slots
            slot.hold()
            return slot
        with self._freed:
            while True:
                for slot in sorted(self._slots, key=lambda slot: slot.engine is None):
                    if slot.try_hold():
                        return slot
                self._freed.wait()
