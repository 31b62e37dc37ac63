"""What goes along an axis in its order, for importers that do not know it or take it for something else.

MindSpore Lite 2.0.0 knows no ReverseSequence, and nncase 2.11.0 not all; a Gather at computed places does the same.
MindSpore Lite's CumSum is never exclusive and never reversed; a product with a triangle of ones is the same sum.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    constants_of,
    element_types,
    replace_nodes,
    static_shapes,
)

if TYPE_CHECKING:
    import onnx

__all__ = ["gather_reversed", "sum_by_products"]

_FLOAT, _INT32, _INT64 = 1, 6, 7
_EXACT = 1 << 24  # Up to here every whole number is a float.


def gather_reversed(model: onnx.ModelProto, directory: Path) -> bool:
    """Replace ReverseSequence of one shape by Gather, in place; return whether there was any.

    Rows and steps become one axis, where step ``t`` of a row of length ``n`` is taken from ``n - 1 - t``, and what lies
    beyond from where it is.

    Args:
        model: The model.
        directory: Where its external data is.
    """
    if all(node.op_type != "ReverseSequence" for node in model.graph.node):
        return False
    shapes, constants = static_shapes(model), constants_of(model, directory)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        shape = shapes.get(node.input[0], ())
        if node.op_type != "ReverseSequence" or not 0 < math.prod(shape[:2]) < _EXACT or len(shape) < 2:
            return None
        given = attributes_of(node)
        # Either axis is the first, the other the second.
        time_first = given.get("time_axis", 0) == 0
        steps, rows = shape[:2] if time_first else shape[1::-1]
        write = Writer(model, f"{node.output[0]}/turned")
        if (lengths := constants.get(node.input[1])) is not None:
            places = write.constant(_places(lengths, steps, rows, time_first), "int64")
        else:
            places = _computed_places(write, node.input[1], steps, rows, time_first)
        joined = write.reshape(node.input[0], [steps * rows, *shape[2:]])
        write.reshape(write.node("Gather", [joined, places], axis=0), shape, node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def _places(lengths: Any, steps: int, rows: int, time_first: bool) -> Any:
    at = np.arange(steps)[:, None]
    source = np.where(at < lengths, lengths - 1 - at, at)
    flat = source * rows + np.arange(rows) if time_first else source + steps * np.arange(rows)
    return (flat if time_first else flat.T).reshape(-1)


def _computed_places(write: Writer, lengths: str, steps: int, rows: int, time_first: bool) -> str:
    """Compute ``t + inside · (n - 1 - 2 · t)`` and the row's part in floats, whose arithmetic all importers know."""
    at = np.arange(steps)[:, None] if time_first else np.arange(steps)[None]
    row = np.arange(rows)[None] if time_first else np.arange(rows)[:, None]
    ends = write.node("Cast", [lengths], to=_FLOAT)
    ends = write.reshape(ends, row.shape)
    left = write.node("Sub", [ends, write.constant(at)])
    inside = write.node("Clip", [left, write.constant(0.0), write.constant(1.0)])
    moved = write.node("Mul", [inside, write.node("Sub", [ends, write.constant(2 * at + 1)])])
    if time_first:
        scaled = write.node("Mul", [moved, write.constant(float(rows))])
        places = write.node("Add", [scaled, write.constant(at * rows + row)])
    else:
        places = write.node("Add", [moved, write.constant(at + row * steps)])
    return write.reshape(write.node("Cast", [places], to=_INT32), [steps * rows])


def sum_by_products(model: onnx.ModelProto, directory: Path) -> bool:
    """Replace exclusive and reversed CumSum of one shape by products of floats, in place; return whether there was any.

    Args:
        model: The model.
        directory: Where its external data is.
    """
    if all(node.op_type != "CumSum" for node in model.graph.node):
        return False
    shapes, constants, types = static_shapes(model), constants_of(model, directory), element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        said = node.op_type == "CumSum" and any(attributes_of(node).get(name) for name in ("exclusive", "reverse"))
        element = types.get(node.input[0])
        if not said or element not in (_FLOAT, _INT32, _INT64):
            return None
        shape, axis = shapes.get(node.input[0], ()), constants.get(node.input[1])
        if axis is None or not shape:
            return None
        write = Writer(model, f"{node.output[0]}/summed")
        return _summed(write, node, shape, int(axis.item()) % len(shape), element)

    return replace_nodes(model, replace)


def _summed(
    write: Writer, node: onnx.NodeProto, shape: tuple[int, ...], axis: int, element: int
) -> list[onnx.NodeProto]:
    given = attributes_of(node)
    length = shape[axis]
    ones = np.triu(np.ones((length, length)), 1 if given.get("exclusive") else 0)
    triangle = write.constant(ones.T if given.get("reverse") else ones)
    # Before the axis, the axis, behind it.
    before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    flat = node.input[0] if element == _FLOAT else write.node("Cast", [node.input[0]], to=_FLOAT)
    if behind > 1:
        flat = write.node("Transpose", [write.reshape(flat, [before, length, behind])], perm=[0, 2, 1])
    total = write.node("MatMul", [write.reshape(flat, [before * behind, length]), triangle])
    if behind > 1:
        total = write.node("Transpose", [write.reshape(total, [before, behind, length])], perm=[0, 2, 1])
    if element == _FLOAT:
        write.reshape(total, shape, node.output[0])
    else:
        write.node("Cast", [write.reshape(total, shape)], node.output[0], to=element)
    return write.nodes
