"""Floating-point operations of single operators, from the dimensions of their inputs and outputs.

A multiplication and an addition count as two. Convolutions, matrix products, attention and recurrent layers are exact;
elementwise operators count one per element of their output, reductions and pooling one per element read, softmax and
normalisations a few per element; operators that only move data count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_operations", "is_multiply_add"]

# Dimensions of one tensor at n shapes: one float64 [n] or number per axis.
Dims = Sequence["NDArray[np.float64] | float"]
Amount = "NDArray[np.float64] | float"
_Counter = Callable[[Sequence[Dims], Sequence[Dims], Mapping[str, Any]], Any]

# fmt: off
_MOVES = frozenset((
    "Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "Dropout", "Expand", "Flatten",
    "Gather", "GatherElements", "GatherND", "Identity", "Pad", "Range", "Reshape", "ReverseSequence", "Shape", "Size",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where",
))
# fmt: on
_PER_ELEMENT = {"Softmax": 5, "LogSoftmax": 6, "BatchNormalization": 2, "LayerNormalization": 8, "Gelu": 8}
_PER_ELEMENT.update({"InstanceNormalization": 8, "GroupNormalization": 8, "HardSigmoid": 4, "HardSwish": 5, "Clip": 2})
_PER_ELEMENT.update({"Sigmoid": 4, "Tanh": 5, "Erf": 6, "Resize": 4, "Upsample": 4, "SimplifiedLayerNormalization": 5})


def _volume(dims: Dims) -> Any:
    return math.prod(dims) if dims else 1.0


def _convolution(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    # Weights are [out, in / groups, kernel…]: every output element takes in/groups x kernel products.
    bias = 1 if len(inputs) > 2 else 0
    return _volume(outputs[0]) * (2 * _volume(inputs[1][1:]) + bias)


def _transposed(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    # Weights are [in, out / groups, kernel…]: every input element is spread over out/groups x kernel products.
    bias = _volume(outputs[0]) if len(inputs) > 2 else 0
    return 2 * _volume(inputs[0]) * _volume(inputs[1][1:]) + bias


def _matrix_product(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    return 2 * _volume(outputs[0]) * inputs[0][-1]


def _general_product(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    inner = inputs[0][0] if attributes.get("transA") else inputs[0][-1]
    return _volume(outputs[0]) * (2 * inner + (1 if len(inputs) > 2 else 0))


def _attention(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    """Count ONNX ``Attention``: scores, softmax and weighted values; 4-D inputs carry heads, 3-D ones join them."""
    query, key, value = inputs[0], inputs[1], inputs[2]
    heads = query[1] if len(query) == 4 else attributes.get("q_num_heads", 1)
    depth = _volume([query[0], query[-2], query[-1]]) * (heads if len(query) == 4 else 1)
    scores = 2 * depth * key[-2]
    softmax = 5 * query[0] * heads * query[-2] * key[-2]
    rows = value[-1] if len(value) == 4 else value[-1] / attributes.get("kv_num_heads", heads)
    return scores + softmax + 2 * query[0] * heads * query[-2] * key[-2] * rows


def _recurrent(gates: int) -> _Counter:
    def count(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
        # X [length, batch, in], W [directions, gates·hidden, in], R [directions, gates·hidden, hidden].
        directions, hidden = inputs[1][0], inputs[2][-1]
        steps = inputs[0][0] * inputs[0][1] * directions
        return steps * (2 * gates * hidden * (inputs[0][2] + hidden) + 10 * hidden)

    return count


def _pooling(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    return _volume(outputs[0]) * math.prod(attributes.get("kernel_shape", [1]))


def _reading(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]) -> Any:
    return _volume(inputs[0])


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
_COUNTERS: Mapping[str, _Counter] = {
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": lambda i, o, a: _convolution([i[0], i[3]], o, a),
    "ConvTranspose": _transposed,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "QLinearMatMul": _matrix_product,
    "Gemm": _general_product,
    "Attention": _attention,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
    "AveragePool": _pooling,
    "MaxPool": _pooling,
    "LpPool": _pooling,
    "GlobalAveragePool": _reading,
    "GlobalMaxPool": _reading,
    "ArgMax": _reading,
    "ArgMin": _reading,
    "TopK": _reading,
    **{f"Reduce{name}": _reading for name in _REDUCTIONS},
}
# fmt: off
_MULTIPLY_ADD = frozenset((
    "Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul",
))
# fmt: on


def is_multiply_add(operator: str) -> bool:
    """Return whether the operator is a convolution or matrix product."""
    return operator in _MULTIPLY_ADD


def count_operations(
    operator: str, inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Mapping[str, Any]
) -> Any:
    """Return the operations of one node at n shapes, float64 [n] or a number.

    Args:
        operator: Its ONNX name; an unknown one counts one operation per output element.
        inputs: Dimensions of each input, in order.
        outputs: Dimensions of each output, in order.
        attributes: The node's attributes.
    """
    if operator in _MOVES:
        return 0.0
    counter = _COUNTERS.get(operator)
    if counter is not None:
        return counter(inputs, outputs, attributes)
    return _volume(outputs[0]) * _PER_ELEMENT.get(operator, 1)
