"""How long a build waits for a remote store that is slow or gone: so many seconds, all in all."""

from __future__ import annotations

import threading

__all__ = ["Patience"]

# What a store that is well takes: so long for an answer, and so much in a second once it answers.
_ANSWER_SECONDS, _ANSWERS, _BYTES = 0.25, 100, 1_000_000


class Patience:
    """Adds up the time that was waited for more than a store that is well would have taken.

    Of waits at the same time each moment counts once. A build with a store that is well loses nothing, however much it
    fetches.

    Args:
        seconds: What may be lost.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._left = seconds
        self._counted_until = -float("inf")

    @property
    def left(self) -> float:
        """Seconds that may still be lost."""
        return max(0.0, self._left)

    def late(self, waited: float, answers: int, size: int) -> float:
        """Return by how many seconds a wait is longer than it would be for a store that is well.

        Args:
            waited: Seconds.
            answers: How many have come meanwhile.
            size: Bytes that have come or gone meanwhile.
        """
        return waited - _ANSWER_SECONDS - answers / _ANSWERS - size / _BYTES

    def lose(self, seconds: float, now: float) -> None:
        """Note that so much was lost until now, by a clock that only goes forward."""
        with self._lock:
            counted = now - max(now - seconds, self._counted_until)
            self._counted_until = max(self._counted_until, now)
            self._left -= max(0.0, counted)
