"""Attention of onnxruntime's optimiser and model builders: masks of numbers, what is added to scores, a past."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid, join
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

__all__ = ["Hiding", "hide", "padding_bias"]

_OWN = "com.microsoft"
_INT32 = 6


@dataclass(frozen=True)
class Hiding:
    """The inputs by which keys are hidden.

    Attributes:
        mask: Whole numbers, ``[batch, keys]`` or ``[batch, queries, keys]``, or how many keys of each row count.
        bias: What is added to scores, ``[batch or 1, heads or 1, queries, keys]``; None where there is no such input.
    """

    mask: int
    bias: int | None


@operator("MultiHeadAttention", domain=_OWN)
def follow_multi_head_attention(op: Operation) -> Sequence[Tensor]:
    """Follow attention of ``[batch, positions, channels]``, keys and values perhaps with an axis of heads."""
    if any(op.has(at) for at in range(8, len(op.inputs))) or len([name for name in op.node.output[3:] if name]):
        raise Refused("it shares a cache, or gives its scores")
    ranks = [op.input(at).rank if op.has(at) else 0 for at in range(3)]
    if ranks[0] != 3 or ranks[1] not in (3, 4) or ranks[1] != ranks[2]:
        raise Refused("its queries, keys and values are packed in one tensor")
    place = ranks[1] - 2
    if any(op.input(at).known_axes[-1].variables for at in range(3)):
        raise Refused("how wide it is follows the sizes of the request")
    keys = op.mix(1, place)
    op.mix(2, place)
    op.same_axis(1, place, 2, place)
    for at in (1, 2, 6, 7):
        if op.has(at):
            op.same_axis(0, 0, at, 0)
    if op.has(6):
        op.same_axis(6, 2, 7, 2)
        op.mixes(op.input(6).known_axes[2])
        keys = join([op.input(6).known_axes[2], keys])
    hide(op, Hiding(4, 5), keys, [(1, place), (2, place), (6, 2), (7, 2)])
    query = op.input(0)
    heads, value = int(op.attribute("num_heads")), op.input(2)
    widths = [int(op.input(at).known_axes[-1].constant or 0) // (heads if ranks[1] == 3 else 1) for at in (1, 2)]
    axes = [query.known_axes[0], query.known_axes[1], grid(widths[1] * heads)]
    finite = all(op.input(at).finite for at in range(3)) and not op.has(4) and not op.has(5)
    found = [op.result(axes, query.dtype, finite=finite)]
    for at, width in enumerate(widths[: len(op.node.output) - 1], 1):
        present = [query.known_axes[0], grid(heads), keys, grid(width)]
        found.append(op.result(present, value.dtype, output=at, finite=False))
    return found


def hide(op: Operation, hiding: Hiding, keys: Axis, sources: Sequence[tuple[int, int]]) -> None:
    """Let no query see keys that are padding, by a mask or by what is added to scores where the operator takes that.

    Args:
        op: The operator, whose first input holds queries, ``[batch, positions, …]``.
        hiding: The inputs that hide keys.
        keys: The axis of keys, those of a past first.
        sources: Inputs and axes that hold keys or values, the new keys first.

    Raises:
        Refused: It is causal, and there are not as many new keys as queries.
    """
    causal = bool(op.attribute("unidirectional", 0))
    queries = op.mix(0, 1) if causal else op.input(0).known_axes[1]
    masked, added = op.has(hiding.mask), hiding.bias is not None and op.has(hiding.bias)
    if causal and (op.padded(queries) or op.padded(keys)):
        (index, axis), *_ = sources
        if not op.domain.equal(queries.length, op.input(index).known_axes[axis].length):
            raise Refused("its last query sees its last key, and both lie elsewhere in a bucket")
    if masked:
        _align(op, hiding.mask, keys, (1, 2, 3))
    if added:
        _align(op, int(hiding.bias or 0), keys, (4,))
    if not op.padded(keys):
        return
    for index, axis in sources:
        if op.has(index) and not op.input(index).finite:
            op.clean(index, [axis], 0.0)
    if added:
        op.clean(int(hiding.bias or 0), [3], -math.inf)
    elif masked and hiding.bias is not None:
        # A mask may hide all keys, which weigh alike then.
        op.newly_cleaned |= op.padded(keys)
        _give(op, hiding.bias, padding_bias(op, op.input(0).dtype, keys))
    elif not masked and not (causal and len(keys.pieces) == 1 and op.domain.at_most(queries.length, keys.length)):
        _give_mask(op, hiding.mask, keys)


def _align(op: Operation, index: int, keys: Axis, ranks: Sequence[int]) -> None:
    """Let what hides keys, ``[batch, …, queries, keys]`` or how many each row sees, lie as batch, queries and keys do.

    Raises:
        Refused: It is of another form.
    """
    hidden = op.input(index)
    if hidden.rank == 1 and 1 in ranks and keys.is_prefix:
        op.same_axis(0, 0, index, 0)
        return
    last = hidden.rank - 1
    if last < 1 or hidden.rank not in ranks or not op.domain.equal(hidden.known_axes[last].length, keys.length):
        raise Refused("what hides its keys is of a form that is not followed")
    if hidden.known_axes[last].normal != keys.normal:
        op.realign(index, last, keys)
    if hidden.known_axes[0].constant != 1:
        op.same_axis(0, 0, index, 0)
    if last > 1 and hidden.known_axes[last - 1].constant != 1:
        op.same_axis(0, 1, index, last - 1)


def padding_bias(op: Operation, dtype: int, keys: Axis) -> Tensor:
    """Return what hides padding where it is added to scores, ``[batch, 1, queries, keys]``."""
    query, emitter = op.input(0), op.emitter
    shape = Tensor("", dtype, (query.known_axes[0], grid(1), query.known_axes[1], keys))
    line = op.around.cleaner.valid(shape, [3], on=0.0, off=-math.inf)
    size, one = emitter.part_of_shape(query.name, 1, 2), emitter.numbers([1])
    return shape.named(emitter.once("Expand", [line, emitter.once("Concat", [one, one, size, one], axis=0)]))


def _give_mask(op: Operation, index: int, keys: Axis) -> None:
    """Give the operator a mask of whole numbers, ``[batch, keys]``."""
    batch = op.input(0).known_axes[0]
    if op.rows is None or not batch.has_factor(op.rows):
        op.around.cleaner.agree(keys.variables)
    name = op.emitter.size_input(SizeInput("", "valid", "int32", (batch.layout(), keys.layout())))
    op.newly_cleaned |= op.padded(keys)
    _give(op, index, Tensor(name, _INT32, (batch, keys), low=0.0, high=1.0))


def _give(op: Operation, index: int, tensor: Tensor) -> None:
    while len(op.node.input) <= index:
        op.node.input.append("")
        op.inputs.append(None)
    op.node.input[index] = tensor.name
    op.inputs[index] = tensor


_LENGTHS, _TOTAL, _ADDED = 5, 6, 10


@operator("GroupQueryAttention", domain=_OWN, sizes=(_TOTAL,))
def follow_group_query_attention(op: Operation) -> Sequence[Tensor]:
    """Follow causal attention that appends new keys to a past, right behind as many as each row is told to have.

    Of those, ``lengths + 1 - queries``, padding takes none: the lengths are told with as many more as there are more
    queries in the bucket. So present keys lie behind the exact past, where all valid queries see none of the padding.
    """
    query = op.input(0)
    if not op.attribute("causal", 1) or op.attribute("sliding_window_cache", 0) or op.has(16):
        raise Refused("it is not causal, or told of its cache in a way that is not followed")
    if query.rank != 3 or any(op.input(at).known_axes[2].variables for at in range(3) if op.has(at)):
        raise Refused("how wide it is follows the sizes of the request")
    if any(list(op.node.output)[3:]) or op.attribute("k_quant_type", "NONE") != "NONE":
        raise Refused("it gives its scores, or its cache is quantised")
    queries = op.mix(0, 1)
    op.mixes(queries)
    for at in (1, 2, 3, 4, _LENGTHS):
        if op.has(at):
            op.same_axis(0, 0, at, 0)
    for at in (1, 2):
        if op.has(at):
            op.same_axis(0, 1, at, 1)
    past = _past(op)
    if past is not None and queries.constant != 1:
        op.mixes(query.known_axes[0])  # Runtimes take several new positions behind a past of one row alone.
    keys = queries if past is None else grid(past.length + queries.length)
    if op.has(_ADDED) and op.padded(keys):
        raise Refused("what it adds to scores is counted from the start of its cache")
    if op.padded(keys):
        _tell_cache(op, queries, past)
    heads, own = (int(op.attribute(name)) for name in ("num_heads", "kv_num_heads"))
    width = int(query.known_axes[2].constant or 0) // (heads if op.has(1) else heads + 2 * own)
    found = [op.result([query.known_axes[0], queries, grid(heads * width)], query.dtype, finite=False)]
    present = [query.known_axes[0], grid(own), keys, grid(width)]
    return [*found, *(op.result(present, query.dtype, output=at, finite=False) for at in range(1, len(op.node.output)))]


def _past(op: Operation) -> Axis | None:
    """Return the axis of what was seen before, its padding numbers that can be multiplied with 0."""
    if not op.has(3):
        return None
    for at in (3, 4):
        op.mix(at, 2)
        if not op.input(at).finite:
            op.clean(at, [2], 0.0)
    return op.same_axis(3, 2, 4, 2)


def _tell_cache(op: Operation, queries: Axis, past: Axis | None) -> None:
    """Tell the lengths that put new keys behind the exact past, and how long the cache is in the bucket."""
    emitter, query, lengths = op.emitter, op.input(0), op.input(_LENGTHS)
    new = emitter.cast(emitter.part_of_shape(query.name, 1, 2), _INT32)
    one = emitter.constant(np.array([1], np.int32))
    if past is None:
        whole = new  # All is new: each row's own length says what it sees, and a bucket's size changes nothing.
    else:
        spec = SizeInput("", "value", "int32", expressions=(queries.length.expression(),))
        exact = op.around.cleaner.companion(lengths, [], spec, dtype=_INT32)
        more = emitter.once("Add", [lengths.name, emitter.once("Sub", [new, exact])])
        name = emitter.once("Max", [more, emitter.once("Sub", [new, one])])
        op.use(_LENGTHS, lengths.changed(name, fills={}, low=0.0, high=math.inf))
        old = emitter.cast(emitter.part_of_shape(op.input(3).name, 2, 3), _INT32)
        whole = emitter.once("Add", [old, new])
    total = op.inputs[_TOTAL]
    scalar = total is not None and total.axes == ()
    name = emitter.squeeze(whole, [0]) if scalar else whole
    op.newly_cleaned |= op.padded(queries) | (op.padded(past) if past is not None else frozenset())
    _give(op, _TOTAL, Tensor(name, _INT32, () if scalar else (grid(1),)))
