"""What the store remembers of one action: its key's components in the clear, the files it made, and details."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.action import checked_components, key_of
from scaling_tasks.document_fields import DigestField, NameField, SizeField
from scaling_tasks.documents import document_text, parse_document
from scaling_tasks.errors import CacheError
from scaling_tasks.files import digest_file
from scaling_tasks.names import Digest, InnerName

__all__ = ["Record", "StoredFile", "stored_files", "stored_seconds"]

_KIND, _VERSION = "store-record", 1
_MOST_SECONDS = 1e9


class StoredFile(msgspec.Struct, frozen=True):
    """A file that an action made.

    Attributes:
        name: Its path relative to the directory it is restored to.
        digest: SHA-256 of its content.
        size: Bytes.
    """

    name: InnerName
    digest: Digest
    size: int


class Record(msgspec.Struct, frozen=True):
    """One action.

    Attributes:
        key: Digest of the components.
        components: All that determines the result.
        files: What it made, in the order given when it was stored.
        details: What it is good to know, such as ``seconds`` the action took; not part of the key.
    """

    key: Digest
    components: Mapping[str, Any]
    files: tuple[StoredFile, ...]
    details: Mapping[str, Any]

    @classmethod
    def of(cls, components: Mapping[str, Any], files: Mapping[InnerName, Path], details: Mapping[str, Any]) -> Record:
        """Return the record of existing files, by the name they are restored under."""
        stored = tuple(StoredFile(name, digest_file(path), path.stat().st_size) for name, path in files.items())
        return cls(key_of(components), dict(components), stored, dict(details))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> str:
        """Return the record as a document."""
        files = [[file.name, file.digest, file.size] for file in self.files]
        payload = {"components": self.components, "files": files, "details": self.details}
        return document_text(_KIND, _VERSION, payload)

    @classmethod
    def from_json(cls, text: bytes, *, where: str) -> Record:
        """Read what ``to_json`` wrote.

        Raises:
            CacheError: The text is no record.
        """
        return parse_document(text, _KIND, _VERSION, where=where, error=CacheError, build=cls._of)

    @classmethod
    def _of(cls, payload: Mapping[str, Any]) -> Record:
        components, details = checked_components(payload["components"]), dict(payload["details"])
        stored_seconds(details)
        return cls(key_of(components), components, stored_files(payload["files"]), details)


def stored_files(rows: object) -> tuple[StoredFile, ...]:
    """Return the files of a record's document.

    Raises:
        ValueError: They are none.
    """
    found = msgspec.convert(rows, list[tuple[NameField, DigestField, SizeField]])
    return tuple(StoredFile(name, digest, size) for name, digest, size in found)


def stored_seconds(details: Mapping[str, Any]) -> float:
    """Return what an action took by the details of its record, 0 where they do not say.

    Raises:
        ValueError: That is no time.
    """
    seconds = details.get("seconds", 0)
    if not (isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS):
        raise ValueError(f"it took {seconds!r} seconds")
    return float(seconds)
