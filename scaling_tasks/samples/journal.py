"""What an unfinished image scan has read so far, so that an interruption costs seconds."""

from __future__ import annotations

import json
import time
from array import array
from collections import defaultdict
from pathlib import Path
from typing import Any

from scaling_tasks.samples.blocks import Entry
from scaling_tasks.samples.listing import Folder

__all__ = ["Journal"]

_SECONDS_AT_RISK = 2.0


class Journal:
    """A file of appended lines, one per stretch of a directory; a torn line is ignored.

    Two scans at once may append to one journal: every line stands for itself, and stale ones do not match the listing.
    """

    def __init__(self, cache_path: Path) -> None:
        self._path = cache_path.with_name(cache_path.name + ".partial")
        self._lines: dict[str, list[bytes]] = defaultdict(list)
        self._unsaved: list[tuple[str, list[Any]]] = []
        self._saved = time.monotonic()

    def load(self) -> None:
        """Read what an interrupted scan left; lines are parsed when their directory's turn comes."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                path, separator, rest = line.partition(b"\t")
                if separator and rest.endswith(b"]]\n"):
                    self._lines[json.loads(path)].append(rest)

    def entries(self, path: str) -> dict[str, Entry]:
        """Return what is known of the files in one directory."""
        known: dict[str, Entry] = {}
        for line in self._lines.pop(path, ()):
            names, *columns = json.loads(line)
            known.update(zip(names, zip(*columns, strict=True), strict=True))
        return known

    def add(self, folder: Folder, start: int, heights: array[int], widths: array[int]) -> None:
        """Note the files ``start`` and on of a directory, as far as ``heights`` goes; written every few seconds."""
        columns = (folder.names, folder.sizes, folder.times, heights, widths)
        self._unsaved.append((folder.path, [column[start : len(heights)] for column in columns]))
        if time.monotonic() - self._saved >= _SECONDS_AT_RISK:
            self.flush()

    def flush(self) -> None:
        """Append everything noted to the file."""
        lines = (
            f"{json.dumps(path)}\t{json.dumps([list(column) for column in columns], separators=(',', ':'))}\n"
            for path, columns in self._unsaved
        )
        if self._unsaved:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write("".join(lines).encode("ascii"))
        self._unsaved.clear()
        self._saved = time.monotonic()

    def discard(self) -> None:
        """Remove the file: the cache holds everything now."""
        self._unsaved.clear()
        self._path.unlink(missing_ok=True)
