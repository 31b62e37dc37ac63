"""Files to and from workers, in parts, by their digest.

What a worker finds in a remote store of its own does not come this way.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.execution.farm import worker
from scaling_tasks.execution.farm.order import Blob
from scaling_tasks.files import publish

__all__ = ["WorkerFiles", "batches", "parts"]

_PART_BYTES = 4 << 20


class WorkerFiles:
    """The files of one worker, moved through Dask.

    Args:
        call: Calls a function of ``farm.worker`` on that worker and returns what it returns.
        sender: Tells this build's parts from those of another.
    """

    def __init__(self, call: Callable[..., Any], sender: str) -> None:
        self._call, self._sender = call, sender

    def upload(self, sources: Mapping[Blob, Path]) -> None:
        """Have these files there; small ones several at a time.

        Raises:
            OSError: One cannot be read here.
        """
        wanted = [(blob, *part) for blob in sources for part in parts(blob.size, _PART_BYTES)]
        for batch in batches(wanted, _PART_BYTES):
            read = [(blob, offset, _read(sources[blob], offset, length)) for blob, offset, length in batch]
            self._call(worker.receive, self._sender, read)

    def fetch(self, targets: Mapping[Path, Blob]) -> None:
        """Have these files here, each whole and compared with its digest.

        Raises:
            ValueError: One is not what it is called.
            OSError: It cannot be written.
        """
        small = {path: blob for path, blob in targets.items() if blob.size <= _PART_BYTES}
        wanted = [((path, blob), 0, blob.size) for path, blob in small.items()]
        for batch in batches(wanted, _PART_BYTES):
            contents = self._call(worker.give, [(blob.digest, 0, blob.size) for (_, blob), _, _ in batch])
            for ((path, blob), _, _), content in zip(batch, contents, strict=True):
                _write(path, blob, [content])
        for path, blob in targets.items():
            if path not in small:
                _write(path, blob, self._parts(blob))

    def _parts(self, blob: Blob) -> Iterator[bytes]:
        for offset, length in parts(blob.size, _PART_BYTES):
            yield from self._call(worker.give, [(blob.digest, offset, length)])


def parts(size: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield where the parts of a file begin and how long they are; one, empty, of an empty file."""
    for offset in range(0, max(1, size), most):
        yield offset, min(most, size - offset)


def batches(wanted: Sequence[tuple[Any, int, int]], most: int) -> Iterator[list[tuple[Any, int, int]]]:
    """Yield the parts in order, as many together as take at most so many bytes."""
    batch: list[tuple[Any, int, int]] = []
    size = 0
    for part in wanted:
        if batch and size + part[2] > most:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part[2]
    if batch:
        yield batch


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _write(path: Path, blob: Blob, contents: Iterator[bytes] | Sequence[bytes]) -> None:
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(publish(path, below=path.parent))
        with temporary.open("wb") as file:
            for content in contents:
                digest.update(content)
                file.write(content)
        if digest.hexdigest() != blob.digest:
            raise ValueError(f"{path.name}: what came is not what it is called")
