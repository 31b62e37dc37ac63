"""The store's journal: one line per event, appended by any number of processes, summed up on demand."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scaling_tasks.documents import MOST_BYTES, canonical_json
from scaling_tasks.files import append, open_regular

__all__ = ["Journal", "StoreActivity"]


@dataclass(frozen=True)
class StoreActivity:
    """What happened in a store over a time.

    Attributes:
        hits: Look-ups that found a usable record.
        misses: Look-ups that did not.
        stored: Records written.
        corrupt: Records dropped because their content was not what they said.
        evicted: Records removed for their age or to save space.
        bytes_restored: Bytes of the records found.
        bytes_stored: Bytes of the records written.
        seconds_saved: What the actions found had taken when they were done.
    """

    hits: int = 0
    misses: int = 0
    stored: int = 0
    corrupt: int = 0
    evicted: int = 0
    bytes_restored: int = 0
    bytes_stored: int = 0
    seconds_saved: float = 0.0

    def to_payload(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


_LONGEST_LINE = 1 << 16
_MOST = 1 << 53  # of one event, which may take back what another told
_NAMES = frozenset(field.name for field in fields(StoreActivity))


class Journal:
    """An append-only file of events, each a JSON object that maps figures of ``StoreActivity`` to increments."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **increments: float) -> None:
        """Append one event; a single small write, so that concurrent processes do not mix their lines."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append(self._path, f"{canonical_json(increments)}\n".encode(), below=self._path.parent)

    def position(self) -> int:
        """Return a mark for ``activity``: everything until now lies before it."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def activity(self, since: int = 0) -> StoreActivity:
        """Return the sum of all events after the mark ``since``."""
        totals: dict[str, Any] = {}
        for event in self._events(since):
            for name in _NAMES & event.keys():
                if type(event[name]) in (int, float) and abs(event[name]) < _MOST:
                    totals[name] = totals.get(name, 0) + event[name]
        return StoreActivity(**totals)

    def _events(self, since: int) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(OSError), open_regular(self._path, below=self._path.parent) as file:
            file.seek(since)
            while file.tell() - since < MOST_BYTES and (line := file.readline(_LONGEST_LINE)):
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # The disk was full in the middle of a line.
                if isinstance(event, dict):
                    yield event
