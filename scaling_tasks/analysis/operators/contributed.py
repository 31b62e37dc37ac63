"""Operators of onnxruntime's own domain that optimised exports contain."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.convolution import follow_conv
from scaling_tasks.analysis.operators.elementwise import broadcast
from scaling_tasks.analysis.operators.gathering import safe_numbers
from scaling_tasks.analysis.operators.normalisation import follow_layer_normalisation, has_epsilon
from scaling_tasks.analysis.operators.products import contract
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_OWN = "com.microsoft"
_FLOAT, _UINT8, _INT32 = 1, 2, 6

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
    finite = op.input(0).finite and op.input(1).finite and has_epsilon(op)
    dtype, single = op.input(0).dtype, [*axes[:-1], grid(1)]
    # The second and third are the statistics that training needs.
    forms = [(axes, dtype), (single, _FLOAT), (single, _FLOAT), (axes, dtype)]
    used = enumerate(forms[: len(op.node.output)])
    return [op.result(shape, kind, output=at, finite=finite) for at, (shape, kind) in used]


@operator("FusedMatMul", "TransposeMatMul", domain=_OWN)
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


@operator("EmbedLayerNormalization", "QEmbedLayerNormalization", domain=_OWN)
def follow_embedding(op: Operation) -> Sequence[Tensor]:
    """Follow the sum of embeddings of ids, which are 0 in padding, positions counted from the start.

    Its second output tells how many positions the mask of each row shows, and is 0 without a mask. Where the tables are
    quantised, positions are not told.
    """
    quantised = op.kind.startswith("Q")
    words = op.input(2)
    op.mix(0, 1)
    for index, table in ((0, 2), (1, 4), *([] if quantised else [(8, 3)])):
        if op.has(index):
            op.same_axis(0, 1, index, 1) if index else None
            safe_numbers(op, index, [op.input(table).known_axes[0].length])
    if op.has(7):
        op.clean(7, [1], 0.0)
    batch, positions = op.input(0).known_axes
    axes: list[list[Axis]] = [[batch, positions, words.known_axes[1]], [batch], [batch, positions, words.known_axes[1]]]
    dtype = _FLOAT if quantised else words.dtype
    kinds = [dtype, _INT32, dtype]
    return [op.result(axes[at], kinds[at], output=at) for at in range(len(op.node.output))]


@operator("GatedRMSNorm", domain=_OWN)
def follow_gated_normalisation(op: Operation) -> Tensor:
    """Follow the normalisation over channels of one tensor, multiplied with an activation of another."""
    axes = broadcast(op, [0, 2])
    if op.padded(axes[-1]):
        raise Refused("it normalises over an axis that follows the sizes")
    finite = op.input(0).finite and op.input(2).finite and has_epsilon(op)
    return op.result(axes, op.input(0).dtype, finite=finite)


@operator("MoE", "QMoE", domain=_OWN)
def follow_experts(op: Operation) -> Tensor:
    """Follow a mixture of experts: ``[…, channels]``, and what each row, all in one line, is routed by."""
    *rows, channels = op.input(0).known_axes
    line = grid(*(length for axis in rows for length in axis.pieces[0]))
    if any(len(axis.pieces) > 1 for axis in rows) or op.input(1).known_axes[0].normal != line.normal:
        raise Refused("its rows lie otherwise than what they are routed by")
    if channels.variables or any(tensor is not None and tensor.variables for tensor in op.inputs[2:]):
        raise Refused("its weights follow the sizes of the request")
    return op.result(op.input(0).known_axes, op.input(0).dtype, finite=op.input(0).finite and op.input(1).finite)


@operator("GatherBlockQuantized", domain=_OWN)
def follow_few_bits_read(op: Operation) -> Tensor:
    """Follow the reading of rows of a table of a few bits, which are real numbers then."""
    table = op.input(0)
    if op.attribute("gather_axis", 0) or table.variables:
        raise Refused("it reads along another axis than the first, or of a table that follows the sizes")
    safe_numbers(op, 1, [table.known_axes[0].length])
    packed = 8 // int(op.attribute("bits", 4)) if table.dtype == _UINT8 else 1
    widths = [int(axis.constant or 0) for axis in table.known_axes[1:]]
    axes = [*op.input(1).known_axes, *(grid(width) for width in (*widths[:-1], widths[-1] * packed))]
    return op.result(axes, op.input(2).dtype)


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
