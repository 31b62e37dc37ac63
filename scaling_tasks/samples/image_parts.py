"""An image folder elsewhere in parts: how it is cut, and what was measured of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from scaling_tasks.samples import blocks
from scaling_tasks.samples.listing import Folder
from scaling_tasks.samples.parts import Elsewhere, Part, measured_blocks
from scaling_tasks.samples.remote import Entry

__all__ = ["Wanted", "measure_ahead"]

Known = dict[str, dict[str, blocks.Entry]]
"""Entries by directory and name."""

Wanted = tuple[Folder, Sequence[int]]
"""A directory, and which of its files are to be read."""

_FEWEST = 1000
"""So many are read sooner than they are given away."""
_MEAN, _MOST = 1024, 4096
_LITTLE_ELSE = 16


def measure_ahead(url: str, root: str, wanted: Iterable[Wanted], elsewhere: Elsewhere) -> Known:
    """Return what others could measure of the files that are wanted.

    Args:
        url: The data set's.
        root: The same as the store's library takes it.
        wanted: What is to be read.
        elsewhere: Who has it measured.
    """
    files: list[Entry] = []
    beside: dict[str, int] = {}
    for folder, places in wanted:
        directory = f"{root}/{folder.path}" if folder.path else root
        beside[directory] = len(folder.names)
        listed = (Entry(f"{directory}/{folder.names[at]}", folder.sizes[at], folder.times[at]) for at in places)
        files += filter(Part.is_named_by, listed)
    found: Known = {}
    if len(files) < _FEWEST:
        return found
    parts = [Part("images", url, tuple(each), _worth_listing(each, beside)) for each in _cut(files)]
    for part, path in elsewhere(parts):
        expected = {file.path: (file.size, file.tag) for file in part.files}
        for block in measured_blocks(path, part.kind) if path is not None else ():
            for name, entry in zip(block.file_names(), zip(*block.columns(), strict=True), strict=True):
                if expected.get(name) == entry[:2]:
                    directory, _, own = name.removeprefix(root).lstrip("/").rpartition("/")
                    found.setdefault(directory, {})[own] = entry
    return found


def _cut(files: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield the files in stretches that end where a name says so: one file more changes one of them."""
    stretch: list[Entry] = []
    for file in files:
        stretch.append(file)
        if len(stretch) == _MOST or crc32(file.path.encode()) % _MEAN == 0:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _worth_listing(files: Iterable[Entry], beside: dict[str, int]) -> tuple[str, ...]:
    """Return the directories in which the files are not lost among others."""
    counts = Counter(file.path.rpartition("/")[0] for file in files)
    worth = (path for path, count in counts.items() if 1 < count >= beside.get(path, 0) / _LITTLE_ELSE)
    return tuple(sorted(worth))
