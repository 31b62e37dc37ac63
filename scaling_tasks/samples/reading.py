"""Reading many image headers: progress, journal, and threads where the storage is slow."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from scaling_tasks.samples.blocks import Entry
from scaling_tasks.samples.headers import UNREADABLE, probe
from scaling_tasks.samples.journal import Journal
from scaling_tasks.samples.listing import Folder

__all__ = ["Progress", "Reader", "unread"]

Progress = Callable[[int, int], None]
_Size = tuple[int, int]

_STRETCH, _STRETCH_ELSEWHERE = 128, 1024
_SECONDS_BETWEEN_REPORTS = 0.1
# From memory a header takes about 10 µs, nearly all of it in the interpreter, where threads only hinder each other.
# Slower than this, the time goes into waiting for a disk or a server, and waiting can be shared.
_SLOW_SECONDS = 100e-6
_THREADS = 16


class Reader:
    """Measures directories one after the other.

    Args:
        root: The data set.
        journal: What is read is noted in it.
        progress: Called with (files done, files to do) now and then.
        total: Files to do.
        elsewhere: Measures many files at once, by their paths and sizes, where they are not on this machine.
    """

    def __init__(
        self,
        root: str,
        journal: Journal,
        progress: Progress | None,
        total: int,
        elsewhere: Callable[[Sequence[str], Sequence[int]], list[_Size]] | None = None,
    ) -> None:
        self._root = root
        self._journal = journal
        self._progress = progress
        self._total = total
        self._done = 0
        self._reported = time.monotonic()
        self._pool: ThreadPoolExecutor | None = None
        self._elsewhere = elsewhere
        self._stretch_length = _STRETCH_ELSEWHERE if elsewhere else _STRETCH

    def measure(self, folder: Folder, known: Mapping[str, Entry]) -> tuple[array[int], array[int]]:
        """Return heights and widths of the directory's files, reading those that ``known`` does not have as they are.

        A file without a size gets the height 0 and its `Fault` as width.
        """
        heights, widths = array("i"), array("i")
        if min(folder.sizes, default=0) < 0:
            # Broken links, pipes and devices: opening them could block for ever.
            closed = (place for place, size in enumerate(folder.sizes) if size < 0)
            known = {**known, **{folder.names[place]: (-1, folder.times[place], *UNREADABLE) for place in closed}}
        for start in range(0, len(folder.names), self._stretch_length):
            places = range(start, min(start + self._stretch_length, len(folder.names)))
            high, wide = zip(*self._stretch(folder, places, known), strict=True)
            heights.extend(high)
            widths.extend(wide)
            self._journal.add(folder, start, heights, widths)
            self.pass_over(len(places))
        return heights, widths

    def pass_over(self, count: int) -> None:
        """Count files as done."""
        self._done += count
        now = time.monotonic()
        if self._progress and (now - self._reported > _SECONDS_BETWEEN_REPORTS or self._done == self._total):
            self._progress(self._done, self._total)
            self._reported = now

    def close(self) -> None:
        """Save what was measured and end the threads."""
        self._journal.flush()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def _stretch(self, folder: Folder, places: range, known: Mapping[str, Entry]) -> list[_Size]:
        prefix = f"{self._root}/{folder.path}/" if folder.path else f"{self._root}/"
        recalled = {place: size for place in places if (size := _recall(folder, place, known))} if known else {}
        if not recalled:
            return self._probe([prefix + name for name in folder.names[places.start : places.stop]], folder, places)
        missing = [place for place in places if place not in recalled]
        found = iter(self._probe([prefix + folder.names[place] for place in missing], folder, missing))
        return [recalled.get(place) or next(found) for place in places]

    def _probe(self, paths: Sequence[str], folder: Folder, places: Sequence[int]) -> list[_Size]:
        if self._elsewhere:
            return self._elsewhere(paths, [folder.sizes[place] for place in places])
        begin = time.perf_counter()
        found = list(self._pool.map(probe, paths) if self._pool else map(probe, paths))
        if not self._pool and time.perf_counter() - begin > _SLOW_SECONDS * max(len(paths), 32):
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="image-headers")
        return found


def unread(folder: Folder, known: Mapping[str, Entry]) -> list[int]:
    """Return the places of the files that would have to be read."""
    return [place for place in range(len(folder.names)) if _recall(folder, place, known) is None]


def _recall(folder: Folder, place: int, known: Mapping[str, Entry]) -> _Size | None:
    """Return what is known of a file if it is still of that size and age."""
    entry = known.get(folder.names[place])
    if entry is None or entry[0] != folder.sizes[place] or entry[1] != folder.times[place]:
        return None
    return entry[2], entry[3]
