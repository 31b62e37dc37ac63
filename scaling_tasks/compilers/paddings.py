"""Padding by what the tensor has, for importers that do not know it or take it for something else.

MindSpore Lite 2.0.0 takes ``edge`` for another mode, refuses ``wrap``, and fails where an axis is cut by padding less
than nothing; nncase 2.11.0 refuses ``wrap``, and fails where ``reflect`` cuts.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import Writer, attributes_of, constants_of, replace_nodes, static_shapes

if TYPE_CHECKING:
    import onnx

__all__ = ["gather_padding"]

_MODES = ("edge", "reflect", "wrap")


def gather_padding(model: onnx.ModelProto, directory: Path, modes: Collection[str]) -> bool:
    """Gather what an axis is padded with by its places, in place; return whether any was.

    Args:
        model: The model, of one shape.
        directory: Where its external data is.
        modes: Which modes are: ``edge``, ``reflect`` and ``wrap``, or ``cut`` for any of them that cuts; ``constant``
            for what is padded with numbers and cuts, which is cut first.
    """
    if all(node.op_type != "Pad" for node in model.graph.node):
        return False
    shapes, constants = static_shapes(model), constants_of(model, directory)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        given = attributes_of(node) if node.op_type == "Pad" else {}
        mode, shape = given.get("mode", "constant"), shapes.get(node.input[0], ())
        pads = given.get("pads", constants.get(node.input[1]) if len(node.input) > 1 else None)
        axes = constants.get(node.input[3]) if len(node.input) > 3 and node.input[3] else np.arange(len(shape))
        if node.op_type != "Pad" or not shape or pads is None or axes is None:
            return None
        cuts = min(pads, default=0) < 0
        if mode == "constant" and cuts and mode in modes:
            return _cut(Writer(model, f"{node.output[0]}/padded"), node, shape, np.reshape(pads, (2, -1)), axes)
        if mode not in _MODES:
            return None
        if mode not in modes and not (cuts and "cut" in modes):
            return None
        write, made = Writer(model, f"{node.output[0]}/padded"), node.input[0]
        changed = [
            (int(axis) % len(shape), *map(int, pair))
            for axis, pair in zip(axes, np.reshape(pads, (2, -1)).T, strict=True)
            if any(pair)
        ]
        for axis, begin, end in changed:
            places = write.constant(_places(shape[axis], begin, end, mode), "int64")
            made = write.node("Gather", [made, places], axis=axis)
        write.node("Identity", [made], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def _cut(write: Writer, node: onnx.NodeProto, shape: tuple[int, ...], pads: Any, axes: Any) -> list[onnx.NodeProto]:
    """Cut where padding is less than nothing, and pad with numbers where it is more."""
    made = node.input[0]
    for axis, (begin, end) in zip(axes, np.minimum(pads, 0).T, strict=True):
        if begin or end:
            size = shape[axis]
            places = write.constant(range(-begin, size + end), "int64")
            made = write.node("Gather", [made, places], axis=int(axis) % len(shape))
    rest, attributes = np.maximum(pads, 0).reshape(-1), attributes_of(node)
    if "pads" in attributes:
        write.node("Pad", [made], node.output[0], **attributes | {"pads": rest.tolist()})
    else:
        write.node("Pad", [made, write.constant(rest, "int64"), *node.input[2:]], node.output[0], **attributes)
    return write.nodes


def _places(size: int, begin: int, end: int, mode: Any) -> Any:
    """Return where each position comes from: what is cut is gone before anything is added."""
    kept = np.arange(max(-begin, 0), size - max(-end, 0))
    return np.pad(kept, (max(begin, 0), max(end, 0)), mode=mode)
