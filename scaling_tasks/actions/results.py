"""What an action made for a target: which files lie where, and whether they still are what was made."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.document_fields import DigestField, NameField, SizeField
from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import CacheError, ScalingTasksError, one_line
from scaling_tasks.files import digest_bytes, write_if_changed
from scaling_tasks.known_digests import KnownDigests
from scaling_tasks.names import Digest, InnerName
from scaling_tasks.store.records import components_of

__all__ = ["AwaitedError", "Result", "ResultFile", "read_result", "read_result_if_there", "write_result"]

_KIND, _VERSION = "result", 2


class AwaitedError(CacheError):
    """A file was left in a remote store until it is read, and cannot be had from there now."""


class _Document(msgspec.Struct):
    action: str
    files: list[tuple[NameField, DigestField, SizeField, str]]
    values: dict[str, Any]
    awaited: list[str] = []


@dataclass(frozen=True)
class ResultFile:
    """One file of a result.

    Attributes:
        name: The name that the action gave it.
        digest: SHA-256 of its content.
        size: Bytes.
        path: Where it lies, from the repository's root.
        awaited: Whether it lies there only once something has read it: until then a remote store has it.
    """

    name: InnerName
    digest: Digest
    size: int
    path: Path
    awaited: bool = False


@dataclass(frozen=True)
class Result:
    """What an action made.

    Attributes:
        key: The action's key.
        files: What it made, in its own order.
        values: What it had to tell.
        told: The action's text, or the record that holds it: a build holds the results of tens of thousands of units
            and asks for the actions of a few.
    """

    key: Digest
    files: tuple[ResultFile, ...]
    values: Mapping[str, Any]
    told: str | Path

    @classmethod
    def of(cls, action: str, files: tuple[ResultFile, ...], values: Mapping[str, Any]) -> Result:
        """Return what the action with this text made."""
        return cls(digest_bytes(action.encode()), files, values, action)

    @property
    def action(self) -> str:
        """The action's ``text``.

        Raises:
            CacheError: Another process has replaced the record since it was read.
        """
        if isinstance(self.told, str):
            return self.told
        text = _document(self.told).action
        if digest_bytes(text.encode()) != self.key:
            raise CacheError("replaced while it was in use", where=str(self.told), fix="Run it again.")
        return text

    @functools.cached_property
    def components(self) -> Mapping[str, Any]:
        """The action's components.

        Raises:
            CacheError: The record tells none, or was replaced since it was read.
        """
        try:
            found = components_of(self.action)
        except (ValueError, RecursionError) as cause:
            what = f"tells of no action ({one_line(cause)})"
            raise CacheError(what, where=str(self.told), fix="Delete it and build again.") from cause
        return found

    def file(self, name: str) -> ResultFile:
        """Return the file that the action called ``name``.

        Raises:
            CacheError: It made no such file.
        """
        for file in self.files:
            if file.name == name:
                return file
        raise CacheError(f"the {self.components.get('stage')} stage made no {name!r}", fix="Build again.")

    def intact(self, known: KnownDigests) -> bool:
        """Return whether every file is there and holds what was made; files that did not change are not read."""
        return all(
            (file.awaited and not file.path.exists()) or known.holds(file.path, file.digest, file.size)
            for file in self.files
        )


def write_result(path: Path, result: Result, *, below: Path) -> None:
    """Publish a result's record, see ``files.publish``; equal results give equal bytes."""
    files = [[file.name, file.digest, file.size, file.path.as_posix()] for file in result.files]
    payload = {"action": result.action, "files": files, "values": dict(result.values)}
    if awaited := [file.name for file in result.files if file.awaited]:
        payload["awaited"] = awaited
    write_if_changed(path, document_text(_KIND, _VERSION, payload).encode(), below=below)


def read_result(path: Path) -> Result:
    """Read a result's record.

    Raises:
        CacheError: There is none, or it is damaged.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - asked for tens of thousands of times
    except OSError as cause:
        raise CacheError(f"cannot be read ({cause.strerror})", where=str(path), fix="Build it first.") from cause
    # Every write is a new file.
    return _read(path, status.st_ino, status.st_mtime_ns)


@functools.lru_cache(maxsize=1 << 16)
def _read(path: Path, inode: int, written: int) -> Result:
    document = _document(path)
    files = tuple(
        ResultFile(name, digest, size, Path(place), name in document.awaited)
        for name, digest, size, place in document.files
    )
    return Result(digest_bytes(document.action.encode()), files, document.values, path)


def _document(path: Path) -> _Document:
    def build(payload: dict[str, Any]) -> _Document:
        return msgspec.convert(payload, _Document)

    return read_document(path, _KIND, _VERSION, error=CacheError, build=build, decode=msgspec.json.decode)


def read_result_if_there(path: Path) -> Result | None:
    """Read a result's record, None where there is none that can be used."""
    try:
        return read_result(path)
    except ScalingTasksError:
        return None
