"""The tar shard kind (WebDataset): the sizes of all images in many tar files, of which only changed ones are read."""

from __future__ import annotations

import glob
import hashlib
import re
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.blocks import Block, pack, unpack
from scaling_tasks.samples.container import Header, read_container, say_damaged, write_container
from scaling_tasks.samples.headers import UNREADABLE
from scaling_tasks.samples.listing import UNTRUSTED, Folder, walk
from scaling_tasks.samples.places import is_url, local_path, open_data
from scaling_tasks.samples.remote import THREADS, Entry, Remote
from scaling_tasks.samples.tar_members import Members, read_members

if TYPE_CHECKING:
    from scaling_tasks.samples.parts import Elsewhere

__all__ = ["cached_shards", "read_shards", "same_shards", "scan_shards", "write_shards"]

_SUFFIX = ".tar"
_TICK = 20_000_000
_MOST_SHARDS = 1_000_000
_SECONDS_AT_RISK = 10.0
# Of a shard elsewhere: a member's header and the beginning of an image, and whole members where they are small.
_READ_AHEAD = 1 << 16
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")

# Bytes: of shards that are measured together elsewhere, and of all that are read sooner than they are given away.
_TOGETHER, _WORTH_GIVING_AWAY = 64 << 20, 4 << 20

Progress = Callable[[int, int], None]


def same_shards(path: str, header: Header) -> bool:
    """Return whether the shards are those of the cache with this header, by one listing."""
    return header.listed != "" and _state(_listed(path)) == header.listed


def cached_shards(cache_path: Path) -> list[Block] | None:
    """Return what the cache holds, one block per shard; None when there is no usable one."""
    cached = read_container(cache_path)
    return unpack(cached[1]) if cached is not None and cached[0].kind == "shards" else None


def scan_shards(
    path: str, cache_path: Path, progress: Progress | None, elsewhere: Elsewhere | None = None
) -> list[Block]:
    """Read the shards that the cache does not know as they are; return one block per shard in order.

    What is read is kept now and then, so that an interruption costs seconds.

    Raises:
        DatasetError: There is no shard, or they cannot be listed.
        OSError: The cache cannot be written.
    """
    cached = cached_shards(cache_path)
    if cached is None:
        say_damaged(cache_path)
    shards = _listed(path)
    if not is_url(path) and any(abs(time.time_ns() - shard.tag) < _TICK for shard in shards):
        time.sleep(_TICK / 1e9)  # what is written after this cannot have the same change time
        shards = _listed(path)
    known = {block.path: block for block in cached or ()}
    blocks = {shard.path: known[shard.path] for shard in shards if _is_current(known.get(shard.path), shard)}
    pending = [shard for shard in shards if shard.path not in blocks]
    saved = time.monotonic()
    try:
        for done, (shard, block) in enumerate(_fresh(path, pending, elsewhere), 1):
            blocks[shard.path] = block
            if progress:
                progress(done, len(pending))
            if time.monotonic() - saved > _SECONDS_AT_RISK:
                _keep(cache_path, {**known, **blocks})
                saved = time.monotonic()
    except BaseException:
        _keep(cache_path, {**known, **blocks})
        raise
    return [blocks[shard.path] for shard in shards]


def write_shards(cache_path: Path, blocks: Sequence[Block], header: Header) -> None:
    """Publish the cache with the listing's state in its header.

    Raises:
        OSError: It cannot be written.
    """
    marks = [f"{block.path}\0{block.listed}" for block in blocks]
    listed = _digest(marks) if all(block.listed for block in blocks) else ""
    write_container(cache_path, msgspec.structs.replace(header, listed=listed), pack(blocks))


def _keep(cache_path: Path, blocks: dict[str, Block]) -> None:
    """Write what has been read as a cache that is not current: without rows."""
    write_container(cache_path, Header(kind="shards", rows=0, skipped=0, summary=""), pack(blocks.values()))


def _listed(path: str) -> list[Entry]:
    try:
        shards = _elsewhere(path) if is_url(path) else list(_here(local_path(path)))
    except OSError as cause:
        what = f"cannot be listed ({cause.strerror or cause})"
        raise DatasetError(what, where=cause.filename or path, fix="Check dataset.path.") from cause
    if not shards:
        raise DatasetError("there is no shard in it", where=path, fix="Check dataset.path; shards end in .tar.")
    return sorted(shards, key=lambda shard: shard.path)


def _here(path: Path) -> Iterator[Entry]:
    if path.is_dir():
        for folder in walk(str(path)):
            for name, size, when in zip(folder.names, folder.sizes, folder.times, strict=True):
                if name.lower().endswith(_SUFFIX):
                    yield Entry(str(path / folder.path / name), size, when)
        return
    names = [str(path)] if path.is_file() else _names(str(path))
    for name in names:
        found = [name] if glob.escape(name) == name or Path(name).is_file() else glob.glob(name)  # noqa: PTH207 - patterns may be absolute
        for each in found:
            status = Path(each).stat()
            yield Entry(each, status.st_size, status.st_ctime_ns)


