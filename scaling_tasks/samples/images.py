"""The image folder kind: every image's size, reading only files that are new or changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from scaling_tasks.samples.blocks import Block, pack, unpack
from scaling_tasks.samples.container import read_container, write_container
from scaling_tasks.samples.headers import Fault
from scaling_tasks.samples.journal import Journal
from scaling_tasks.samples.listing import UNTRUSTED, Folder, walk
from scaling_tasks.samples.reading import Progress, Reader

__all__ = ["cached_images", "folder_state", "scan_images", "write_images"]

# A file changed this shortly before it was listed can change again without a new modification time: the clock of the
# file system ticks every few milliseconds, on some file systems every second or two.
_TICK, _COARSE_TICK = 20_000_000, 2_000_000_000


def folder_state(root: str) -> str:
    """Return a digest of all names, sizes and modification times below ``root``: one listing, nothing opened."""
    return _state(folder.fingerprint for folder in walk(root))


def cached_images(cache_path: Path) -> list[Block] | None:
    """Return what the cache holds; None when there is no usable one."""
    cached = read_container(cache_path)
    if cached is None or cached[0].get("kind") != "images":
        return None
    return list(unpack(cached[1]))


def scan_images(root: str, cache_path: Path, progress: Progress | None) -> list[Block]:
    """List the folder and measure what the cache does not know; return one block per directory in order.

    Args:
        root: The data set's directory.
        cache_path: The last scan's cache, which may be absent; it is not written here.
        progress: Called with (files done, files to do) now and then.

    Raises:
        DatasetError: A directory cannot be listed.
    """
    known = {block.path: block for block in cached_images(cache_path) or ()}
    journal = Journal(cache_path)
    journal.load()
    blocks, young = _scan_once(root, known, journal, progress)
    if young:
        # Waiting out the tick settles what was written just now, so that the next run has nothing to do.
        time.sleep(_TICK / 1e9)
        blocks, _ = _scan_once(root, {block.path: block for block in blocks}, journal, progress)
    return blocks


def _scan_once(
    root: str, known: dict[str, Block], journal: Journal, progress: Progress | None
) -> tuple[list[Block], bool]:
    """Return one block per directory, and whether some file is so young that waiting a moment would help."""
    started = time.time_ns()
    settled, pending = _compare(walk(root), known)
    reader = Reader(root, journal, progress, total=sum(len(folder.names) for folder in pending))
    try:
        fresh = [_renew(folder, known.get(folder.path), reader, journal, started) for folder in pending]
    finally:
        reader.close()
    blocks = [*settled, *(block for block, _ in fresh)]
    blocks.sort(key=lambda block: block.path.split("/") if block.path else [])
    return blocks, any(young for _, young in fresh)


def write_images(cache_path: Path, blocks: list[Block], facts: dict[str, int]) -> None:
    """Publish the cache with ``facts`` in its header, and drop the journal."""
    header = {"kind": "images", "state": _state(block.fingerprint for block in blocks), **facts}
    write_container(cache_path, header, pack(blocks))
    Journal(cache_path).discard()


def _state(fingerprints: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for fingerprint in fingerprints:
        digest.update(fingerprint)
    return digest.hexdigest()


def _compare(folders: Iterator[Folder], known: dict[str, Block]) -> tuple[list[Block], list[Folder]]:
    """Split the listing into blocks that still hold and directories that changed."""
    settled: list[Block] = []
    pending: list[Folder] = []
    for folder in folders:
        block = known.get(folder.path)
        if block is not None and block.fingerprint == folder.fingerprint:
            settled.append(block)
        else:
            pending.append(folder)
    return settled, pending


def _renew(folder: Folder, old: Block | None, reader: Reader, journal: Journal, started: int) -> tuple[Block, bool]:
    known = {**(old.entries() if old else {}), **journal.entries(folder.path)}
    heights, widths = reader.measure(folder, known)
    now = time.time_ns()
    young = False
    for place, when in enumerate(folder.times):
        tick = _TICK if when % 1_000_000_000 else _COARSE_TICK
        recent = started - tick < when <= now + _TICK
        unreadable = not heights[place] and widths[place] == Fault.UNREADABLE and folder.sizes[place] >= 0
        if recent or unreadable:
            folder.times[place] = UNTRUSTED
            young = young or (recent and tick == _TICK)
    return Block.of(folder, heights, widths), young
