"""The digest of a model: its own bytes and those of its external data."""

from __future__ import annotations

from pathlib import Path

from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import ModelError
from scaling_tasks.files import digest_bytes, digest_file, read_regular
from scaling_tasks.onnx_model.external_places import external_place
from scaling_tasks.onnx_model.model_file import MOST_BYTES, MOST_WEIGHTS, read_model
from scaling_tasks.onnx_model.side_files import external_tensors

__all__ = ["digest_model", "external_files"]

_FileState = tuple[str, int, int, int]
_known: dict[_FileState, str] = {}


def digest_model(path: Path) -> str:
    """Return the SHA-256 over the model file and every external data file it names, in hexadecimal.

    Digests are remembered within the process by path, inode, size and change time, so that a build asks the
    disk once per file.

    Raises:
        ModelError: The model or one of its external data files cannot be read.
    """
    try:
        parts = {"model": _digest(path)}
        parts |= {f"external/{file.relative_to(path.parent)}": _digest(file) for file in external_files(path)}
    except OSError as cause:
        raise ModelError(
            f"cannot be read ({cause.strerror})", where=str(cause.filename or path), fix="Check `model`."
        ) from cause
    return parts["model"] if len(parts) == 1 else digest_bytes(canonical_json(parts).encode())


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the external data files that an ONNX model names, sorted; none for other formats.

    Raises:
        ModelError: The file is not an ONNX model, or names data outside its directory.
    """
    # Every external tensor carries the key "location"; most models have none and need not be parsed.
    if path.suffix != ".onnx" or not _mentions(path, b"location"):
        return ()
    tensors = external_tensors(read_model(path))
    return tuple(sorted({path.parent / external_place(tensor, str(path)).location for tensor in tensors}))


def _mentions(path: Path, word: bytes) -> bool:
    try:
        return word in read_regular(path, MOST_BYTES)
    except OSError as cause:
        raise ModelError(
            f"cannot be read ({cause.strerror or cause})", where=str(path), fix="Check `model`."
        ) from cause


def _digest(path: Path) -> str:
    stat = path.stat()
    state = (str(path.resolve()), stat.st_ino, stat.st_size, stat.st_ctime_ns)
    if state not in _known:
        _known[state] = digest_file(path, most=MOST_WEIGHTS)
    return _known[state]