def _elsewhere(url: str) -> list[Entry]:
    remote = Remote(url)
    names = _names(remote.root)
    if len(names) == 1 and glob.escape(names[0]) != names[0]:
        return remote.matching(names[0])
    if names == [remote.root] and not remote.root.lower().endswith(_SUFFIX):
        return [entry for entry in remote.entries() if entry.path.lower().endswith(_SUFFIX)]
    return remote.named(names)


def _names(pattern: str) -> list[str]:
    """Return what ``{000..009}`` and ``{a,b}`` in a pattern stand for, in every combination.

    Raises:
        DatasetError: They are too many.
    """
    parts: list[list[str]] = []
    start, count = 0, 1
    for match in _RANGE.finditer(pattern):
        first, last, words = match.groups()
        count *= len(words.split(",")) if words else abs(int(last) - int(first)) + 1
        if count > _MOST_SHARDS:
            what = f"it stands for more than {_MOST_SHARDS} shards"
            raise DatasetError(what, where=pattern, fix="Correct dataset.path.")
        numbers = range(int(first), int(last) + 1) if first else ()
        choices = words.split(",") if words else [f"{number:0{len(first)}d}" for number in numbers]
        parts += [[pattern[start : match.start()]], choices]
        start = match.end()
    return ["".join(each) for each in product(*parts, [pattern[start:]])]


def _fresh(path: str, shards: Sequence[Entry], elsewhere: Elsewhere | None) -> Iterator[tuple[Entry, Block]]:
    """Yield the blocks of shards as they are read: by others as far as that is worth it and they can, else here."""
    left = {shard.path: shard for shard in shards}
    if elsewhere and is_url(path):
        from scaling_tasks.samples.parts import Part, measured_blocks

        named = filter(Part.is_named_by, shards)
        parts = [Part("shards", path, tuple(each)) for each in _together(named)]
        worth = sum(shard.size for part in parts for shard in part.files) >= _WORTH_GIVING_AWAY
        for part, measured in elsewhere(parts) if worth else ():
            own = {shard.path: shard for shard in part.files}
            for block in measured_blocks(measured, part.kind) if measured is not None else ():
                if block.path in own and _is_current(block, own[block.path]):
                    yield left.pop(block.path), block
    yield from read_shards(path, list(left.values()))


def _together(shards: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield the shards one by one, small ones several at a time."""
    several: list[Entry] = []
    for shard in shards:
        if several and sum(each.size for each in several) + shard.size > _TOGETHER:
            yield several
            several = []
        several.append(shard)
    if several:
        yield several


def read_shards(path: str, shards: Sequence[Entry]) -> Iterator[tuple[Entry, Block]]:
    """Yield the block of each shard; many are read at once where they are elsewhere."""
    if not is_url(path):
        yield from ((shard, _block(shard, _members(shard.path))) for shard in shards)
        return
    scheme = path.partition("://")[0]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="shards") as pool:
        asked = {pool.submit(_members, _url(scheme, shard.path)): shard for shard in shards}
        try:
            yield from ((asked[each], _block(asked[each], each.result())) for each in as_completed(asked))
        finally:
            pool.shutdown(cancel_futures=True)


def _url(scheme: str, path: str) -> str:
    return path if "://" in path else f"{scheme}://{path}"


def _members(path: str) -> Members | None:
    try:
        with open_data(path, _READ_AHEAD) as file:
            return read_members(file)
    except OSError:
        return None


def _block(shard: Entry, members: Members | None) -> Block:
    if members is None:
        members = Members()
        members.add("", 0, UNREADABLE)
    tag = UNTRUSTED if members.names == [""] else shard.tag
    times = array("q", [tag]) * len(members.names)
    folder = Folder(shard.path, members.names, members.sizes, times)
    mark = "" if tag == UNTRUSTED else _mark(shard)
    return Block.of(folder, mark, members.heights, members.widths)


def _is_current(block: Block | None, shard: Entry) -> bool:
    return block is not None and shard.tag != UNTRUSTED and block.listed == _mark(shard)


def _mark(shard: Entry) -> str:
    return f"{shard.size}-{shard.tag}"


def _state(shards: Sequence[Entry]) -> str:
    if any(shard.tag == UNTRUSTED for shard in shards):
        return "changing"
    return _digest([f"{shard.path}\0{_mark(shard)}" for shard in shards])


def _digest(marks: Sequence[str]) -> str:
    return hashlib.blake2b("\0\0".join(marks).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
