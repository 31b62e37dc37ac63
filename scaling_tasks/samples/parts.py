"""A part of a data set elsewhere, measured wherever that is done best.

A part is named by what its files are: where they lie, how large they are, and what tells their version. Whoever
measures it looks again, when it has read them, whether they still are that, so that a measured part is never of other
files than those it is named by. What of it could not be read it leaves out; whoever puts the parts together reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.blocks import Block, unpack
from scaling_tasks.samples.container import read_container
from scaling_tasks.samples.listing import UNTRUSTED
from scaling_tasks.samples.remote import Entry

__all__ = ["DOCUMENT", "RESULT", "Elsewhere", "Part", "measured_blocks", "read_part"]

DOCUMENT, RESULT = "part.json", "measured"
_KIND, _VERSION = "scan-part", 1

_Size = Annotated[int, Meta(ge=0, lt=1 << 53)]
_Tag = Annotated[int, Meta(ge=0, lt=1 << 60)]


@dataclass(frozen=True)
class Part:
    """Some files of a data set.

    Attributes:
        kind: Of the data set.
        url: Of the data set, or of the file where it is one.
        files: What is to be read.
        listed: Directories that hold little else, so that one listing tells what all of them are.
    """

    kind: str
    url: str
    files: tuple[Entry, ...]
    listed: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, str]:
        """What is needed to read it, as an action's parameters."""
        return {"protocol": self.url.partition("://")[0], "kind": self.kind}

    def document(self) -> str:
        """Return what names it."""
        files = [[file.path, file.size, file.tag] for file in self.files]
        return document_text(_KIND, _VERSION, {"kind": self.kind, "url": self.url, "files": files})

    @classmethod
    def is_named_by(cls, file: Entry) -> bool:
        """Return whether a file is told from all of its other versions, and can be written down."""
        return file.tag != UNTRUSTED and file.size > 0 and file.path.isprintable()


Elsewhere = Callable[[Sequence[Part]], Iterator[tuple[Part, Path | None]]]
"""Has parts measured; yields each when it is done, with what `part_work` made, None where that failed."""


class _Document(msgspec.Struct):
    kind: str
    url: str
    files: list[tuple[str, _Size, _Tag]]


def read_part(path: Path) -> Part:
    """Read what ``Part.document`` gave.

    Raises:
        DatasetError: It is damaged.
    """
    return read_document(path, _KIND, _VERSION, error=DatasetError, build=_part)


def _part(payload: Mapping[str, Any]) -> Part:
    found = msgspec.convert(payload, _Document)
    return Part(found.kind, found.url, tuple(Entry(*file) for file in found.files))


def measured_blocks(path: Path, kind: str) -> list[Block]:
    """Return what `part_work` has measured; nothing where that is damaged."""
    cached = read_container(path)
    return (unpack(cached[1]) if cached is not None and cached[0].kind == kind else None) or []
