"""MindIR files: checking that one is whole, and writing it the same way every time.

A MindIR is a protocol buffer. MindSpore Lite writes its ``primitives`` (field 12) in the order of their addresses in
memory, so that two conversions of one model differ although every part is equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling_tasks.errors import CompileError
from scaling_tasks.files import publish

__all__ = ["check_mindir", "sort_primitives"]

_GRAPH, _PRIMITIVES = 7, 12
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


def sort_primitives(path: Path) -> None:
    """Rewrite the file with its primitives in the order of their bytes; equal conversions become equal files.

    Raises:
        CompileError: The file is no whole MindIR.
    """
    fields = check_mindir(path)
    primitives = sorted(content for number, content in fields if number == _PRIMITIVES)
    others = [content for number, content in fields if number != _PRIMITIVES]
    with publish(path, below=path.parent) as temporary:
        temporary.write_bytes(b"".join([*others, *primitives]))


def check_mindir(path: Path) -> list[tuple[int, bytes]]:
    """Return the top-level fields (number, encoded bytes) of a whole MindIR.

    Raises:
        CompileError: The file is truncated, holds no graph or is something else.
    """
    try:
        fields = list(_fields(path.read_bytes()))
    except (IndexError, ValueError) as cause:
        raise CompileError("is truncated or no MindIR", where=str(path)) from cause
    if not any(number == _GRAPH for number, _ in fields):
        raise CompileError("holds no graph", where=str(path))
    return fields


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(content):
        start = position
        key, position = _varint(content, position)
        kind = key & 7
        if kind == _VARINT:
            _, position = _varint(content, position)
        elif kind == _LENGTH:
            length, position = _varint(content, position)
            position += length
        elif kind in _FIXED_BYTES:
            position += _FIXED_BYTES[kind]
        else:
            raise ValueError(f"unknown wire type {kind}")
        if position > len(content):
            raise IndexError("a field ends beyond the file")
        yield key >> 3, content[start:position]


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
