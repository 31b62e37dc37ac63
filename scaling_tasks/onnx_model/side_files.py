"""Reading the weights that an ONNX model keeps in files beside it.

The onnx package refuses files that have several hard links, and every copy that is made without copying is one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.files import open_regular
from scaling_tasks.onnx_model.external_places import ExternalPlace, external_place
from scaling_tasks.onnx_model.soundness import tensor_bytes

if TYPE_CHECKING:
    import onnx

__all__ = ["external_tensors", "take_in_weights"]

_FIX = "Export the model again."


def external_tensors(model: Any) -> list[Any]:
    """Return the tensors of a model whose weights lie in other files."""
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    return [tensor for tensor in _get_all_tensors(model) if uses_external_data(tensor)]


def take_in_weights(model: onnx.ModelProto, directory: Path, *, leave: str = "") -> None:
    """Read weights out of files in ``directory`` into the model.

    Args:
        model: Loaded without its external data; changed in place.
        directory: Where the model lies.
        leave: A file whose weights stay where they are.

    Raises:
        ModelError: A file is missing, too short, or outside the directory.
    """
    for tensor in external_tensors(model):
        place = external_place(tensor, str(directory))
        if place.location != leave:
            tensor.raw_data = _read(directory, place, tensor_bytes(tensor), tensor.name)
            tensor.data_location = tensor.DEFAULT
            del tensor.external_data[:]


def _read(directory: Path, place: ExternalPlace, size: int, name: str) -> bytes:
    path = directory / place.location
    shown, where = one_line(repr(name), 60), str(path)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size < place.offset + size:
                raise ModelError(f"is too short to hold the weights {shown}", where=where, fix=_FIX)
            file.seek(place.offset)
            content = file.read(size)
    except OSError as cause:
        what = f"the weights {shown} cannot be read ({cause.strerror or cause})"
        raise ModelError(what, where=where, fix="Put it beside the model.") from cause
    if len(content) < size:
        raise ModelError(f"is too short to hold the weights {shown}", where=where, fix=_FIX)
    return content
