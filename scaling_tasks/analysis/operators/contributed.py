"""Operators of onnxruntime's own domain that optimised exports contain."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.axes import Axis
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.convolution import follow_conv
from scaling_tasks.analysis.operators.elementwise import broadcast
from scaling_tasks.analysis.operators.gathering import safe_numbers
from scaling_tasks.analysis.operators.normalisation import follow_layer_normalisation
from scaling_tasks.analysis.operators.products import contract
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_OWN = "com.microsoft"
_INT32 = 6

operator("FusedConv", domain=_OWN)(follow_conv)
operator("SimplifiedLayerNormalization", domain=_OWN)(follow_layer_normalisation)
operator("SimplifiedLayerNormalization")(follow_layer_normalisation)
operator("LayerNormalization", domain=_OWN)(follow_layer_normalisation)


@operator("Gelu", "FastGelu", "BiasGelu", "QuickGelu", domain=_OWN)
def follow_activation(op: Operation) -> Tensor:
    """Follow an activation, some with a bias along the last axis."""
    axes = broadcast(op)
    tensor = op.input(0)
    fills = {} if op.has(1) else {axis: 0.0 for axis, fill in tensor.fills.items() if fill == 0}
    finite = all(each.finite for each in op.inputs if each is not None)
    return op.result(axes, tensor.dtype, fills=fills, finite=finite)


@operator("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=_OWN)
def follow_skip_normalisation(op: Operation) -> Sequence[Tensor]:
    """Follow the normalisation of a sum over channels."""
    axes = broadcast(op, [0, 1])
    if op.padded(axes[-1]):
        raise Refused("it normalises over an axis that follows the sizes")
    finite = op.input(0).finite and op.input(1).finite
    return [op.result(axes, op.input(0).dtype, output=at, finite=finite) for at in range(len(op.node.output))]


@operator("FusedMatMul", domain=_OWN)
def follow_fused_product(op: Operation) -> Tensor:
    """Follow a matrix product with either side transposed: ``alpha·A'·B'``."""
    if op.attribute("transBatchA", 0) or op.attribute("transBatchB", 0):
        raise Refused("it exchanges batch and rows of a matrix")
    left, right = op.input(0), op.input(1)
    if min(left.rank, right.rank) < 2:
        raise Refused("one side is a vector")
    turned = [bool(op.attribute("transA", 0)), bool(op.attribute("transB", 0))]
    contract(op, left.rank - (2 if turned[0] else 1), right.rank - (1 if turned[1] else 2))
    lead = broadcast(op, skip=2) if min(left.rank, right.rank) > 2 else []
    left, right = op.input(0), op.input(1)
    lead = lead or list(max(left, right, key=lambda tensor: tensor.rank).known_axes[:-2])
    axes = [*lead, left.known_axes[-1 if turned[0] else -2], right.known_axes[-2 if turned[1] else -1]]
    return op.result(axes, left.dtype, finite=left.finite and right.finite)


@operator("EmbedLayerNormalization", domain=_OWN)
def follow_embedding(op: Operation) -> Sequence[Tensor]:
    """Follow the sum of embeddings of ids, which are 0 in padding, positions counted from the start.

    Its second output tells how many positions the mask of each row shows, and is 0 without a mask.
    """
    words = op.input(2)
    op.mix(0, 1)
    for index, table in ((0, 2), (1, 4), (8, 3)):
        if op.has(index):
            op.same_axis(0, 1, index, 1) if index else None
            safe_numbers(op, index, [op.input(table).known_axes[0].length])
    if op.has(7):
        op.clean(7, [1], 0.0)
    batch, positions = op.input(0).known_axes
    axes: list[list[Axis]] = [[batch, positions, words.known_axes[1]], [batch], [batch, positions, words.known_axes[1]]]
    kinds = [words.dtype, _INT32, words.dtype]
    return [op.result(axes[at], kinds[at], output=at) for at in range(len(op.node.output))]


@operator("RotaryEmbedding", domain=_OWN)
def follow_contributed_rotation(op: Operation) -> Tensor:
    """Follow the rotation of pairs of channels by angles of their position."""
    return _rotated(op, positions=1, table=2)


@operator("RotaryEmbedding")
def follow_rotation(op: Operation) -> Tensor:
    """Follow the rotation of version 23, by a table and positions or by one angle per position."""
    return _rotated(op, positions=3, table=1)


def _rotated(op: Operation, positions: int, table: int) -> Tensor:
    tensor, place = op.input(0), 2 if op.input(0).rank == 4 else 1
    if any(axis.variables for at, axis in enumerate(tensor.known_axes) if at not in (0, place)):
        raise Refused("how many heads it has, or how wide they are, follows the sizes of the request")
    if op.has(positions):
        numbers = op.input(positions)
        if numbers.rank == 2:
            _along(op, positions, place)
        else:
            op.mix(0, place)  # One number for all rows: the others are counted from it.
        safe_numbers(op, positions, [op.input(table).known_axes[0].length])
    elif op.input(table).rank == 3:
        for index in (table, table + 1):
            _along(op, index, place)
    tensor = op.input(0)
    tables = op.input(table).finite and op.input(table + 1).finite
    fills = {axis: 0.0 for axis, fill in tensor.fills.items() if fill == 0 and tables}
    return op.result(tensor.known_axes, tensor.dtype, fills=fills, finite=tensor.finite and tables)


def _along(op: Operation, index: int, place: int) -> None:
    """Let what is told of each position, ``[batch or 1, positions, …]``, lie as the positions of input 0."""
    op.same_axis(0, place, index, 1)
    if op.input(index).known_axes[0].constant != 1:
        op.same_axis(0, 0, index, 0)
