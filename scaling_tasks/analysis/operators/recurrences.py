"""Recurrences of one operator, as layers between attention and state spaces have them: causal, with a last state."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_OWN = "com.microsoft"
_PAST = 3
_TOLD = (1, 2, 4, 5)
"""Keys, values, how much of the state is forgotten, as a logarithm, and how much is learnt."""
_PLAIN = {
    "state_window": 0,
    "state_length": 0,
    "state_update_capacity": 0,
    "channels_last": 0,
    "input_channels": 0,
    "input_channel_offset": 0,
    "ndim": 1,
    "dilation": 1,
}


def _is_plain(op: Operation) -> None:
    for name, value in _PLAIN.items():
        if op.attribute(name, value) != value:
            raise Refused(f"its {name} is not followed")


@operator("LinearAttention")
@operator("LinearAttention", domain=_OWN)
def follow_linear_attention(op: Operation) -> Sequence[Tensor]:
    """Follow LinearAttention, ``[batch, positions, channels]``: zeros behind the end leave the last state as it is."""
    _is_plain(op)
    positions = op.mix(0, 1)
    for index in (*_TOLD, _PAST):
        if op.has(index):
            op.same_axis(0, 0, index, 0)
    for index in _TOLD:
        if op.has(index):
            op.same_axis(0, 1, index, 1)
            if op.padded(positions):
                op.clean(index, [1], 0.0)
    widths = [op.input(at).known_axes[2].constant for at in range(3)]
    if any(width is None for width in widths):
        raise Refused("how wide it is follows the sizes of the request")
    queries, keys = (int(op.attribute(name)) for name in ("q_num_heads", "kv_num_heads"))
    each = [int(width or 0) // keys for width in widths[1:]]
    query = op.input(0)
    finite = all(tensor.finite for tensor in op.inputs if tensor is not None) and not op.has(4)
    found = [op.result([*query.known_axes[:2], grid(queries * each[1])], query.dtype, finite=finite)]
    if len(op.node.output) > 1:
        state = [query.known_axes[0], grid(keys), *map(grid, each)]
        dtype = op.input(_PAST).dtype if op.has(_PAST) else query.dtype
        found.append(op.result(state, dtype, output=1, finite=finite))
    return found


@operator("CausalConvWithState")
@operator("CausalConvWithState", domain=_OWN)
def follow_causal_convolution(op: Operation) -> Sequence[Tensor]:
    """Follow a convolution over what comes before, ``[batch, channels, positions]``, which hands on the last ones."""
    _is_plain(op)
    if any(list(op.node.output)[2:]) or op.input(1).variables:
        raise Refused("its kernel follows the sizes of the request, or it gives what its state was updated by")
    positions = op.mix(0, 2)
    if op.has(_PAST):
        op.same_axis(0, 0, _PAST, 0)
    tensor, before = op.input(0), int(op.input(1).known_axes[-1].constant or 1) - 1
    found = [op.result(tensor.known_axes, tensor.dtype, finite=tensor.finite)]
    if len(op.node.output) > 1 and op.node.output[1]:
        state = [*tensor.known_axes[:2], grid(before)]
        found.append(op.result(state, tensor.dtype, output=1, finite=tensor.finite))
        if op.padded(positions):
            _hand_on(op, before)
    return found


def _hand_on(op: Operation, before: int) -> None:
    """Read the last positions where they truly are."""
    tensor, cleaner, output = op.input(0), op.around.cleaner, op.node.output[1]
    length = tensor.known_axes[2].length
    op.newly_cleaned |= op.padded(tensor.known_axes[2])
    if op.has(_PAST):
        name = op.emitter.node("Concat", [op.input(_PAST).name, tensor.name], axis=2)
        whole = tensor.changed(name=name, axes=(*tensor.known_axes[:2], grid(length + before)), fills={})
    else:
        whole = cleaner.extended(tensor, 2, as_length(before), [before], before, 0.0)
    taken = cleaner.gather(whole, 2, grid(before), length, 1, "step")
    op.node.output[1] = op.emitter.fresh("state")
    op.emitter.into(output, "Identity", [taken.name])
