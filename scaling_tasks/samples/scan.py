"""Scanning a data set: measure what is new, and tell cheaply whether anything is.

The plugin calls `watch` on every run, so nothing here imports numpy before there is something to measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.errors import CacheError, DatasetError
from scaling_tasks.files import digest_bytes, digest_file, write_if_changed
from scaling_tasks.samples.container import Header, read_header, say_damaged
from scaling_tasks.samples.images import cached_images, same_images, scan_images, write_images
from scaling_tasks.samples.kinds import dataset_kind
from scaling_tasks.samples.places import is_derived, is_url, local_path, summary_path

if TYPE_CHECKING:
    from scaling_tasks.samples.measurements import Measurements
    from scaling_tasks.samples.parts import Elsewhere

__all__ = ["Progress", "read_measurements", "scan", "watch"]

Progress = Callable[[int, int], None]

_TICK = 20_000_000
_WORTH_GIVING_AWAY = 4 << 20
"""Bytes of a file elsewhere that are read sooner than they are given away."""


def watch(dataset: DatasetSpec, cache_path: Path) -> bool:
    """Return whether the cache still describes the data set, by one listing with sizes and change times.

    False too where the last scan ended in an error, and where the cache or its summary is damaged. Never raises:
    whatever is wrong, the scan says it.
    """
    header = read_header(cache_path)
    if header is None:
        return False
    try:
        if digest_file(summary_path(cache_path), most=MOST_BYTES) != header.summary:
            return False
        kind = dataset_kind(dataset)
        if header.kind != kind or not header.rows or (dataset.strict and header.skipped):
            return False
        if kind == "images":
            return same_images(dataset.path, header)
        if kind == "shards":
            from scaling_tasks.samples.shards import same_shards

            return same_shards(dataset.path, header)
        return header.state is not None and header.state == _file_state(dataset.path)
    except (DatasetError, OSError):
        return False


def scan(
    dataset: DatasetSpec, cache_path: Path, *, progress: Progress | None = None, elsewhere: Elsewhere | None = None
) -> Measurements:
    """Measure the data set; only files that the cache does not know as they are get opened.

    Writes the cache and, beside it, the ``scan`` summary (`summary_path`), each whole or not at all. The summary's
    bytes change only when the measurements do.

    Args:
        dataset: Where the data is.
        cache_path: The cache file; created where absent. A name other than ``*.json``.
        progress: Called with (files done, files to do) now and then.
        elsewhere: Has parts of a data set measured that lies elsewhere, by which nothing changes but the time it takes.

    Raises:
        DatasetError: Nothing could be measured, or something had to be skipped and ``strict`` is set.
        CacheError: The cache cannot be written.
    """
    kind = dataset_kind(dataset)
    _keep_data(dataset, cache_path)
    try:
        if kind == "images":
            found = _scan_folder(dataset, cache_path, progress, elsewhere)
        elif kind == "shards":
            found = _scan_shards(dataset, cache_path, progress, elsewhere)
        else:
            found = _scan_file(dataset.path, cache_path, kind, elsewhere)
    except OSError as cause:
        raise CacheError(
            f"the scan cache cannot be written ({cause.strerror or cause})",
            where=str(cause.filename2 or cause.filename or cache_path),
            fix="Make room for it, or remove what stands in its place.",
        ) from cause
    _check(found, dataset)
    return found


def _keep_data(dataset: DatasetSpec, cache_path: Path) -> None:
    """Refuse to write the cache or its summary over the data set."""
    if is_url(dataset.path):
        return
    data = local_path(dataset.path).absolute()
    for path in (cache_path, summary_path(cache_path)):
        if path.absolute() == data or (path.exists() and data.exists() and path.samefile(data)):
            raise CacheError("the scan cache would replace the data set", where=str(path), fix="Give it another name.")


def read_measurements(dataset: DatasetSpec, cache_path: Path) -> Measurements:
    """Return what the last scan measured, without looking at the data set.

    Raises:
        DatasetError: There is no usable cache.
    """
    found = _cached(cache_path)
    if found is None:
        fix = "Delete it and build again." if cache_path.exists() else "Run the scan first."
        raise DatasetError("there is no usable scan cache", where=str(cache_path), fix=fix)
    _check(found, dataset)
    return found


def _cached(cache_path: Path) -> Measurements | None:
    from scaling_tasks.samples.image_sizes import image_measurements
    from scaling_tasks.samples.shards import cached_shards
    from scaling_tasks.samples.stored import load_measurements

    blocks = cached_images(cache_path)
    if blocks is None:
        blocks = cached_shards(cache_path)
    if blocks is not None:
        return image_measurements(blocks)
    stored = load_measurements(cache_path)
    return stored[1] if stored else None


def _scan_folder(
    dataset: DatasetSpec, cache_path: Path, progress: Progress | None, elsewhere: Elsewhere | None
) -> Measurements:
    from scaling_tasks.samples.image_sizes import image_measurements

    blocks = scan_images(dataset.path, cache_path, progress, elsewhere)
    found = image_measurements(blocks)
    write_images(cache_path, blocks, _publish_summary(found, cache_path, "images"))
    return found


def _scan_shards(
    dataset: DatasetSpec, cache_path: Path, progress: Progress | None, elsewhere: Elsewhere | None
) -> Measurements:
    from scaling_tasks.samples.image_sizes import image_measurements
    from scaling_tasks.samples.shards import scan_shards, write_shards

    blocks = scan_shards(dataset.path, cache_path, progress, elsewhere)
    found = image_measurements(blocks)
    write_shards(cache_path, blocks, _publish_summary(found, cache_path, "shards"))
    return found


def _scan_file(path: str, cache_path: Path, kind: str, elsewhere: Elsewhere | None) -> Measurements:
    from scaling_tasks.samples.part_work import read_file
    from scaling_tasks.samples.stored import load_measurements, store_measurements

    stored = load_measurements(cache_path)
    if stored is None:
        say_damaged(cache_path)
    try:
        if _is_young(path):
            time.sleep(_TICK / 1e9)  # what is written after this cannot have the same change time
        state = _file_state(path)
        if stored and stored[0].kind == kind and _is_same(stored[0], state, path):
            found, content = stored[1], stored[0].content
        else:
            measured = _measured_elsewhere(path, kind, state, elsewhere) if elsewhere and is_url(path) else None
            found, content = measured or read_file(path, kind)
            content = content or _content(path)
    except OSError as cause:
        why = cause.strerror or cause
        raise DatasetError(f"cannot be read ({why})", where=path, fix="Check dataset.path.") from cause
    header = _publish_summary(found, cache_path, kind)
    store_measurements(cache_path, found, msgspec.structs.replace(header, state=state, content=content))
    return found


def _is_same(known: Header, state: tuple[int, int] | None, path: str) -> bool:
    if is_url(path):
        return state is not None and known.state == state
    if known.state is not None and state is not None and known.state[0] != state[0]:
        return False  # What is of another size need not be read.
    return known.content == _content(path)


def _content(path: str) -> str:
    """Return the file's digest; empty where it would have to be fetched for that."""
    return "" if is_url(path) else digest_file(local_path(path))


