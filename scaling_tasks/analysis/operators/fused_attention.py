"""Attention of onnxruntime's optimiser and model builders: masks of numbers, packed projections, a past."""

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

_OWN = "com.microsoft"
_INT32 = 6


@dataclass(frozen=True)
class _Hiding:
    """The inputs by which keys are hidden.

    Attributes:
        mask: Whole numbers, ``[batch, keys]``, or how many keys of each row count.
        bias: What is added to scores, ``[batch or 1, heads or 1, queries, keys]``; None where there is no such input.
    """

    mask: int
    bias: int | None


@operator("Attention", domain=_OWN)
def follow_packed_attention(op: Operation) -> Sequence[Tensor]:
    """Follow self-attention with its own projections: ``[batch, positions, channels]``."""
    # Runtimes take a past or what is added to scores, not both.
    return _packed(op, _Hiding(3, None if op.has(4) else 5), past=4, dtype=op.input(0).dtype)


@operator("QAttention", domain=_OWN)
def follow_quantised_attention(op: Operation) -> Sequence[Tensor]:
    """Follow the same of quantised numbers, whose scales are inputs."""
    return _packed(op, _Hiding(5, None), past=8, dtype=op.input(3).dtype)


def _packed(op: Operation, hiding: _Hiding, *, past: int, dtype: int) -> list[Tensor]:
    tensor, weights = op.input(0), op.input(1)
    if weights.variables or tensor.known_axes[2].variables:
        raise Refused("how wide it is follows the sizes of the request")
    if op.attribute("past_present_share_buffer", 0):
        raise Refused("it writes into a cache in place")
    positions = keys = _own_keys(op, 0, 1)
    if op.has(past):
        op.mixes(op.input(past).known_axes[3])
        keys = join([op.input(past).known_axes[3], positions])
    _hide(op, hiding, positions, keys, [(0, 1)])
    tensor = op.input(0)
    sizes = op.attribute("qkv_hidden_sizes")
    width = int(sizes[2]) if sizes else int(weights.known_axes[1].constant or 0) // 3
    batch, heads = tensor.known_axes[0], int(op.attribute("num_heads"))
    finite = tensor.finite and not op.has(hiding.mask) and not (hiding.bias and op.has(hiding.bias))
    found = [op.result([batch, positions, grid(width)], dtype, finite=finite)]
    if len(op.node.output) > 1:
        present = [grid(2), batch, grid(heads), keys, grid(width // heads)]
        found.append(op.result(present, dtype, output=1, finite=False))
    return found


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
    keys = _own_keys(op, 1, place)
    _own_keys(op, 2, place)
    op.same_axis(1, place, 2, place)
    for at in (1, 2, 6, 7):
        if op.has(at):
            op.same_axis(0, 0, at, 0)
    if op.has(6):
        op.same_axis(6, 2, 7, 2)
        op.mixes(op.input(6).known_axes[2])
        keys = join([op.input(6).known_axes[2], keys])
    query = op.input(0)
    _hide(op, _Hiding(4, 5), query.known_axes[1], keys, [(1, place), (2, place), (6, 2), (7, 2)])
    heads, value = int(op.attribute("num_heads")), op.input(2)
    widths = [int(op.input(at).known_axes[-1].constant or 0) // (heads if ranks[1] == 3 else 1) for at in (1, 2)]
    axes = [query.known_axes[0], query.known_axes[1], grid(widths[1] * heads)]
    finite = all(op.input(at).finite for at in range(3)) and not op.has(4) and not op.has(5)
    found = [op.result(axes, query.dtype, finite=finite)]
    for at, width in enumerate(widths[: len(op.node.output) - 1], 1):
        present = [query.known_axes[0], grid(heads), keys, grid(width)]
        found.append(op.result(present, value.dtype, output=at, finite=False))
    return found


def _own_keys(op: Operation, index: int, place: int) -> Axis:
    """Return the axis of positions that are looked at, compact."""
    axis = op.input(index).known_axes[place]
    if axis.variables:
        op.mixes(axis)
        axis = op.compact(index, place).known_axes[place]
    return axis


def _hide(op: Operation, hiding: _Hiding, queries: Axis, keys: Axis, sources: Sequence[tuple[int, int]]) -> None:
    """Let no query see keys that are padding.

    Args:
        op: The operator.
        hiding: The inputs that hide keys.
        queries: The axis of queries.
        keys: The axis of keys, those of a past first.
        sources: Inputs and axes that hold keys or values.
    """
    causal = bool(op.attribute("unidirectional", 0))
    if causal:
        op.mixes(queries)
    if not op.padded(keys):
        return
    for index, axis in sources:
        if op.has(index) and not op.input(index).finite:
            op.clean(index, [axis], 0.0)
    if hiding.bias is not None and op.has(hiding.bias):
        _clean_bias(op, hiding.bias, queries, keys)
    elif op.has(hiding.mask):
        _clean_mask(op, hiding, queries, keys)
    elif not causal or len(keys.pieces) > 1 or not op.domain.at_most(queries.length, keys.length):
        _give_mask(op, hiding.mask, keys)


def _clean_bias(op: Operation, index: int, queries: Axis, keys: Axis) -> None:
    bias = op.input(index)
    if bias.rank != 4 or bias.known_axes[3].normal != keys.normal:
        if bias.rank != 4 or not op.domain.equal(bias.known_axes[3].length, keys.length):
            raise Refused("what it adds to scores is of a form that is not followed")
        op.realign(index, 3, keys)
    for at, axis in ((0, 0), (2, 1)):
        if bias.known_axes[at].constant != 1:
            op.same_axis(0, axis, index, at)
    op.clean(index, [3], -math.inf)


def _clean_mask(op: Operation, hiding: _Hiding, queries: Axis, keys: Axis) -> None:
    """Hide padding by what is added to scores where there is a mask: it may hide all keys, which weigh alike then."""
    mask = op.input(hiding.mask)
    if mask.rank == 1 and not mask.known_axes[0].constant:
        return  # How many count, per row: never more than are valid.
    if mask.rank != 2 or not op.domain.equal(mask.known_axes[1].length, keys.length):
        raise Refused("its mask is of a form that is not followed")
    if mask.known_axes[1].normal != keys.normal:
        op.realign(hiding.mask, 1, keys)
    op.same_axis(0, 0, hiding.mask, 0)
    if hiding.bias is None:
        op.clean(hiding.mask, [1], 0.0)
        return
    query, emitter = op.input(0), op.emitter
    shape = Tensor("", query.dtype, (query.known_axes[0], grid(1), grid(1), keys))
    line = op.around.cleaner.valid(shape, [3], on=0.0, off=-math.inf)
    size, one = emitter.part_of_shape(query.name, 1, 2), emitter.numbers([1])
    name = emitter.once("Expand", [line, emitter.once("Concat", [one, one, size, one], axis=0)])
    op.newly_cleaned |= op.padded(keys)
    _give(op, hiding.bias, shape.named(name))


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
    queries = _own_keys(op, 0, 1)
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
        _own_keys(op, at, 2)
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
        op.use(_LENGTHS, Tensor(name, _INT32, lengths.axes, low=0.0))
        old = emitter.cast(emitter.part_of_shape(op.input(3).name, 2, 3), _INT32)
        whole = emitter.once("Add", [old, new])
    total = op.inputs[_TOTAL]
    scalar = total is not None and total.axes == ()
    name = emitter.squeeze(whole, [0]) if scalar else whole
    op.newly_cleaned |= op.padded(queries) | (op.padded(past) if past is not None else frozenset())
    _give(op, _TOTAL, Tensor(name, _INT32, () if scalar else (grid(1),)))
