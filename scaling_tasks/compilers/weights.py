"""Moving an ONNX model's weights into an external file that is byte for byte the same for every bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.files import digest_bytes

if TYPE_CHECKING:
    import onnx

__all__ = ["share_weights"]

_SMALLEST = 1024  # Bytes; below it a tensor costs less inline than its entry in the index.
_ALIGNMENT = 64  # Bytes; so that the runtime can map the weights and use them in place.


def share_weights(model: Path, reference: Path, target: Path, weights: Path) -> tuple[Path, ...]:
    """Write ``model`` to ``target`` with the weights it shares with ``reference`` in the file ``weights``.

    The weights file depends on ``reference`` alone: its large initialisers in order of their digests. Give the same
    reference for every bucket, and all weights files are equal, however differently each bucket was optimised.

    Args:
        model: The model of one bucket.
        reference: The model that is the same for all buckets.
        target: Where to write the model; ``weights`` must lie in the same directory.
        weights: Where to write the weights.

    Returns:
        The files written: target and weights, or the target alone when nothing can be shared.
    """
    import onnx

    index = _write_weights(onnx.load(str(reference)), weights)
    proto = onnx.load(str(model))
    shared = [tensor for tensor in proto.graph.initializer if _place(tensor, index, weights.name)]
    target.write_bytes(proto.SerializeToString(deterministic=True))
    if shared:
        return (target, weights)
    weights.unlink()
    return (target,)


def _write_weights(reference: onnx.ModelProto, weights: Path) -> dict[str, tuple[int, int]]:
    """Write the large initialisers; return offset and length in bytes by digest."""
    large = [tensor.raw_data for tensor in reference.graph.initializer if len(tensor.raw_data) >= _SMALLEST]
    index: dict[str, tuple[int, int]] = {}
    with weights.open("wb") as file:
        for digest, content in sorted({digest_bytes(content): content for content in large}.items()):
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            index[digest] = (file.tell(), len(content))
            file.write(content)
    return index


def _place(tensor: onnx.TensorProto, index: dict[str, tuple[int, int]], location: str) -> bool:
    """Replace the tensor's bytes by a reference into the weights file when they are in it."""
    import onnx

    found = index.get(digest_bytes(tensor.raw_data)) if len(tensor.raw_data) >= _SMALLEST else None
    if found is None:
        return False
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(found[0])), ("length", str(found[1]))):
        tensor.external_data.add(key=key, value=value)
    return True
