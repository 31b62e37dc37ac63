"""Records as Bazel's remote caches keep them: an ``ActionResult`` in protobuf's wire format.

Of ``build.bazel.remote.execution.v2`` (remote_execution.proto of bazelbuild/remote-apis) these fields are used, all of
them length-delimited but for the size:

    ActionResult:  repeated OutputFile output_files = 2; bytes stdout_raw = 5
    OutputFile:    string path = 1; Digest digest = 2
    Digest:        string hash = 1; int64 size_bytes = 2

Files are listed so that a server can see whether it still has them, and keeps together what belongs together. What we
read back is ``stdout_raw`` alone: servers may write the rest anew, and add to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["encode", "stdout_of"]

_FILES, _STDOUT = 2, 5
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def encode(files: Iterable[tuple[str, str, int]], stdout: bytes) -> bytes:
    """Return an ``ActionResult``.

    Args:
        files: Name, SHA-256 and size in bytes of each output.
        stdout: What the action had to tell.
    """
    outputs = (_field(1, name.encode()) + _field(2, _digest(digest, size)) for name, digest, size in files)
    return b"".join(_field(_FILES, output) for output in outputs) + _field(_STDOUT, stdout)


def stdout_of(content: bytes) -> bytes:
    """Return what an ``ActionResult`` has in ``stdout_raw``.

    Raises:
        ValueError: It is none, or is cut short.
    """
    found = b""
    for number, value in _fields(content):
        if number == _STDOUT:
            found = value
    return found


def _digest(digest: str, size: int) -> bytes:
    # A size of 0 is the default, which is not written.
    return _field(1, digest.encode()) + (_varint(2 << 3 | _VARINT) + _varint(size) if size else b"")


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each length-delimited field; skip the others."""
    at = 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _read_varint(content, at)
        elif kind == _BYTES:
            size, at = _read_varint(content, at)
            yield tag >> 3, content[at : at + size]
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the kind {kind}")
    if at > len(content):
        raise ValueError("cut short")


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, digit in enumerate(content[at : at + _LONGEST_VARINT]):
        value |= (digit & 0x7F) << 7 * place
        if digit <= 0x7F:
            return value, at + place + 1
    raise ValueError("cut short")