def _measured_elsewhere(
    path: str, kind: str, state: tuple[int, int] | None, elsewhere: Elsewhere
) -> tuple[Measurements, str] | None:
    """Return what others read in a file, which one that is small is not worth."""
    from scaling_tasks.samples.parts import Part
    from scaling_tasks.samples.remote import Entry, Remote
    from scaling_tasks.samples.stored import load_measurements

    file = None if state is None else Entry(Remote(path).root, *state)
    if file is None or file.size < _WORTH_GIVING_AWAY or not Part.is_named_by(file):
        return None
    for _, measured in elsewhere([Part(kind, path, (file,))]):
        stored = load_measurements(measured) if measured is not None else None
        if stored is not None and stored[0].kind == kind:
            return stored[1], stored[0].content
    return None


def _publish_summary(found: Measurements, cache_path: Path, kind: str) -> Header:
    """Write the summary; return the beginning of the header of the cache that it belongs to."""
    summary = found.summary().encode()
    derived = is_derived(cache_path)
    write_if_changed(summary_path(cache_path), summary, below=cache_path.parent, derived=derived)
    return Header(
        kind=kind, rows=len(found.values), skipped=found.source.get("skipped", 0), summary=digest_bytes(summary)
    )


def _file_state(path: str) -> tuple[int, int] | None:
    """Return a file's size and change time, or what stands for that elsewhere; None where nothing does."""
    if is_url(path):
        from scaling_tasks.samples.listing import UNTRUSTED
        from scaling_tasks.samples.remote import Remote

        remote = Remote(path)
        entry = remote.entry(remote.root)
        return None if entry.tag == UNTRUSTED else (entry.size, entry.tag)
    status = local_path(path).stat()
    return status.st_size, status.st_ctime_ns


def _is_young(path: str) -> bool:
    return not is_url(path) and abs(time.time_ns() - local_path(path).stat().st_ctime_ns) < _TICK


def _check(found: Measurements, dataset: DatasetSpec) -> None:
    skipped = found.source.get("skipped", 0)
    listed = "; ".join(found.skipped[:3])
    if not len(found.values):
        raise DatasetError(
            f"there is no image in it ({skipped} other files)" if skipped else "there is no image in it",
            where=dataset.path,
            fix="Check dataset.path and its contents.",
        )
    if dataset.strict and skipped:
        raise DatasetError(
            f"{skipped} entries could not be measured ({listed}{'; …' if skipped > 3 else ''})",
            where=dataset.path,
            fix="Mend or remove them, or set dataset.strict to false to skip them.",
        )
