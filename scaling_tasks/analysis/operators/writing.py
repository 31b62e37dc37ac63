"""Operators that write positions by number: what belongs to padding is written to a place of its own and cut off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.gathering import alike, from_start, needs_numbers, own_rows, safe_numbers
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_BOOL = 9


@operator("ScatterND")
def follow_scatter_nd(op: Operation) -> Tensor:
    """Follow ScatterND: ``[…, depth]`` numbers, one row of updates for each."""
    rank, last = op.input(0).rank, op.input(1).rank - 1
    depth = op.input(1).known_axes[last].constant
    if depth is None:
        raise Refused("how many axes it writes along follows the sizes of the request")
    rows = own_rows(op, last)
    for at in range(last):
        if at != rows:
            op.mixes(op.input(1).known_axes[at])
        op.same_axis(1, at, 2, at)
    for at in range(depth, rank):
        op.same_axis(0, at, 2, last + at - depth)
    if rows is None:
        return _written(op, list(range(depth)), list(range(last)))
    numbered = any(op.input(at).counts_rows for at in (0, 2))
    found = _written(op, list(range(depth)), [at for at in range(last) if at != rows], alone=True)
    return replace(found, counts_rows=numbered)


@operator("ScatterElements", "Scatter")
def follow_scatter_elements(op: Operation) -> Tensor:
    """Follow ScatterElements: a number for each update, which goes along one axis."""
    place = op.axis(int(op.attribute("axis", 0)), op.input(0).rank)
    op.mixes(op.input(1).known_axes[place])
    alike(op, 0, 1, place)
    for at in range(op.input(1).rank):
        op.same_axis(1, at, 2, at)
    own, other = op.input(0).known_axes, op.input(1).known_axes
    return _written(op, [place], [at for at in range(len(own)) if at == place or own[at].normal != other[at].normal])


@operator("TensorScatter")
def follow_cache_update(op: Operation) -> Tensor:
    """Follow TensorScatter, which writes new positions one after another, from where each row is told."""
    cache, update = op.input(0), op.input(1)
    place = op.axis(int(op.attribute("axis", -2)), cache.rank)
    for index in (0, 1):
        op.mix(index, place)
    if op.padded(update.known_axes[place]):
        raise Refused("it would write padding over what its cache holds", "Fix how many new positions there are.")
    if op.padded(cache.known_axes[place]) and op.attribute("mode", "linear") == "circular":
        raise Refused("it goes on at the start behind the end of its cache, which lies elsewhere in a bucket")
    for at in range(cache.rank):
        if at != place:
            op.same_axis(0, at, 1, at)
    if op.has(2):
        op.same_axis(0, 0, 2, 0)
        op.clean(2, [0], 0.0)
    cache, update = op.input(0), op.input(1)
    finite = cache.finite and update.finite
    ends = min(cache.low, update.low), max(cache.high, update.high)
    return op.result(cache.known_axes, cache.dtype, finite=finite, low=ends[0], high=ends[1])


def _written(op: Operation, places: Sequence[int], loose: Sequence[int], *, alone: bool = False) -> Tensor:
    """Follow what is written along the axes ``places`` of the data.

    Args:
        op: The operator.
        places: Axes of the data that the numbers count along.
        loose: Axes of the numbers along which padding may write to valid positions.
        alone: Whether the first of the places tells rows, each of which writes into itself.
    """
    for at in places[int(alone) :]:
        op.mix(0, at)
    data = op.input(0)
    # A row's own number is never counted from the end.
    lengths = [as_length(0) if alone and not at else data.known_axes[at].length for at in places]
    padded = [at for at in loose if op.padded(op.input(1).known_axes[at])]
    known = op.input(1).is_constant
    if known:
        needs_numbers(op, 1, lengths)
    else:
        safe_numbers(op, 1, lengths, clamp=False)
    if op.input(1).low < 0 and (known or padded):
        from_start(op, 1, lengths)
    output = op.node.output[0]
    if padded:
        _apart(op, places[min(int(alone), len(places) - 1)], padded)
    updates, replaced = op.input(2), op.attribute("reduction", "none") == "none"
    low, high = (min(data.low, updates.low), max(data.high, updates.high)) if replaced else (-math.inf, math.inf)
    finite = data.finite and updates.finite and replaced
    fills = {at: data.fills.get(at) for at in places}
    return op.result(data.known_axes, data.dtype, fills=fills, finite=finite, low=low, high=high).named(output)


def _apart(op: Operation, place: int, padded: Sequence[int]) -> None:
    """Put one position before the first, let padding write there, and cut it off."""
    emitter, indices = op.emitter, op.input(1)
    if op.opset < 11:
        raise Refused("numbers that belong to padding may write to valid positions")
    for at in padded:
        op.newly_cleaned |= op.padded(indices.known_axes[at])
    kind = np.int64 if indices.dtype == 7 else np.int32
    shift = np.array(1, kind)
    if op.kind == "ScatterND":
        shift = np.zeros(indices.known_axes[-1].constant or 1, kind)
        shift[place] = 1
    moved = emitter.node("Add", [indices.name, emitter.constant(shift)])
    mask = op.around.cleaner.valid(indices, padded, dtype=_BOOL)
    name = emitter.node("Where", [mask, moved, emitter.constant(np.array(0, kind))], kind="apart")
    op.use(1, indices.changed(name=name, fills={}))
    data = op.input(0)
    op.node.input[0] = op.around.cleaner.extended(data, place, as_length(1), [1], 1, 0.0).name
    raw, output = emitter.fresh("written"), op.node.output[0]
    op.node.output[0] = raw
    emitter.nodes.append(op.node)
    bounds = [emitter.numbers([number]) for number in (1, np.iinfo(np.int64).max, place)]
    emitter.into(output, "Slice", [raw, *bounds])
    op.replaced = True
