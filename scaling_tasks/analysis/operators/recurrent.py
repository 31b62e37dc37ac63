"""Recurrent layers: forwards, nothing valid sees padding; backwards and last states need to know where a row ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import as_length, smaller
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor, constant_tensor
from scaling_tasks.shapes.size_inputs import SizeInput

_FLOAT, _INT32 = 1, 6
_LENGTHS, _STATES, _PEEPHOLES = 4, (5, 6), 7
_SHUT = 1e4
_BOUNDED = ("sigmoid", "tanh", "hardsigmoid", "softsign", "scaledtanh")
_SENSE = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Per direction of a layer whether it goes backwards."""


@operator("LSTM", "GRU", "RNN")
def follow_recurrent(op: Operation) -> Sequence[Tensor]:
    """Follow a recurrent layer: ``[T, N, I]``, or ``[N, T, I]`` with ``layout`` 1."""
    tensor = op.input(0)
    time_at, batch_at = (1, 0) if op.attribute("layout", 0) else (0, 1)
    if tensor.known_axes[2].variables or any(op.input(at).variables for at in (1, 2)):
        raise Refused("how wide it is follows the sizes of the request")
    sense = _SENSE[str(op.attribute("direction", "forward"))]
    time = op.mix(0, time_at)
    tensor = op.input(0)
    batch = tensor.known_axes[batch_at]
    hidden = grid(int(op.attribute("hidden_size") or (op.input(2).known_axes[-1].constant or 0)))
    for at, place in ((_LENGTHS, 0), *((state, 1 - time_at) for state in _STATES)):
        if op.has(at):
            op.same_axis(0, batch_at, at, place)
    if op.has(_LENGTHS):
        op.clean(_LENGTHS, [0], 0.0)  # What belongs to no row may be no length at all.
    told = False
    if op.padded(time) and not op.has(_LENGTHS) and (any(sense) or any(list(op.node.output)[1:])):
        told = not _can_be_turned(op)
        if told:
            _tell_lengths(op, time, batch)
        else:
            _turn(op, sense, (time, grid(1), batch, hidden))
    directions = grid(len(sense))
    if op.attribute("layout", 0):
        axes, state = [batch, time, directions, hidden], [batch, directions, hidden]
    else:
        axes, state = [time, directions, batch, hidden], [directions, batch, hidden]
    fills = {axes.index(time): 0.0} if told else {}
    finite = tensor.finite and (op.has(_LENGTHS) or not op.padded(time) or _is_bounded(op))
    outputs = [op.result(axes, tensor.dtype, fills=fills, finite=finite)]
    outputs += [op.result(state, tensor.dtype, output=at, finite=finite) for at in range(1, len(op.node.output))]
    return outputs


def _is_bounded(op: Operation) -> bool:
    """Return whether states stay finite however long padding is: others may grow from turn to turn."""
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in op.attribute("activations") or ()]
    return all(name.lower() in _BOUNDED for name in names)


@operator("DynamicQuantizeLSTM", domain="com.microsoft")
def follow_quantised_recurrent(op: Operation) -> Tensor | Sequence[Tensor]:
    """Follow an LSTM that quantises its sequence as a whole, and its states at each step those of all rows together.

    Zeros are within every range, so that zeros beyond the end change no scale; states of rows that are padding do.
    """
    batch = op.input(0).known_axes[1]
    op.mixes(batch)
    if op.padded(batch):
        raise Refused("it quantises the states of all rows together, those of padding too")
    if op.padded(op.input(0).known_axes[0]):
        op.compact(0, 0)
        op.clean(0, [0], 0.0)
    return follow_recurrent(op)


def _can_be_turned(op: Operation) -> bool:
    """Return whether the layer can be written without telling it lengths, for which compilers lack a fast form."""
    own = op.attribute("activation_alpha") or op.attribute("activation_beta") or op.node.domain
    if own or not _is_bounded(op) or op.attribute("layout", 0) or op.opset < 10:
        return False
    return not _has_cells(op) or _can_be_held(op)


def _has_cells(op: Operation) -> bool:
    """Return whether the last cell state is an output."""
    return op.kind.endswith("LSTM") and len(op.node.output) > 2 and bool(op.node.output[2])


def _can_be_held(op: Operation) -> bool:
    """Return whether gates can be shut and opened by a number that is added: the plain layer of modest weights."""
    changed = ("activations", "clip", "input_forget")
    if op.input(0).dtype != _FLOAT or any(op.attribute(name) for name in changed) or op.has(_PEEPHOLES):
        return False
    known = [np.abs(value).sum() for at in (1, 2, 3) if op.has(at) and (value := op.value_of(at)) is not None]
    return len(known) == sum(op.has(at) for at in (1, 2, 3)) and max(known) < _SHUT / 4


def _hold_cells(op: Operation) -> None:
    """Let nothing change cells in the padding: one more input, 1 there, shuts the input's gate and opens the memory's.

    A sigmoid of minus or plus ten thousand is 0 or 1 to the last bit in any precision.
    """
    emitter, x, weights = op.emitter, op.clean(0, [0], 0.0), op.value_of(1)
    assert weights is not None
    column = np.zeros((*weights.shape[:2], 1), weights.dtype)
    size = weights.shape[1] // 4
    column[:, :size], column[:, 2 * size : 3 * size] = -_SHUT, _SHUT  # Gates come as input, output, forget, cell.
    shape = emitter.once("Concat", [emitter.part_of_shape(x.name, 0, 2), emitter.numbers([1])], axis=0)
    beyond = emitter.once("Expand", [op.around.cleaner.valid(x, [0], on=0.0, off=1.0), shape])
    name = emitter.node("Concat", [x.name, beyond], axis=2, kind="held")
    op.use(0, x.changed(name, axes=(*x.known_axes[:2], grid(x.known_axes[2].length + 1)), fills={}))
    wider = np.concatenate([weights, column], axis=2)
    op.use(1, constant_tensor(emitter.constant(wider), _FLOAT, wider))


