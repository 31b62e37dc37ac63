"""The text of the status line: how far a run is."""

from __future__ import annotations

import time

from scaling_tasks.doit_plugin.console.remaining_time import RemainingTime
from scaling_tasks.doit_plugin.console.run_outcomes import RunOutcomes
from scaling_tasks.doit_plugin.console.transfers import transfers_under_way

__all__ = ["Progress"]

_WIDTH = 16
_NAMED = 3


class Progress:
    """Says how many tasks are done, which are running, what the store gave, and how long it may take."""

    def __init__(self, run: RunOutcomes) -> None:
        self._run = run
        self._remaining = RemainingTime()

    def text(self) -> str:
        """Return the status of this moment."""
        run = self._run
        done, known, _ = run.progress()
        filled = _WIDTH * done // max(1, known)
        parts = [f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {self.count()}"]
        left = self._remaining.seconds(run)
        elapsed = _clock(time.monotonic() - run.begun)
        parts.append(elapsed if left is None else f"{elapsed}, about {_clock(left)} left")
        restored = sum(outcome == "restored" for outcome in list(run.outcomes.values()))
        parts += [f"{restored} from the store"] if restored else []
        parts += [moving] if (moving := transfers_under_way()) else []
        running = list(run.started)
        if running:
            # Last, because a narrow terminal cuts the end off.
            others = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
            parts.append(", ".join(running[:_NAMED]) + others)
        return "  ".join(parts)

    def count(self) -> str:
        """Return ``done/all`` for a plain line."""
        done, known, more = self._run.progress()
        return f"{done}/{known}{'+' if more else ''}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
