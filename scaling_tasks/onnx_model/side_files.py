"""Reading the weights that an ONNX model keeps in files beside it.

The onnx package refuses files that have several hard links, and every copy that is made without copying is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.errors import ModelError
from scaling_tasks.files import is_below

if TYPE_CHECKING:
    import onnx

__all__ = ["take_in_weights"]


def take_in_weights(model: onnx.ModelProto, directory: Path, *, leave: str = "") -> None:
    """Read weights out of files in ``directory`` into the model.

    Args:
        model: Loaded without its external data; changed in place.
        directory: Where the model lies.
        leave: A file whose weights stay where they are.

    Raises:
        ModelError: A file is missing, too short, or outside the directory.
    """
    from onnx.external_data_helper import ExternalDataInfo, _get_all_tensors, uses_external_data

    for tensor in _get_all_tensors(model):
        if uses_external_data(tensor):
            info = ExternalDataInfo(tensor)
            if info.location != leave:
                tensor.raw_data = _read(directory, info.location, info.offset or 0, info.length, tensor.name)
                tensor.data_location = tensor.DEFAULT
                del tensor.external_data[:]


def _read(directory: Path, location: str, offset: int, length: int | None, name: str) -> bytes:
    path = directory / location
    if not is_below(location):
        raise ModelError(f"the weights {name!r} lie outside the model's directory", where=str(path))
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read() if length is None else file.read(length)
    except OSError as cause:
        raise ModelError(
            f"the weights {name!r} cannot be read ({cause.strerror})", where=str(path), fix="Put it beside the model."
        ) from cause
    if length is not None and len(content) < length:
        raise ModelError(f"is too short to hold the weights {name!r}", where=str(path), fix="Export the model again.")
    return content
