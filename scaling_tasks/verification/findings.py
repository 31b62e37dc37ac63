"""Findings that are documents of their own: what one holds must be what it comes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import VerificationFailed

__all__ = ["Findings"]

_Found = TypeVar("_Found", bound="Findings")


class Findings(ABC):
    """Base of what is found by comparing; a frozen dataclass whose fields are plain or of such classes.

    Attributes:
        kind: Of the document.
        version: Of its format.
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    @abstractmethod
    def to_payload(self) -> dict[str, Any]:
        """Return plain values for the document, those that follow from others with them."""

    def to_json(self) -> str:
        """Return the document, byte-deterministic."""
        return document_text(self.kind, self.version, self.to_payload())

    @classmethod
    def read(cls: type[_Found], path: Path) -> _Found:
        """Read what ``to_json`` gave.

        Raises:
            VerificationFailed: The file is missing, or holds something else.
        """
        return read_document(path, cls.kind, cls.version, error=VerificationFailed, build=cls._of)

    @classmethod
    def _of(cls: type[_Found], payload: Mapping[str, Any]) -> _Found:
        found = msgspec.convert(payload, cls)
        if found.to_payload() != payload:
            raise ValueError("it contradicts itself")
        return found
