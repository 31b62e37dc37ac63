"""An image folder elsewhere: its listing, and headers by range reads, many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.header_file import PartHeader
from scaling_tasks.samples.headers import UNREADABLE, measure
from scaling_tasks.samples.listing import Folder
from scaling_tasks.samples.remote import THREADS, Remote

__all__ = ["RemoteHeaders", "walk_remote"]

_HEAD_BYTES = 1 << 14
"""What is read of every file: a request takes as long as many kilobytes, and this holds most headers whole."""


def walk_remote(url: str) -> Iterator[Folder]:
    """Yield every directory below a URL that holds files, as `listing.walk` does; change times are `Entry.tag`.

    Raises:
        DatasetError: It cannot be listed, or what the URL needs is not installed.
    """
    remote = Remote(url)
    try:
        entries = remote.entries()
    except OSError as cause:
        fix = "Check dataset.path and the credentials."
        raise DatasetError(f"cannot be listed ({cause.strerror})", where=url, fix=fix) from cause
    folders: dict[str, Folder] = {}
    for entry in entries:
        path, _, name = entry.path.removeprefix(remote.root).lstrip("/").rpartition("/")
        if name and f"/{path}/{name}".count("/.") == 0:
            folder = folders.setdefault(path, Folder(path))
            folder.names.append(name)
            folder.sizes.append(entry.size)
            folder.times.append(entry.tag)
    yield from sorted(folders.values(), key=lambda folder: folder.path.split("/") if folder.path else [])


class RemoteHeaders:
    """Measures files of a store.

    Args:
        remote: The store.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def __call__(self, paths: Sequence[str], sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return what `headers.probe` does of each: first what the beginnings tell, then what more has to be read."""
        filled = [place for place, size in enumerate(sizes) if size > 0]
        wanted = [min(sizes[place], _HEAD_BYTES) for place in filled]
        try:
            read = self._remote.beginnings([paths[place] for place in filled], wanted)
        except OSError:
            read = [None] * len(filled)
        heads: list[bytes | None] = [b""] * len(paths)
        for place, head in zip(filled, read, strict=True):
            heads[place] = head
        found: list[tuple[int, int]] = []
        unfinished = []
        for place, head in enumerate(heads):
            try:
                found.append(UNREADABLE if head is None else measure(PartHeader(head, sizes[place], _more), head))
            except _MoreError:
                found.append(UNREADABLE)
                unfinished.append(place)
        if unfinished:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="image-headers") as pool:
                whole = pool.map(lambda place: self._whole(paths[place], heads[place] or b"", sizes[place]), unfinished)
                for place, size in zip(unfinished, whole, strict=True):
                    found[place] = size
        return found

    def _whole(self, path: str, head: bytes, size: int) -> tuple[int, int]:
        def fetch(start: int, stop: int) -> bytes:
            return self._remote.read(path, start, stop)

        return measure(PartHeader(head, size, fetch), head)


class _MoreError(Exception):
    """More of the file is needed."""


def _more(start: int, stop: int) -> bytes:
    raise _MoreError(start, stop)
