"""Quantisation, and products and convolutions of quantised numbers, whose zero is their zero point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_UINT8 = 2
_RANGES = {2: (0.0, 255.0), 3: (-128.0, 127.0), 4: (0.0, 65535.0), 5: (-32768.0, 32767.0)}


@operator("QuantizeLinear")
def follow_quantise(op: Operation) -> Tensor:
    """Follow QuantizeLinear: one scale, or one per position of an axis of fixed length."""
    tensor = op.input(0)
    _scales_are_fixed(op)
    dtype = op.input(2).dtype if op.has(2) else int(op.attribute("output_dtype", 0)) or _UINT8
    low, high = _RANGES.get(dtype, (-np.inf, np.inf))
    scale, zero = _uniform(op, 1), _uniform(op, 2) if op.has(2) else 0.0
    fills = {}
    if scale is not None and zero is not None and dtype in _RANGES:
        for axis, fill in tensor.fills.items():
            fills[axis] = float(np.clip(np.rint(np.float32(fill) / np.float32(scale)) + zero, low, high))
    return op.result(tensor.known_axes, dtype, fills=fills, low=low, high=high)


@operator("DequantizeLinear")
def follow_dequantise(op: Operation) -> Tensor:
    """Follow DequantizeLinear: one scale, or one per position of an axis of fixed length."""
    tensor = op.input(0)
    _scales_are_fixed(op)
    scale, zero = _uniform(op, 1), _uniform(op, 2) if op.has(2) else 0.0
    known: dict[str, Any] = {}
    if scale is not None and zero is not None and scale > 0:
        known["fills"] = {axis: (fill - zero) * scale for axis, fill in tensor.fills.items()}
        known["low"], known["high"] = (tensor.low - zero) * scale, (tensor.high - zero) * scale
    return op.result(tensor.known_axes, op.input(1).dtype, **known)


@operator("DynamicQuantizeLinear")
def follow_dynamic_quantise(op: Operation) -> Sequence[Tensor]:
    """Follow DynamicQuantizeLinear, whose scale follows all numbers and 0: padding must be 0."""
    for at, axis in enumerate(op.input(0).known_axes):
        if axis.variables:
            op.mixes(axis)
        if op.padded(axis):
            op.clean(0, [at], 0.0)
    tensor = op.input(0)
    return [
        op.result(tensor.known_axes, _UINT8, low=0.0, high=255.0),
        op.result([], tensor.dtype, output=1, low=0.0),
        op.result([], _UINT8, output=2, low=0.0, high=255.0),
    ]


def _scales_are_fixed(op: Operation) -> None:
    if op.attribute("block_size", 0) or any(t is not None and t.variables for t in op.inputs[1:]):
        raise Refused("its scales follow the sizes of the request")


def _uniform(op: Operation, index: int) -> float | None:
    tensor = op.inputs[index]
    return tensor.uniform if tensor is not None else None
