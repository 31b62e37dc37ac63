"""Records in a remote store: as ``ActionResult``, sealed, and signed where a key is shared.

Whoever may write to a remote store could otherwise put what they like under any key: a digest shows that a content is
what a record says, but not who says so.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from scaling_tasks.action import action_text
from scaling_tasks.documents import document_text, parse_document
from scaling_tasks.errors import CacheError
from scaling_tasks.names import Digest
from scaling_tasks.store.action_result import encode, stdout_of
from scaling_tasks.store.records import Record, stored_files, stored_seconds

__all__ = ["ACTION_NAME", "UnsignedError", "decode_record", "encode_record"]

ACTION_NAME = ".scaling-tasks/action.json"
"""What the action itself is called among a record's files; its digest is the record's key."""

_KIND, _VERSION = "remote-record", 1
_SIGNED = re.compile(rb"hmac-sha256 ([0-9a-f]{64})\n\Z")
_PURPOSE = b"scaling-tasks/remote-record/1\n"


class UnsignedError(Exception):
    """A record is not signed, or not with the key that is shared."""


def encode_record(record: Record, secret: bytes | None) -> bytes:
    """Return a record as an ``ActionResult``.

    Args:
        record: The record.
        secret: The key to sign it with, None for no signature.
    """
    files = [[file.name, file.digest, file.size] for file in record.files]
    text = document_text(_KIND, _VERSION, {"key": record.key, "files": files, "details": record.details}).encode()
    if secret is not None:
        text += b"hmac-sha256 " + _signature(text, secret).encode() + b"\n"
    action = (ACTION_NAME, record.key, len(action_text(record.components).encode()))
    return encode([*((file.name, file.digest, file.size) for file in record.files), action], text)


def decode_record(content: bytes, components: Mapping[str, Any], key: Digest, secret: bytes | None) -> Record:
    """Read what ``encode_record`` wrote, whatever a server has added to it.

    Args:
        content: The ``ActionResult``.
        components: Of the action whose key was asked for.
        key: That key.
        secret: The key that it must be signed with, None where signatures do not matter.

    Raises:
        CacheError: It is damaged, or of another action.
        UnsignedError: It is not signed with the key.
    """
    try:
        text = stdout_of(content)
    except ValueError as cause:
        raise CacheError(f"not an ActionResult ({cause})", where=f"ac/{key}") from cause
    signed = _SIGNED.search(text)
    text = text[: signed.start()] if signed else text

    def build(payload: Mapping[str, Any]) -> Record:
        if payload["key"] != key:
            raise ValueError(f"it is of {payload['key']!r}")
        details = dict(payload["details"])
        stored_seconds(details)
        return Record(key, components, stored_files(payload["files"]), details)

    record = parse_document(text, _KIND, _VERSION, where=f"ac/{key}", error=CacheError, build=build)
    if secret is not None and not (signed and hmac.compare_digest(_signature(text, secret).encode(), signed[1])):
        raise UnsignedError
    return record


def _signature(text: bytes, secret: bytes) -> str:
    return hmac.new(secret, _PURPOSE + text, hashlib.sha256).hexdigest()
