"""Documents that were changed on purpose, with a checksum that is right again."""

from __future__ import annotations

import json
from typing import Any

from scaling_tasks.documents import document_text

__all__ = ["resealed"]


def resealed(document: dict[str, Any] | str) -> str:
    """Return a document's text again, after what it holds was changed."""
    payload = dict(json.loads(document) if isinstance(document, str) else document)
    payload.pop("checksum", None)
    _, kind, version = payload.pop("format").split("/")
    return document_text(kind, int(version), payload)
