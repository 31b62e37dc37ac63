"""What an unfinished image scan has read so far, so that an interruption costs seconds."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from array import array
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.files import append, open_regular, put_aside
from scaling_tasks.samples.blocks import Entry
from scaling_tasks.samples.container import measuring
from scaling_tasks.samples.listing import Folder
from scaling_tasks.samples.places import is_derived

__all__ = ["Journal"]

_LOG = logging.getLogger(__name__)

_SECONDS_AT_RISK = 2.0
# Of what a few seconds' reading can come to.
_LONGEST_LINE = 1 << 24
_DIGEST_CHARACTERS = 32
_Whole = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Side = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Columns = tuple[list[str], list[_Whole], list[_Whole], list[_Side], list[_Side]]


class Journal:
    """A file of appended lines, one per stretch of a directory, each with a digest; any other line is ignored.

    Two scans at once may append to one journal: every line stands for itself, and stale ones do not match the listing.
    """

    def __init__(self, cache_path: Path) -> None:
        self._path = cache_path.with_name(cache_path.name + ".partial")
        self._lines: dict[str, list[bytes]] = defaultdict(list)
        self._unsaved: list[tuple[str, list[Any]]] = []
        self._saved = time.monotonic()

    def load(self) -> None:
        """Read what an interrupted scan left; lines are parsed when their directory's turn comes.

        Raises:
            OSError: Something that is no journal stands in its place, and cannot be removed.
        """
        damaged = 0
        try:
            with open_regular(self._path, below=self._path.parent) as file:
                while file.tell() < MOST_BYTES and (line := file.readline(_LONGEST_LINE)):
                    digest, text = line[:_DIGEST_CHARACTERS], line[_DIGEST_CHARACTERS:]
                    if digest == _digest(text):
                        path, _, rest = text.partition(b"\t")
                        with suppress(ValueError, RecursionError):
                            self._lines[str(json.loads(path))].append(rest)
                    elif line.strip():
                        damaged += 1
        except FileNotFoundError:
            return
        except OSError:
            self.discard()
        if damaged:
            # Usually one, which was being written when the scan was ended.
            _LOG.warning("warning: %s: %d damaged lines are ignored; their files are read again", self._path, damaged)

    def entries(self, path: str) -> dict[str, Entry]:
        """Return what is known of the files in one directory."""
        known: dict[str, Entry] = {}
        for line in self._lines.pop(path, ()):
            with suppress(ValueError, RecursionError):  # No version of this wrote it.
                names, *columns = msgspec.convert(json.loads(line), _Columns)
                known.update(zip(names, zip(*columns, strict=True), strict=True))
        return known

    def add(self, folder: Folder, start: int, heights: array[int], widths: array[int]) -> None:
        """Note the files ``start`` and on of a directory, as far as ``heights`` goes; written every few seconds."""
        columns = (folder.names, folder.sizes, folder.times, heights, widths)
        self._unsaved.append((folder.path, [column[start : len(heights)] for column in columns]))
        if time.monotonic() - self._saved >= _SECONDS_AT_RISK:
            self.flush()

    def flush(self) -> None:
        """Append everything noted to the file.

        Raises:
            OSError: It cannot be written.
        """
        if self._unsaved:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # An end of line first: what was torn off before must not spoil what comes now.
            lines = b"".join(_line(path, columns) for path, columns in self._unsaved)
            append(self._path, b"\n" + lines, below=self._path.parent)
        self._unsaved.clear()
        self._saved = time.monotonic()

    def discard(self) -> None:
        """Remove the file: the cache holds everything now."""
        self._unsaved.clear()
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            if not self._path.is_dir() or not is_derived(self._path):
                raise
            put_aside(self._path, below=self._path.parent)


def _line(path: str, columns: list[Any]) -> bytes:
    rows = json.dumps([list(column) for column in columns], separators=(",", ":"))
    # Escaped, as names need not be valid Unicode.
    text = f"{json.dumps(path)}\t{rows}\n".encode("ascii")
    return _digest(text) + text


def _digest(text: bytes) -> bytes:
    key = measuring()[: hashlib.blake2b.MAX_KEY_SIZE].encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_CHARACTERS // 2, key=key).hexdigest().encode()
