"""Shapes of which data decides a part: how long something is that is made is then as long as data says."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.lengths import Length, as_length
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.refusal import NotKnown
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["Part", "note_shape", "parts_of", "wanted_lengths"]

_INT64 = 7

Part = tuple[str, "tuple[Length, ...] | None"]
"""A vector as the bucket computes it, and the lengths that it holds; None where it is one number that data decides."""


def note_shape(op: Operation, given: Sequence[Tensor | None], output: Tensor) -> None:
    """Note of which parts a shape is made, where data decides some of them.

    Args:
        op: The operator.
        given: Its inputs as they were before sizes among them were told.
        output: Its first output.
    """
    op.around.shapes.pop(output.name, None)  # A body may be walked over again, with less that is known.
    if op.kind != "Concat" or output.dtype != _INT64 or output.axes is None or output.rank != 1:
        return
    parts = [_part(tensor) for tensor in given if tensor is not None]
    if None not in parts and any(part is not None and part[1] is None for part in parts):
        op.around.shapes[output.name] = [part for part in parts if part is not None]


def wanted_lengths(op: Operation, index: int) -> list[Length | None]:
    """Return the lengths that an input holds, None for each that data decides, and let it hold those of the bucket.

    Raises:
        NotKnown: Data decides them in a way that is not followed.
    """
    tensor = op.inputs[index]
    if tensor is None or tensor.value is not None:
        known = op.numbers(index) or []
        for length in known:
            op.needs(0, length)
        return list(known)
    parts = parts_of(op, index)
    if len(parts) > 1:
        op.node.input[index] = op.emitter.once("Concat", [name for name, _ in parts], axis=0)
    found: list[Length | None] = []
    for _, lengths in parts:
        found += [None] if lengths is None else lengths
    return found


def parts_of(op: Operation, index: int) -> list[Part]:
    """Return of what a shape is made of which data decides a part.

    Raises:
        NotKnown: Data decides it in a way that is not followed.
    """
    tensor = op.input(index)
    own = _part(tensor)
    parts: list[Part] = op.around.shapes.get(tensor.name) or ([own] if own is not None else [])
    if not parts:
        raise NotKnown(index)
    return parts


def _part(tensor: Tensor | None) -> Part | None:
    if tensor is None or tensor.dtype != _INT64 or tensor.axes is None or tensor.rank != 1:
        return None
    if tensor.value is not None:
        return tensor.name, tuple(as_length(each) for each in tensor.value)
    return (tensor.name, None) if tensor.known_axes[0].constant == 1 else None
