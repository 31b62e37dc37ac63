"""How long a build waits for a remote store that is slow or gone: so many seconds, all in all."""

from __future__ import annotations

import threading

__all__ = ["Patience"]

# A store that is well answers within this many seconds, so many times in one when it is asked for many things at once,
# and moves so many bytes in one.
_SOON, _ANSWERS, _BYTES = 0.25, 100, 1_000_000


class Patience:
    """Adds up the time that was waited in vain.

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

    def lost(self, waited: float, answers: int, size: int) -> float:
        """Return how many seconds of a wait are lost, 0 where a store that is well takes as long.

        Args:
            waited: Seconds.
            answers: How many have come meanwhile.
            size: Bytes that have come or gone meanwhile.
        """
        lost = waited - answers / _ANSWERS - size / _BYTES
        return lost if lost > _SOON else 0.0

    def lose(self, seconds: float, now: float) -> None:
        """Note that so much was lost until now, by a clock that only goes forward."""
        with self._lock:
            counted = now - max(now - seconds, self._counted_until)
            self._counted_until = max(self._counted_until, now)
            self._left -= max(0.0, counted)
