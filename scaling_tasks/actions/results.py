"""What an action made for a target: which files lie where, and whether they still are what was made."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from scaling_tasks.action import components_of
from scaling_tasks.document_fields import DigestField, NameField, SizeField
from scaling_tasks.documents import MOST_BYTES, document_text, is_sealed, parse_document
from scaling_tasks.errors import CacheError, ScalingTasksError, one_line
from scaling_tasks.files import digest_bytes, read_regular, write_if_changed
from scaling_tasks.known_digests import KnownDigests
from scaling_tasks.names import Digest, InnerName

__all__ = ["AwaitedError", "Result", "ResultFile", "places_of", "read_result", "read_result_if_there", "write_result"]

_Name = TypeVar("_Name", bound=str)

_KIND, _VERSION = "result", 2
_FORMAT = f"scaling-tasks/{_KIND}/{_VERSION}"


class AwaitedError(CacheError):
    """A file was left in a remote store until it is read, and cannot be had from there now."""


class _Document(msgspec.Struct):
    format: str
    action: str
    files: list[tuple[NameField, DigestField, SizeField, str]]
    values: dict[str, Any]
    awaited: list[str] = []


class ResultFile(msgspec.Struct, frozen=True, gc=False):
    """One file of a result.

    Attributes:
        name: The name that the action gave it.
        digest: SHA-256 of its content.
        size: Bytes.
        place: Where it lies, from the repository's root.
        awaited: Whether it lies there only once something has read it: until then a remote store has it.
    """

    name: InnerName
    digest: Digest
    size: int
    place: str
    awaited: bool = False

    @property
    def path(self) -> Path:
        """The place as a path; made when asked for, which where there is nothing to do is hardly ever."""
        return Path(self.place)


def places_of(files: Mapping[_Name, ResultFile]) -> dict[str, Path]:
    """Return where each of the files lies, by the same names."""
    return {name: file.path for name, file in files.items()}


class Result(msgspec.Struct, frozen=True, dict=True):
    """What an action made.

    Attributes:
        key: The action's key.
        files: What it made, in its own order.
        values: What it had to tell.
        told: The action's text; empty where its record tells it: a build holds the results of tens of thousands of
            units and asks for the actions of a few.
        record: Where that record lies.
    """

    key: Digest
    files: tuple[ResultFile, ...]
    values: Mapping[str, Any]
    told: str
    record: str = ""

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
        if self.told or not self.record:
            return self.told
        text = _document(self.record).action
        if digest_bytes(text.encode()) != self.key:
            raise CacheError("replaced while it was in use", where=self.record, fix="Run it again.")
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
            raise CacheError(what, where=self.record, fix="Delete it and build again.") from cause
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
            (file.awaited and not file.path.exists()) or known.holds(file.place, file.digest, file.size)
            for file in self.files
        )


def write_result(path: Path, result: Result, *, below: Path) -> None:
    """Publish a result's record, see ``files.publish``; equal results give equal bytes."""
    files = [[file.name, file.digest, file.size, file.place] for file in result.files]
    payload = {"action": result.action, "files": files, "values": dict(result.values)}
    if awaited := [file.name for file in result.files if file.awaited]:
        payload["awaited"] = awaited
    write_if_changed(path, document_text(_KIND, _VERSION, payload).encode(), below=below, derived=True)


def read_result(path: Path | str) -> Result:
    """Read a result's record.

    Raises:
        CacheError: There is none, or it is damaged.
    """
    place = os.fspath(path)
    try:
        status = os.stat(place)  # noqa: PTH116 - asked for tens of thousands of times
    except OSError as cause:
        raise CacheError(f"cannot be read ({cause.strerror})", where=place, fix="Build it first.") from cause
    # Every write is a new file.
    state = status.st_ino, status.st_mtime_ns
    if (known := _read.get(place)) is None or known[0] != state:
        known = _read[place] = state, _result(place)
    return known[1]


_read: dict[str, tuple[tuple[int, int], Result]] = {}
"""Results by the place of their record, with the inode and the time by which it was read."""


def _result(place: str) -> Result:
    document = _document(place)
    files = tuple(
        ResultFile(name, digest, size, home, name in document.awaited) for name, digest, size, home in document.files
    )
    return Result(digest_bytes(document.action.encode()), files, document.values, "", place)


_decode = msgspec.json.Decoder(_Document).decode


def _document(place: str) -> _Document:
    try:
        content = read_regular(place, MOST_BYTES)
    except OSError as cause:
        raise CacheError(f"cannot be read ({cause.strerror})", where=place, fix="Build it first.") from cause
    if is_sealed(content):
        with contextlib.suppress(ValueError, RecursionError):
            if (document := _decode(content)).format == _FORMAT:
                return document
    # Which says what is wrong with it.
    return parse_document(content, _KIND, _VERSION, where=place, error=CacheError, build=_converted)


def _converted(payload: Mapping[str, Any]) -> _Document:
    return msgspec.convert(payload, _Document)


def read_result_if_there(path: Path | str) -> Result | None:
    """Read a result's record, None where there is none that can be used."""
    try:
        return read_result(path)
    except ScalingTasksError:
        return None
