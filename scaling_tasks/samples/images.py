"""The image folder kind: every image's size, reading only files that are new or changed."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scaling_tasks.samples.blocks import Block, Entry, pack, unpack
from scaling_tasks.samples.container import Header, read_container, say_damaged, write_container
from scaling_tasks.samples.headers import Fault
from scaling_tasks.samples.journal import Journal
from scaling_tasks.samples.listing import UNTRUSTED, Folder, walk
from scaling_tasks.samples.places import is_url, local_path
from scaling_tasks.samples.reading import Progress, Reader, unread
from scaling_tasks.samples.recall import recall

if TYPE_CHECKING:
    from scaling_tasks.samples.parts import Elsewhere

__all__ = ["cached_images", "same_images", "scan_images", "write_images"]

# A file changed this shortly before it was listed can change again without a new change time: the clock of the
# file system ticks every few milliseconds, on some file systems every second or two.
_TICK, _COARSE_TICK = 20_000_000, 2_000_000_000


def same_images(root: str, header: Header) -> bool:
    """Return whether names, sizes and change times below ``root`` are those of the cache with this header.

    One listing, nothing opened. Directories are sorted only where the file system lists them in another order than at
    the last scan, as it does in a copy of the data set.
    """
    folders = list(_walk(root))
    if is_url(root) and any(UNTRUSTED in folder.times for folder in folders):
        return False  # Nothing tells whether these are what was read.
    if _state(folder.fingerprint() for folder in folders) == header.listed:
        return True
    for folder in folders:
        folder.sort()
    return _state(folder.fingerprint() for folder in folders) == header.sorted


def cached_images(cache_path: Path) -> list[Block] | None:
    """Return what the cache holds; None when there is no usable one."""
    cached = read_container(cache_path)
    if cached is None or cached[0].kind != "images":
        return None
    return unpack(cached[1])


def scan_images(
    root: str, cache_path: Path, progress: Progress | None, elsewhere: Elsewhere | None = None
) -> list[Block]:
    """List the folder and measure what the cache does not know; return one block per directory in order.

    Args:
        root: The data set's directory, or its URL.
        cache_path: The last scan's cache, which may be absent; it is not written here.
        progress: Called with (files done, files to do) now and then.
        elsewhere: Has parts of it measured, where it lies elsewhere.

    Raises:
        DatasetError: A directory cannot be listed.
        OSError: The journal cannot be written.
    """
    cached = cached_images(cache_path)
    if cached is None:
        say_damaged(cache_path)
    known = {block.path: block for block in cached or ()}
    journal = Journal(cache_path)
    journal.load()
    blocks, young = _scan_once(root, known, journal, progress, elsewhere)
    if young:
        # Waiting out the tick settles what was written just now, so that the next run has nothing to do.
        time.sleep(_TICK / 1e9)
        blocks, _ = _scan_once(root, {block.path: block for block in blocks}, journal, progress)
    return blocks


def _walk(root: str) -> Iterator[Folder]:
    if is_url(root):
        from scaling_tasks.samples.remote_images import walk_remote

        return walk_remote(root)
    return walk(str(local_path(root)))


def _scan_once(
    root: str,
    known: dict[str, Block],
    journal: Journal,
    progress: Progress | None,
    elsewhere: Elsewhere | None = None,
) -> tuple[list[Block], bool]:
    """Return one block per directory, and whether some file is so young that waiting a moment would help."""
    started = time.time_ns()
    settled, pending = _compare(_walk(root), known)
    total = sum(len(folder.names) for folder, _ in pending)
    ahead: dict[str, dict[str, Entry]] = {}
    if is_url(root):
        from scaling_tasks.samples.image_parts import measure_ahead
        from scaling_tasks.samples.remote import Remote
        from scaling_tasks.samples.remote_images import RemoteHeaders

        remote = Remote(root)
        if elsewhere:
            ahead = {folder.path: journal.entries(folder.path) for folder, _ in pending}
            wanted = [(folder, _unread(folder, known.get(folder.path), ahead[folder.path])) for folder, _ in pending]
            for path, found in measure_ahead(root, remote.root, wanted, elsewhere).items():
                ahead[path].update(found)
        reader = Reader(remote.root, journal, progress, total, elsewhere=RemoteHeaders(remote))
    else:
        reader = Reader(str(local_path(root)), journal, progress, total)
    try:
        fresh = [
            _renew(folder, listed, known.get(folder.path), reader, journal, ahead.pop(folder.path, {}), started)
            for folder, listed in pending
        ]
    finally:
        reader.close()
    blocks = [*settled, *(block for block, _ in fresh)]
    blocks.sort(key=lambda block: block.path.split("/") if block.path else [])
    return blocks, any(young for _, young in fresh)


def write_images(cache_path: Path, blocks: list[Block], header: Header) -> None:
    """Publish the cache with the listing's state in its header, and drop the journal.

    Raises:
        OSError: It cannot be written.
    """
    listed = _state(block.listed for block in blocks)
    ordered = _state(block.fingerprint for block in blocks)
    write_container(cache_path, msgspec.structs.replace(header, listed=listed, sorted=ordered), pack(blocks))
    Journal(cache_path).discard()


def _state(fingerprints: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for fingerprint in fingerprints:
        digest.update(fingerprint.encode())
    return digest.hexdigest()


_Pending = list[tuple[Folder, str]]


def _compare(folders: Iterator[Folder], known: dict[str, Block]) -> tuple[list[Block], _Pending]:
    """Split the listing into blocks that still hold, and changed directories with their fingerprints as listed."""
    settled: list[Block] = []
    pending: _Pending = []
    for folder in folders:
        block = known.get(folder.path)
        listed = folder.fingerprint()
        if block is not None and block.listed == listed:
            settled.append(block)
            continue
        folder.sort()
        if block is not None and block.fingerprint == folder.fingerprint():
            settled.append(replace(block, listed=listed))
        else:
            pending.append((folder, listed))
    return settled, pending


def _unread(folder: Folder, old: Block | None, noted: Mapping[str, Entry]) -> list[int]:
    """Return the places of the files that nothing is known of."""
    recalled = recall(folder, old)
    before = len(recalled.heights[0])
    return [before + place for place in unread(recalled.middle, {**recalled.known, **noted})]


def _renew(
    folder: Folder,
    listed: str,
    old: Block | None,
    reader: Reader,
    journal: Journal,
    ahead: Mapping[str, Entry],
    started: int,
) -> tuple[Block, bool]:
    recalled = recall(folder, old)
    reader.pass_over(len(folder.names) - len(recalled.middle.names))
    high, wide = reader.measure(recalled.middle, {**recalled.known, **journal.entries(folder.path), **ahead})
    heights = recalled.heights[0] + high + recalled.heights[1]
    widths = recalled.widths[0] + wide + recalled.widths[1]
    young = _distrust(folder, heights, widths, started)
    return Block.of(folder, "" if UNTRUSTED in folder.times else listed, heights, widths), young


def _distrust(folder: Folder, heights: array[int], widths: array[int], started: int) -> bool:
    """Mark the times of files that must be read again; return whether some are only too young by a moment."""
    settled = started - _COARSE_TICK
    states = enumerate(zip(folder.times, heights, strict=True))
    doubtful = [place for place, (when, high) in states if when > settled or not high]
    now = time.time_ns()
    young = False
    for place in doubtful:
        when = folder.times[place]
        tick = _TICK if when % 1_000_000_000 else _COARSE_TICK
        recent = started - tick < when <= now + _TICK
        unreadable = not heights[place] and widths[place] == Fault.UNREADABLE and folder.sizes[place] >= 0
        if recent or unreadable:
            folder.times[place] = UNTRUSTED
            young = young or (recent and tick == _TICK)
    return young
