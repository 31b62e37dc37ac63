"""The cache file: one JSON line that answers "still the same?", then arrays.

Standard library only, as `watch` reads the first line on every run.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.documents import canonical_json
from scaling_tasks.files import publish

__all__ = ["read_container", "read_header", "write_container"]

# To be raised when anything is measured in another way, so that old caches are not believed.
_VERSION = 3
# Arrays are stored as they lie in memory, so a cache is only good for machines of one byte order.
_FORMAT = f"scaling-tasks/scan-cache/{_VERSION}-{sys.byteorder}"


def write_container(path: Path, header: Mapping[str, Any], chunks: Iterable[bytes | memoryview]) -> None:
    """Publish a cache file whole: the header line, then the chunks one after the other."""
    body = list(chunks)
    line = canonical_json({**header, "format": _FORMAT, "bytes": sum(map(len, body)), "digest": _digest(body)})
    with publish(path) as temporary, temporary.open("wb") as file:
        file.write(line.encode("ascii", "backslashreplace") + b"\n")
        file.writelines(body)


def read_header(path: Path) -> dict[str, Any] | None:
    """Return the header of the cache at ``path``; None when there is none of this version."""
    try:
        with path.open("rb") as file:
            return _parse(file.readline())
    except OSError:
        return None


def read_container(path: Path) -> tuple[dict[str, Any], memoryview] | None:
    """Return header and body; None when the file is absent, of another version, or damaged.

    A cache that cannot be used costs a new scan, never an error.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    end = content.find(b"\n") + 1
    header = _parse(content[:end])
    body = memoryview(content)[end:]
    if header is None or len(body) != header["bytes"] or _digest([body]) != header["digest"]:
        return None
    return header, body


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        header = json.loads(line)
    except ValueError:
        return None
    usable = isinstance(header, dict) and header.get("format") == _FORMAT
    return header if usable else None


def _digest(chunks: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
