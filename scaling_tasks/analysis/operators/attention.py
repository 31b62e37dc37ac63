"""Attention as one operator: keys that are padding must weigh nothing, by the operator's own mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scaling_tasks.analysis.axes import Axis, grid, join
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_BOOL = 9
_MASK, _PAST_KEY, _PAST_VALUE, _TOLD_LENGTHS = 3, 4, 5, 6
_WINDOW = ("left_window_size", "right_window_size")


@dataclass(frozen=True)
class _Form:
    """Where the axes lie: ``[batch, heads, positions, width]``, or heads and width together in the last one."""

    positions: int
    query_heads: int
    key_heads: int
    value_width: Axis


@operator("Attention")
def follow_attention(op: Operation) -> Sequence[Tensor]:
    """Follow the Attention of version 23: queries, keys, values, a mask that is added or selects, and a past."""
    form = _form(op)
    keys = _laid_alike(op, form)
    sees_none = _sees_none(op, form, keys)
    if op.has(_MASK):
        _align_mask(op, keys, form)
    query = op.input(0)
    if op.padded(keys):
        for index in (1, 2, _PAST_KEY, _PAST_VALUE):
            if op.has(index) and not op.input(index).finite:
                op.clean(index, [2 if index >= _PAST_KEY else form.positions], 0.0)
        if not sees_none:
            _mask(op, query, keys, form)
    return _outputs(op, query, keys, form)


def _laid_alike(op: Operation, form: _Form) -> Axis:
    """Let all inputs have the same batch, and keys, values, past and mask the same positions; return those of keys."""
    for index in (1, 2):
        op.mix(index, form.positions)
    op.same_axis(1, form.positions, 2, form.positions)
    for index in (1, 2, _PAST_KEY, _PAST_VALUE, _TOLD_LENGTHS):
        if op.has(index):
            op.same_axis(0, 0, index, 0)
    keys = op.input(1).known_axes[form.positions]
    if op.has(_PAST_KEY):
        op.same_axis(_PAST_KEY, 2, _PAST_VALUE, 2)
        keys = join([op.input(_PAST_KEY).known_axes[2], keys])
    return keys


def _sees_none(op: Operation, form: _Form, keys: Axis) -> bool:
    """Return whether no query sees keys that are padding, by what the operator itself hides.

    Raises:
        Refused: What it hides is counted from an end that lies elsewhere in a bucket.
    """
    causal = bool(op.attribute("is_causal", 0))
    windowed = any(int(op.attribute(name, -1)) >= 0 for name in _WINDOW)
    queries = op.mix(0, form.positions) if causal or windowed else op.input(0).known_axes[form.positions]
    if op.has(_TOLD_LENGTHS):
        if (causal or windowed) and op.padded(queries):
            raise Refused("it counts its queries from the last key that it is told to count")
        return True
    if op.has(_PAST_KEY):
        # With a past, padding lies between its keys and the new ones.
        if windowed and op.padded(op.input(_PAST_KEY).known_axes[2]):
            raise Refused("it sees a window of keys, of which padding in its past takes a part")
        new = op.input(1).known_axes[form.positions]
        if causal and not op.domain.equal(queries.length, new.length) and (op.padded(queries) or op.padded(keys)):
            raise Refused("behind a past its last query sees its last key, and both lie elsewhere in a bucket")
        return False
    # A causal query sees nothing after its own position.
    return causal and not op.has(_MASK) and op.domain.at_most(queries.length, keys.length)


def _form(op: Operation) -> _Form:
    query, key, value = (op.input(at) for at in range(3))
    fixed = [(query, -1), (key, -1)]
    fixed += [(each, 1) for each in (query, key, value)] if query.rank == 4 else [(value, -1)]
    if any(tensor.known_axes[axis].constant is None for tensor, axis in fixed):
        raise Refused("how many heads it has, or how wide they are, follows the sizes of the request")
    if query.rank == 4:
        heads = [int(each.known_axes[1].constant or 0) for each in (query, key)]
        return _Form(2, heads[0], heads[1], value.known_axes[3])
    heads = [int(op.attribute(name)) for name in ("q_num_heads", "kv_num_heads")]
    return _Form(1, heads[0], heads[1], grid(int(value.known_axes[2].constant or 0) // heads[1]))


def _align_mask(op: Operation, keys: Axis, form: _Form) -> None:
    """Let the positions of a mask lie as those of queries and keys."""
    mask = op.input(_MASK)
    last = mask.rank - 1
    if mask.known_axes[last].normal != keys.normal:
        if mask.known_axes[last].constant is not None or not op.domain.equal(mask.known_axes[last].length, keys.length):
            raise Refused(f"its mask has {mask.known_axes[last]} positions, its keys {keys}")
        op.realign(_MASK, last, keys)
    for before, axis in ((1, form.positions), (3, 0)):
        if mask.rank > before and mask.known_axes[last - before].constant != 1:
            op.same_axis(0, axis, _MASK, last - before)


def _mask(op: Operation, query: Tensor, keys: Axis, form: _Form) -> None:
    """Give the operator a mask, or clean the one that it has."""
    if op.has(_MASK):
        mask = op.input(_MASK)
        op.clean(_MASK, [mask.rank - 1], 0.0 if mask.dtype == _BOOL else -math.inf)
        return
    shape = Tensor("", query.dtype, (query.known_axes[0], grid(1), grid(1), keys))
    name = op.around.cleaner.valid(shape, [3], on=0.0, off=-math.inf)
    queries = query.known_axes[form.positions]
    if queries.constant != 1:
        # Some runtimes want as many lines as there are queries.
        name = _lines(op, name, query, form)
    op.newly_cleaned |= op.padded(keys)
    while len(op.node.input) <= _MASK:
        op.node.input.append("")
        op.inputs.append(None)
    op.node.input[_MASK] = name
    op.inputs[_MASK] = shape.named(name)


def _lines(op: Operation, mask: str, query: Tensor, form: _Form) -> str:
    """Repeat a mask's one line for every query."""
    emitter = op.emitter
    size = emitter.once("Shape", [query.name], start=form.positions, end=form.positions + 1)
    one = emitter.numbers([1])
    return emitter.once("Expand", [mask, emitter.once("Concat", [one, one, size, one], axis=0)])


def _outputs(op: Operation, query: Tensor, keys: Axis, form: _Form) -> list[Tensor]:
    batch, queries = query.known_axes[0], query.known_axes[form.positions]
    if query.rank == 4:
        axes = [batch, query.known_axes[1], queries, form.value_width]
    else:
        axes = [batch, queries, grid(int(form.value_width.constant or 0) * form.query_heads)]
    finite = all(op.input(at).finite for at in (0, 1, 2)) and not op.has(_MASK)
    found = [op.result(axes, query.dtype, finite=finite)]
    widths = {
        1: op.input(1).known_axes[-1] if query.rank == 4 else _width(op, form),
        2: form.value_width,
    }
    heads = grid(form.key_heads)
    for at, past in ((1, _PAST_KEY), (2, _PAST_VALUE)):
        if at < len(op.node.output):
            source = op.input(at)
            known = source.finite and (not op.has(past) or op.input(past).finite)
            found.append(op.result([batch, heads, keys, widths[at]], source.dtype, output=at, finite=known))
    if len(op.node.output) > 3:
        scores = [batch, grid(form.query_heads), queries, keys]
        found.append(op.result(scores, query.dtype, output=3, finite=False))
    return found


def _width(op: Operation, form: _Form) -> Axis:
    return grid(int(op.input(1).known_axes[2].constant or 0) // form.key_heads)
