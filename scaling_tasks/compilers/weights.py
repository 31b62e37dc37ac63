"""Moving an ONNX model's weights into an external file that is byte for byte the same for every bucket."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.files import digest_bytes, link_or_copy
from scaling_tasks.onnx_model.reading import load_model
from scaling_tasks.onnx_model.side_files import take_in_weights

if TYPE_CHECKING:
    import onnx

__all__ = ["move_weights", "share_weights"]

_SMALLEST = 1024  # Bytes; below it a tensor costs less inline than its entry in the index.
_ALIGNMENT = 64  # Bytes; so that the runtime can map the weights and use them in place.


def move_weights(model: Path, target: Path, weights: Path) -> None:
    """Write ``model`` to ``target`` with its large initialisers in ``weights``, in the order of their digests.

    Args:
        model: A model, its weights inline or in side files.
        target: Where to write the model; ``weights`` must lie in the same directory.
        weights: Where to write the weights; empty where the model has no large ones.
    """
    proto = load_model(model)
    large = [tensor for tensor in proto.graph.initializer if len(tensor.raw_data) >= _SMALLEST]
    by_digest: dict[str, list[onnx.TensorProto]] = {}
    for tensor in large:
        by_digest.setdefault(digest_bytes(tensor.raw_data), []).append(tensor)
    with weights.open("wb") as file:
        for _, tensors in sorted(by_digest.items()):
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            offset, content = file.tell(), tensors[0].raw_data
            file.write(content)
            for tensor in tensors:
                _refer(tensor, weights.name, offset, len(content))
    target.write_bytes(proto.SerializeToString(deterministic=True))


def share_weights(model: Path, reference: Path, target: Path, weights: Path) -> tuple[Path, ...]:
    """Write ``model`` to ``target`` with the weights it shares with ``reference`` in the file ``weights``.

    The weights file is the reference's own. Give the same reference for every bucket, and all weights files are equal,
    however differently each bucket was optimised.

    Args:
        model: The model of one bucket, its weights inline, in side files of its own, or in the reference's file.
        reference: What ``move_weights`` wrote, the same for all buckets, with its weights beside it.
        target: Where to write the model.
        weights: Where the weights get their final name, in the same directory as ``target`` and ``reference``.

    Returns:
        The files written: target and weights, or the target alone when nothing can be shared.
    """
    import onnx

    known = onnx.load(str(reference), load_external_data=False)
    places = _places(known)
    proto = onnx.load(str(model), load_external_data=False)
    if not places:
        take_in_weights(proto, model.parent)
        target.write_bytes(proto.SerializeToString(deterministic=True))
        return (target,)
    location = next(_entries(tensor)["location"] for tensor in known.graph.initializer if tensor.external_data)
    take_in_weights(proto, model.parent, leave=location if model.parent == reference.parent else "")
    link_or_copy(reference.with_name(location), weights)
    with weights.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        shared = [tensor for tensor in proto.graph.initializer if _place(tensor, places, content, weights.name)]
    target.write_bytes(proto.SerializeToString(deterministic=True))
    if shared:
        return (target, weights)
    weights.unlink()
    return (target,)


def _places(reference: onnx.ModelProto) -> dict[int, list[int]]:
    """Return the offsets of the reference's external weights by length in bytes."""
    places: dict[int, list[int]] = {}
    for tensor in reference.graph.initializer:
        if tensor.external_data:
            entries = _entries(tensor)
            places.setdefault(int(entries["length"]), []).append(int(entries["offset"]))
    return places


def _place(tensor: onnx.TensorProto, places: Mapping[int, Sequence[int]], content: mmap.mmap, location: str) -> bool:
    """Replace the tensor's bytes by a reference into the weights file when they are in it."""
    if tensor.external_data:  # Untouched since the reference.
        entries = _entries(tensor)
        _refer(tensor, location, int(entries["offset"]), int(entries["length"]))
        return True
    raw = tensor.raw_data
    found = next((at for at in places.get(len(raw), ()) if content[at : at + len(raw)] == raw), None)
    if found is None:
        return False
    _refer(tensor, location, found, len(raw))
    return True


def _refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    import onnx

    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}
