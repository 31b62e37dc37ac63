"""Softmax and its kin: padding must weigh nothing."""

from __future__ import annotations

import math

from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.analysis.triangles import sees_no_padding


@operator("Softmax", "LogSoftmax", "Hardmax")
def follow_softmax(op: Operation) -> Tensor:
    """Follow Softmax; before version 13 it goes over all axes from the given one on."""
    tensor = op.input(0)
    finite = tensor.finite
    axis = op.axis(int(op.attribute("axis", -1 if op.opset >= 13 else 1)), tensor.rank)
    axes = [axis] if op.opset >= 13 else list(range(axis, tensor.rank))
    for at in axes:
        if tensor.known_axes[at].variables:
            op.mixes(tensor.known_axes[at])
    over = [at for at in axes if op.padded(tensor.known_axes[at])]
    if op.kind == "Softmax" and len(axes) == 1 and over and sees_no_padding(op, 0, axis):
        return op.result(tensor.known_axes, tensor.dtype, low=0.0, high=1.0)
    # What a model adds to scores that do not count is no minus infinity: a row of such scores alone still weighs them.
    tensor = op.clean(0, over, -math.inf)
    # Where there is nothing to choose among, the whole row is no number.
    finite = finite and all(op.domain.at_most(as_length(1), tensor.known_axes[at].length) for at in over)
    if op.kind == "LogSoftmax":
        return op.result(tensor.known_axes, tensor.dtype, finite=False, high=0.0)
    fills = dict.fromkeys(over, 0.0)
    # Padding of other axes holds a distribution over something; it is finite unless all scores are minus infinity.
    return op.result(tensor.known_axes, tensor.dtype, fills=fills, finite=finite, low=0.0, high=1.0)
