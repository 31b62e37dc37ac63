"""The cache file: one line that answers "still the same?", then arrays.

The line is the format, a digest of what follows in it, and the header as JSON, which holds a digest of the body: what
is read is what was written, or there is no cache. Numpy is not imported, as `watch` reads caches on every run.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from scaling_tasks.files import digest_bytes, open_regular, publish
from scaling_tasks.machine import versions
from scaling_tasks.own_code import code_of
from scaling_tasks.samples.places import is_derived

__all__ = ["CODE", "Facts", "Header", "measuring", "read_container", "read_header", "say_damaged", "write_container"]

CODE = ("config", "det_annotation", "samples", "shapes")
"""What of this package measures data sets: what other code measured is not believed."""

_LOG = logging.getLogger(__name__)

# A header names a thousand columns and twenty skipped files at most.
_MOST_HEADER_BYTES = 1 << 22
_BLOCK = 1 << 20

_KIND = "scaling-tasks/scan-cache/"
_SHORT, _LONGEST_MARK = 16, 64

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything of `Measurements` but the arrays."""

    kind: str
    columns: tuple[str, ...]
    rows: _Count
    source: dict[str, int]
    skipped: tuple[str, ...]
    faults: dict[str, tuple[int, str]]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a cache says of itself.

    Attributes:
        kind: Of the data set, as `dataset_kind` names it.
        rows: Rows measured.
        skipped: Files or lines that gave none.
        summary: Digest of the summary beside the cache.
        listed: Of an image folder: digest of its listing in the file system's order.
        sorted: The same in the order of names.
        state: Of a file: its size and change time.
        content: Of a file: the SHA-256 of its content.
        facts: Of a file: what was measured, but the arrays.
        layout: Of a file: the name and shape of every array in the body.
        bytes: Length of the body.
        digest: Of the body.
    """

    kind: str
    rows: _Count
    skipped: _Count
    summary: str
    listed: str = ""
    sorted: str = ""
    state: tuple[int, int] | None = None
    content: str = ""
    facts: Facts | None = None
    layout: tuple[tuple[str, tuple[_Count, ...]], ...] = ()
    bytes: _Count = 0
    digest: str = ""


def write_container(path: Path, header: Header, chunks: Iterable[bytes | memoryview]) -> None:
    """Publish a cache file whole: the header line, then the chunks one after the other.

    Raises:
        OSError: It cannot be written.
    """
    body = list(chunks)
    whole = msgspec.structs.replace(header, bytes=sum(map(len, body)), digest=_digest(body))
    text = msgspec.json.encode(whole)
    with publish(path, below=path.parent, derived=is_derived(path)) as temporary, temporary.open("wb") as file:
        file.write(f"{_format()} {_digest([text])} ".encode() + text + b"\n")
        file.writelines(body)


def read_header(path: Path) -> Header | None:
    """Return the header of the cache at ``path``; None where there is none of this version, or anything is damaged."""
    found = _read(path)
    return found and found[0]


def read_container(path: Path) -> tuple[Header, memoryview] | None:
    """Return header and body; None when the file is absent, of another version, or damaged.

    A cache that cannot be used costs a new scan, never an error.
    """
    body = bytearray()
    found = _read(path, body)
    return found and (found[0], memoryview(body))


def say_damaged(path: Path) -> None:
    """Say that the file at ``path``, if there is one and other code did not make it, is damaged."""
    try:
        with open_regular(path) as file:
            mark = file.read(_LONGEST_MARK).partition(b" ")[0]
    except FileNotFoundError:
        return
    except OSError:
        mark = b""
    if mark == _format().encode() or not mark.startswith(_KIND.encode()):
        _LOG.warning("warning: %s: damaged; the data set is measured anew", path)


def _read(path: Path, body: bytearray | None = None) -> tuple[Header] | None:
    """Return the header of an undamaged cache, and append its body to ``body``."""
    try:
        with open_regular(path) as file:
            header = _parse(file.readline(_MOST_HEADER_BYTES))
            if header is None:
                return None
            digest = hashlib.blake2b(digest_size=16)
            length = 0
            for block in _blocks(file, header.bytes + 1):
                digest.update(block)
                length += len(block)
                if body is not None:
                    body += block
    except OSError:
        return None
    return (header,) if length == header.bytes and digest.hexdigest() == header.digest else None


def _blocks(file: Any, most: int) -> Iterator[bytes]:
    while most > 0 and (block := file.read(min(_BLOCK, most))):
        most -= len(block)
        yield block


@functools.cache
def _format() -> str:
    """Return what a cache begins with."""
    # Arrays are stored as they lie in memory, so a cache is only good for machines of one byte order.
    return f"{_KIND}{measuring()[:_SHORT]}-{sys.byteorder}"


@functools.cache
def measuring() -> str:
    """Return the digest of what finds sizes in data: this package's code, and what reads the headers of images."""
    return digest_bytes(f"{code_of(*CODE)} {versions('imagesize')['imagesize']}".encode())


def _parse(line: bytes) -> Header | None:
    mark, _, rest = line.removesuffix(b"\n").partition(b" ")
    digest, _, text = rest.partition(b" ")
    if mark != _format().encode() or digest != _digest([text]).encode():
        return None
    try:
        header = msgspec.json.decode(text, type=Header)
    except (msgspec.DecodeError, RecursionError):
        return None
    return header if header.kind in _BY_FILE or _is_whole(header) else None


_BY_FILE = ("images", "shards")
"""Kinds of data sets whose caches hold an entry per file, in blocks."""


def _is_whole(header: Header) -> bool:
    """Return whether the arrays of a data set of one file are as many and as long as the header says."""
    if header.facts is None or header.facts.rows != header.rows:
        return False
    shapes = dict(header.layout)
    expected = {"values": (header.rows, len(header.facts.columns)), "weights": (header.rows,)}
    sound = (
        all(shape == expected.get(name, shape) for name, shape in shapes.items())
        and len(shapes.get("offsets", (0,))) == 1
    )
    return "values" in shapes and sound and header.bytes == sum(8 * math.prod(shape) for shape in shapes.values())


def _digest(chunks: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
