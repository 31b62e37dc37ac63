"""What documents say of files, as types that are checked where a document is read."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from scaling_tasks.names import DIGEST, INNER_NAME, Digest, InnerName

__all__ = ["DigestField", "NameField", "SizeField"]

NameField = Annotated[InnerName, Meta(pattern=INNER_NAME)]
"""The name of a file below a directory."""

DigestField = Annotated[Digest, Meta(pattern=DIGEST)]
"""The SHA-256 of a content."""

SizeField = Annotated[int, Meta(ge=0, lt=1 << 53)]
"""Bytes."""