def _turn(op: Operation, sense: Sequence[bool], axes: tuple[Axis, ...]) -> None:
    """Write every direction as a forward layer: a backward one reads each row's valid part from its end.

    Args:
        op: The layer.
        sense: Per direction whether it goes backwards.
        axes: Of one direction's output, ``[T, 1, N, H]``.
    """
    emitter, time, batch = op.emitter, axes[0], axes[2]
    op.newly_cleaned |= op.padded(time)
    if not op.input(0).finite:
        op.clean(0, [0], 0.0)
    if _has_cells(op):
        _hold_cells(op)
    lengths = _lengths(op, time, batch, "int64") if any(sense) else ""
    sequences, states, cells = [], [], []
    for at, backwards in enumerate(sense):
        x = op.input(0).name
        x = _reversed(op, x, lengths) if backwards else x
        y, cell = _layer(op, _parts(op, x, at, len(sense)), _attributes(op, at, len(sense)))
        cells.append(cell)
        if backwards:
            y = emitter.unsqueeze(_reversed(op, emitter.squeeze(y, [1]), lengths), [1])
        sequences.append(y)
        if any(list(op.node.output)[1:]):
            states.append(_state(op, y, axes, backwards=backwards))
    for at, (parts, axis) in enumerate(((sequences, 1), (states, 0), (cells, 0))):
        if at < len(op.node.output) and op.node.output[at]:
            whole = ("Identity", {}) if len(parts) == 1 else ("Concat", {"axis": axis})
            emitter.into(op.node.output[at], whole[0], parts, **whole[1])
    op.replaced = True


def _layer(op: Operation, parts: Sequence[str], attributes: dict[str, Any]) -> tuple[str, str]:
    """Add a layer; return its sequence, and its last cells where these are wanted."""
    from onnx import helper

    if not _has_cells(op):
        return op.emitter.node(op.kind, parts, kind="layer", **attributes), ""
    # Some compilers do not take an output without a name between others.
    sequence, state, cells = (op.emitter.fresh(kind) for kind in ("layer", "state", "cells"))
    node = helper.make_node(op.kind, list(parts), [sequence, state, cells], name=sequence, **attributes)
    op.emitter.nodes.append(node)
    return sequence, cells


def _reversed(op: Operation, name: str, lengths: str) -> str:
    return op.emitter.once("ReverseSequence", [name, lengths], time_axis=0, batch_axis=1)


def _parts(op: Operation, x: str, at: int, count: int) -> list[str]:
    """Return the inputs of one direction."""
    parts = [x]
    for index in range(1, len(op.inputs)):
        tensor = op.inputs[index]
        if tensor is None or count == 1:
            parts.append(op.node.input[index] if tensor is not None else "")
        elif (value := op.value_of(index)) is not None:
            parts.append(op.emitter.constant(np.ascontiguousarray(value[at : at + 1])))
        else:
            number = op.emitter.numbers([at])
            parts.append(op.emitter.once("Gather", [tensor.name, number], axis=0))
    while not parts[-1]:
        parts.pop()
    return parts


def _attributes(op: Operation, at: int, count: int) -> dict[str, Any]:
    """Return the attributes of one direction, which goes forwards."""
    from onnx import helper

    found = {each.name: helper.get_attribute_value(each) for each in op.node.attribute}
    found.pop("direction", None)
    if "activations" in found:
        each = len(found["activations"]) // count
        found["activations"] = found["activations"][at * each : (at + 1) * each]
    return found


def _state(op: Operation, sequence: str, axes: tuple[Axis, ...], *, backwards: bool) -> str:
    """Return the last state of one direction, ``[1, N, H]``."""
    emitter, length, one = op.emitter, axes[0].length, as_length(1)
    if backwards and op.domain.at_most(one, length):
        return emitter.node("Gather", [sequence, emitter.constant(np.array(0, np.int64))], axis=0)
    # The last state of nothing is zero.
    last = smaller(length, one) if backwards else length
    known = Tensor(sequence, op.input(0).dtype, axes)
    return op.around.cleaner.position(known, 0, last - 1, keep=False)


def _lengths(op: Operation, time: Axis, batch: Axis, dtype: str) -> str:
    """Return how long each row of the batch is."""
    if op.rows is None or not batch.has_factor(op.rows):
        op.around.cleaner.agree(time.variables)
    return op.emitter.size_input(SizeInput("", "value", dtype, (batch.layout(),), (time.length.expression(),)))


def _tell_lengths(op: Operation, time: Axis, batch: Axis) -> None:
    """Give the layer its input ``sequence_lens``, one per row."""
    name = _lengths(op, time, batch, "int32")
    while len(op.node.input) <= _LENGTHS:
        op.node.input.append("")
        op.inputs.append(None)
    op.node.input[_LENGTHS] = name
    op.inputs[_LENGTHS] = Tensor(name, _INT32, (grid(batch.length),), low=0.0)
    op.newly_cleaned |= op.padded(time)
