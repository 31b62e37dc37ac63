"""From a file to an ONNX model that is one: what else lies there is said, and what nothing could run is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.files import read_regular
from scaling_tasks.onnx_model.soundness import check_sound

__all__ = ["MOST_BYTES", "MOST_WEIGHTS", "read_model"]

MOST_WEIGHTS = 1 << 38
"""The largest file of weights beside a model: 256 GiB."""

MOST_BYTES = (1 << 31) - 1
"""What a protocol buffer can hold; weights in files beside the model do not count."""

_LFS_POINTER = b"version https://git-lfs"
# What else ends in .onnx by mistake, by its first bytes.
_OTHERS = {
    b"PK\x03\x04": "a zip archive, such as PyTorch and Keras write",
    b"\x1f\x8b": "gzip-compressed",
    b"\x89HDF": "an HDF5 file, such as Keras writes",
    b"\x80\x02": "a pickle, such as PyTorch writes",
    b"<!DOC": "a page of a web site",
    b"<html": "a page of a web site",
}
_FIX = "Give the path of an ONNX model."


def read_model(path: Path) -> Any:
    """Return the ``onnx.ModelProto`` in a file, without what it keeps in other files.

    Raises:
        ModelError: The file cannot be read or holds no ONNX model, or see `check_sound`.
    """
    import onnx

    where = str(path)
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as cause:
        raise ModelError(f"cannot be read ({cause.strerror or cause})", where=where, fix=_FIX) from cause
    if content.startswith(_LFS_POINTER):
        raise ModelError("it is a Git LFS pointer and not the model itself", where=where, fix="Run `git lfs pull`.")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as cause:  # protobuf's DecodeError has no stable import path over its versions
        raise ModelError(f"not an ONNX model ({_kind(content, cause)})", where=where, fix=_FIX) from cause
    if not model.graph.output:
        raise ModelError(f"not an ONNX model ({_kind(content, 'it has no graph with outputs')})", where=where, fix=_FIX)
    check_sound(model, where)
    return model


def _kind(content: bytes, otherwise: object) -> str:
    """Return what the content is if it is no model."""
    if not content:
        return "it is empty"
    for start, kind in _OTHERS.items():
        if content.startswith(start):
            return f"it is {kind}"
    if content[:512].isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in content[:512]):
        return "it is text"
    return one_line(otherwise)
