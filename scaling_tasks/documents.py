"""JSON documents: byte-deterministic, each with a format header and a checksum, read whole or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scaling_tasks.errors import ScalingTasksError, one_line
from scaling_tasks.files import digest_bytes, read_regular

__all__ = ["MOST_BYTES", "canonical_json", "document_text", "is_sealed", "parse_document", "read_document"]

MOST_BYTES = 1 << 28
"""The largest document that is read: 256 MiB."""

_T = TypeVar("_T")

_OPENING, _CLOSING = b'{\n  "checksum": "', b'",\n'
_DIGITS = 64
_ANEW = "Delete it and build again."

# What taking apart a value of another form than expected can raise.
_MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def canonical_json(value: Any, *, indent: int | None = None) -> str:
    """Return ``value`` as JSON with sorted keys; equal values give equal text.

    Raises:
        ValueError: ``value`` holds NaN or an infinity, which JSON does not have.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)


def document_text(kind: str, version: int, payload: Mapping[str, Any], *, sealed: bool = True) -> str:
    """Return a document of ``kind``: one line per key, nested values compact, so that diffs stay readable.

    Args:
        kind: What the document is.
        version: Of its form.
        payload: What it holds.
        sealed: Whether its first line is a checksum of the others, so that no edited or damaged one is believed. Not
            for documents that people write or merge.
    """
    whole = {"format": f"scaling-tasks/{kind}/{version}", **payload}
    lines = [f"  {canonical_json(key)}: {canonical_json(whole[key])}" for key in sorted(whole)]
    rest = ",\n".join(lines) + "\n}\n"
    if not sealed:
        return "{\n" + rest
    return _OPENING.decode() + digest_bytes(rest.encode()) + _CLOSING.decode() + rest


def _decode(content: bytes) -> Any:
    """Return a JSON value; what Python takes for numbers besides, NaN and infinities, is none."""
    return json.loads(content, parse_constant=_no_number, parse_float=_finite)


def _finite(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def parse_document(
    text: str | bytes,
    kind: str,
    version: int,
    *,
    where: str,
    error: type[ScalingTasksError],
    build: Callable[[dict[str, Any]], _T],
    sealed: bool = True,
    decode: Callable[[bytes], Any] = _decode,
    fix: str = _ANEW,
) -> _T:
    """Return what ``build`` makes of the payload of a document.

    Args:
        text: The document.
        kind: What it must be.
        version: The form it must have.
        where: The file, for messages.
        error: What is raised.
        build: Checks the payload and returns the value; whatever the payload lacks or has of another type may raise.
        sealed: Whether the checksum must be there and right.
        decode: Reads JSON; a faster one where thousands of documents are read.
        fix: What to do about a document that is refused.

    Raises:
        ScalingTasksError: Of type ``error``: the text is no JSON, of another kind or version, edited or damaged, or
            does not hold what it should.
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        whole = decode(content)
    except (ValueError, RecursionError) as cause:
        raise error(f"not a JSON document ({one_line(cause)})", where=where, fix=fix) from cause
    expected = f"scaling-tasks/{kind}/{version}"
    found = whole.get("format") if isinstance(whole, dict) else None
    if found != expected:
        raise error(f"its format is {one_line(repr(found))}, not {expected!r}", where=where, fix=fix)
    if sealed and not is_sealed(content):
        raise error("damaged or edited: its checksum is another", where=where, fix=fix)
    payload = {key: value for key, value in whole.items() if key not in ("format", "checksum")}
    try:
        return build(payload)
    except ScalingTasksError as cause:
        if isinstance(cause, error) and where in cause.where:
            raise
        place = f"{cause.where}: " if cause.where else ""
        what = f"does not hold what it should ({one_line(place + cause.what)})"
        raise error(what, where=where, fix=cause.fix or fix) from cause
    except _MISFITS as cause:
        why = one_line(cause if isinstance(cause, ValueError) else repr(cause))
        raise error(f"does not hold what it should ({why})", where=where, fix=fix) from cause


def read_document(
    path: Path,
    kind: str,
    version: int,
    *,
    error: type[ScalingTasksError],
    build: Callable[[dict[str, Any]], _T],
    sealed: bool = True,
    decode: Callable[[bytes], Any] = _decode,
    fix: str = _ANEW,
) -> _T:
    """Return what ``build`` makes of the document at ``path``, see ``parse_document``.

    Raises:
        ScalingTasksError: Of type ``error``, when the file is missing, unreadable, too large or no such document.
    """
    try:
        text = read_regular(path, MOST_BYTES)
    except OSError as cause:
        raise error(f"cannot be read ({cause.strerror})", where=str(path), fix="Build it first.") from cause
    where = str(path)
    return parse_document(
        text, kind, version, where=where, error=error, build=build, sealed=sealed, decode=decode, fix=fix
    )


def is_sealed(content: bytes) -> bool:
    """Return whether a document's first line is the checksum of the others."""
    head = len(_OPENING) + _DIGITS + len(_CLOSING)
    return content[:head] == _OPENING + digest_bytes(content[head:]).encode() + _CLOSING
