"""Names that cannot lead anywhere, and digests: texts of types that only the functions here and typed documents make.

Whoever asks for one of these types is given a text that was looked at; whoever has a text must have it looked at first.
"""

from __future__ import annotations

import re
from typing import NewType

__all__ = ["DIGEST", "INNER_NAME", "Digest", "InnerName", "PlainName", "digest", "inner_name", "plain_name"]

InnerName = NewType("InnerName", str)
"""A relative path in its only spelling, which stays below where it starts."""

PlainName = NewType("PlainName", InnerName)
"""One visible component of a path, so that no directory is left or entered by it, and no pattern."""

Digest = NewType("Digest", str)
"""A SHA-256 in hexadecimal."""

INNER_NAME = r"\A(?:(?!\.{0,2}(?:/|\Z))[^/\0]+/)*(?!\.{0,2}\Z)[^/\0]+\Z"
"""What an `InnerName` looks like: components that are none of nothing, ``.`` and ``..``."""

DIGEST = r"\A[0-9a-f]{64}\Z"
"""What a `Digest` looks like."""

_INNER, _DIGEST = re.compile(INNER_NAME), re.compile(DIGEST)
_LONGEST = 128


def inner_name(text: str) -> InnerName:
    """Return a text as the name of a file below a directory.

    Raises:
        ValueError: It is none.
        TypeError: It is no text.
    """
    if _INNER.match(text) is None:
        raise ValueError(f"{text[:200]!r} is no name of a file below a directory")
    return InnerName(text)


def plain_name(text: str, most: int = _LONGEST) -> PlainName:
    """Return a text as the name of a file or directory that has room for endings: it has at most so many bytes.

    Raises:
        ValueError: It is none.
        TypeError: It is no text.
    """
    name = inner_name(text)
    if name[0] == "." or not name.isprintable() or {*"/\\*?[]"} & set(name) or len(name.encode()) > most:
        raise ValueError(f"{text[:200]!r} is no name of a file")
    return PlainName(name)


def digest(text: str) -> Digest:
    """Return a text as a digest.

    Raises:
        ValueError: It is none.
        TypeError: It is no text.
    """
    if _DIGEST.match(text) is None:
        raise ValueError(f"{text[:200]!r} is no digest")
    return Digest(text)
