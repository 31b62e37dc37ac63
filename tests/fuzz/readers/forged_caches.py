"""Scan caches and journals that somebody changed and gave right digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from scaling_tasks.files import read_regular
from scaling_tasks.samples.journal import _digest
from tests.fuzz.mutations import json_document
from tests.fuzz.reader import Reader, anything
from tests.fuzz.readers import scan_cache


def _blake(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def _change_header(content: bytes, chance: Random) -> bytes:
    """Change what the first line says, whose third word is JSON."""
    head, _, body = content.partition(b"\n")
    mark, digest, text = (*head.split(b" ", 2), b"", b"")[:3]
    return b" ".join((mark, digest, json_document(text, chance))) + b"\n" + body


def _change_index(content: bytes, chance: Random) -> bytes:
    """Change the list of directories that the body of a cache of images begins with."""
    head, _, body = content.partition(b"\n")
    length = int.from_bytes(body[:8], "little")
    text = json_document(body[8 : 8 + length], chance)
    return head + b"\n" + len(text).to_bytes(8, "little") + text + body[8 + length :]


def _seal_cache(path: Path) -> None:
    head, _, body = read_regular(path, 1 << 24).partition(b"\n")
    mark, _, text = head.split(b" ", 2)
    header = json.loads(text)
    header |= {"bytes": len(body), "digest": _blake(body).decode()}
    text = json.dumps(header).encode()
    path.write_bytes(mark + b" " + _blake(text) + b" " + text + b"\n" + body)


def _seal_journal(path: Path) -> None:
    lines = read_regular(path, 1 << 24).split(b"\n")
    path.write_bytes(b"".join(_digest(line[32:] + b"\n") + line[32:] + b"\n" for line in lines if line[32:]))


def _sealed(read: Callable[[Path], Any], seal: Callable[[Path], None], name: str) -> Callable[[Path], Any]:
    def forged(directory: Path) -> Any:
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):  # Then it is read as it is.
            seal(directory / name)
        return read(directory)

    return forged


def _change_line(content: bytes, chance: Random) -> bytes:
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    path, tab, rest = lines[place][32:].partition(b"\t")
    if chance.random() < 0.3:
        path = json_document(path, chance)
    else:
        rest = json_document(rest, chance)
    lines[place] = lines[place][:32] + path + tab + rest
    return b"\n".join(lines)


def _forged(reader: Reader) -> Reader:
    journal = reader.name == "scan journal"
    seal, name = (_seal_journal, "scan.cache.partial") if journal else (_seal_cache, "scan.cache")
    mutators = (_change_line,) if journal else (_change_header, _change_index)
    read = _sealed(reader.read, seal, name)
    # A header is looked at when a scan is asked for; what lies behind it when it is read, by what has no data set.
    found = replace(reader, name=f"{reader.name}, forged", read=read, mutators=mutators * 3, share=0.5)
    return replace(found, allowed=anything, refuses=True)


READERS = tuple(map(_forged, scan_cache.READERS))
