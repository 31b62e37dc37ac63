"""JSON documents: byte-deterministic, each with a format header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.errors import ScalingTasksError

__all__ = ["canonical_json", "document_text", "parse_document", "read_document"]


def canonical_json(value: Any, *, indent: int | None = None) -> str:
    """Return ``value`` as JSON with sorted keys; equal values give equal text.

    Raises:
        ValueError: ``value`` holds NaN or an infinity, which JSON does not have.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)


def document_text(kind: str, version: int, payload: Mapping[str, Any]) -> str:
    """Return a document of ``kind``: one line per key, nested values compact, so that diffs stay readable."""
    whole = {"format": f"scaling-tasks/{kind}/{version}", **payload}
    lines = [f"  {canonical_json(key)}: {canonical_json(whole[key])}" for key in sorted(whole)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def parse_document(
    text: str | bytes, kind: str, version: int, *, where: str, error: type[ScalingTasksError]
) -> dict[str, Any]:
    """Return the payload of a document after checking its header.

    Raises:
        ScalingTasksError: Of type ``error``, when the text is not JSON or of another kind or version.
    """
    try:
        whole = json.loads(text)
    except ValueError as cause:
        raise error(f"not a JSON document ({cause})", where=where, fix="Delete it and build again.") from cause
    expected = f"scaling-tasks/{kind}/{version}"
    found = whole.get("format") if isinstance(whole, dict) else None
    if found != expected:
        raise error(f"its format is {found!r}, not {expected!r}", where=where, fix="Delete it and build again.")
    return {key: value for key, value in whole.items() if key != "format"}


def read_document(path: Path, kind: str, version: int, *, error: type[ScalingTasksError]) -> dict[str, Any]:
    """Return the payload of the document at ``path``.

    Raises:
        ScalingTasksError: Of type ``error``, when the file is missing, unreadable or of another kind.
    """
    try:
        text = path.read_bytes()
    except OSError as cause:
        raise error(f"cannot be read ({cause.strerror})", where=str(path), fix="Build it first.") from cause
    return parse_document(text, kind, version, where=str(path), error=error)
