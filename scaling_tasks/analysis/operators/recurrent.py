"""Recurrent layers: forwards, nothing valid sees padding; last states and backward directions need true lengths."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

_INT32 = 6


@operator("LSTM", "GRU", "RNN")
def follow_recurrent(op: Operation) -> Sequence[Tensor]:
    """Follow a recurrent layer: ``[T, N, I]``, or ``[N, T, I]`` with ``layout`` 1."""
    tensor = op.input(0)
    time_at, batch_at = (1, 0) if op.attribute("layout", 0) else (0, 1)
    time = tensor.known_axes[time_at]
    backwards = op.attribute("direction", "forward") != "forward"
    states = any(list(op.node.output)[1:])
    told = False
    if time.variables:
        op.mixes(time)
        tensor = op.compact(0, time_at)
        time = tensor.known_axes[time_at]
    if op.padded(time) and not op.has(4) and (backwards or states):
        _tell_lengths(op, time, tensor.known_axes[batch_at])
        told = True
    hidden = grid(int(op.attribute("hidden_size") or (op.input(2).known_axes[-1].constant or 0)))
    directions = grid(2 if op.attribute("direction", "forward") == "bidirectional" else 1)
    batch = tensor.known_axes[batch_at]
    if op.attribute("layout", 0):
        axes, state = [batch, time, directions, hidden], [batch, directions, hidden]
    else:
        axes, state = [time, directions, batch, hidden], [directions, batch, hidden]
    fills = {axes.index(time): 0.0} if told else {}
    outputs = [op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite)]
    outputs += [op.result(state, tensor.dtype, output=at, finite=tensor.finite) for at in range(1, len(op.node.output))]
    return outputs


def _tell_lengths(op: Operation, time: Axis, batch: Axis) -> None:
    """Give the layer its input ``sequence_lens``, one per row."""
    emitter = op.emitter
    expression = time.length.expression()
    if op.rows is not None and batch.has_factor(op.rows):
        name = emitter.size_input(SizeInput("", "value", "int32", (batch.layout(),), (expression,)))
    else:
        op.around.cleaner.agree(time.variables)
        name = emitter.size_input(SizeInput("", "value", "int32", (batch.layout(),), (expression,)))
    while len(op.node.input) < 5:
        op.node.input.append("")
        op.inputs.append(None)
    op.node.input[4] = name
    op.inputs[4] = Tensor(name, _INT32, (grid(batch.length),), low=0.0)
    op.newly_cleaned |= op.padded(time)
