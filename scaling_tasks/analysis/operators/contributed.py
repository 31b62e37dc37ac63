"""Operators of onnxruntime's own domain that optimised exports contain."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.convolution import follow_conv
from scaling_tasks.analysis.operators.elementwise import broadcast
from scaling_tasks.analysis.operators.gathering import safe_numbers
from scaling_tasks.analysis.operators.normalisation import follow_layer_normalisation
from scaling_tasks.analysis.operators.products import contract
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.size_inputs import SizeInput

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
    ids, words = op.input(0), op.input(2)
    for index, table in ((0, 2), (1, 4), (8, 3)):
        if op.has(index):
            op.same_axis(0, 1, index, 1) if index else None
            safe_numbers(op, index, [op.input(table).known_axes[0].length])
    if op.has(7):
        op.clean(7, [1], 0.0)
    batch, positions = ids.known_axes
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
    place = 2 if op.input(0).rank == 4 else 1
    if op.has(positions):
        numbers = op.input(positions)
        if numbers.rank == 2:
            op.same_axis(0, place, positions, 1)
        safe_numbers(op, positions, [op.input(table).known_axes[0].length])
    elif op.input(table).rank == 3:
        for index in (table, table + 1):
            op.same_axis(0, place, index, 1)
    tensor = op.input(0)
    if not all(axis.is_prefix for axis in tensor.known_axes):
        raise Refused("its axes are flattened grids")
    tables = op.input(table).finite and op.input(table + 1).finite
    fills = {axis: 0.0 for axis, fill in tensor.fills.items() if fill == 0 and tables}
    return op.result(tensor.known_axes, tensor.dtype, fills=fills, finite=tensor.finite and tables)


@operator("Attention", domain=_OWN)
def follow_packed_attention(op: Operation) -> Sequence[Tensor]:
    """Follow self-attention with its own projections: ``[batch, positions, channels]``."""
    tensor, weights = op.input(0), op.input(1)
    if op.has(4) or op.has(5) or any(list(op.node.output)[1:]):
        raise Refused("it has a past or a bias of its own")
    positions = tensor.known_axes[1]
    if positions.variables:
        op.mixes(positions)
        positions = op.compact(0, 1).known_axes[1]
    if op.padded(positions):
        if not op.input(0).finite:
            op.clean(0, [1], 0.0)
        if not op.attribute("unidirectional", 0) or op.has(3):
            _mask(op, 3, positions)
    sizes = op.attribute("qkv_hidden_sizes")
    width = int(sizes[2]) if sizes else int(weights.known_axes[1].constant or 0) // 3
    return [op.result([tensor.known_axes[0], positions, grid(width)], tensor.dtype, finite=not op.has(3))]


@operator("MultiHeadAttention", domain=_OWN)
def follow_multi_head_attention(op: Operation) -> Sequence[Tensor]:
    """Follow attention of ``[batch, positions, channels]`` without a past."""
    if any(op.has(at) for at in range(6, len(op.inputs))) or any(list(op.node.output)[1:]):
        raise Refused("it has a past")
    if not (op.has(1) and op.has(2)) or any(op.input(at).rank != 3 for at in range(3)):
        raise Refused("its queries, keys and values are packed in one tensor")
    for at in (1, 2):
        if op.input(at).known_axes[1].variables:
            op.mixes(op.input(at).known_axes[1])
            op.compact(at, 1)
    op.same_axis(1, 1, 2, 1)
    keys = op.input(1).known_axes[1]
    if op.padded(keys):
        if op.has(5):
            raise Refused("it has a bias of its own")
        for at in (1, 2):
            if not op.input(at).finite:
                op.clean(at, [1], 0.0)
        if not op.attribute("unidirectional", 0) or op.has(4):
            _mask(op, 4, keys)
    query, value = op.input(0), op.input(2)
    axes = [query.known_axes[0], query.known_axes[1], value.known_axes[2]]
    return [op.result(axes, query.dtype, finite=query.finite and not op.has(4))]


def _mask(op: Operation, index: int, keys: Axis) -> None:
    """Give the operator a mask of whole numbers, ``[batch, keys]``, or clean the one that it has."""
    if op.has(index):
        mask = op.input(index)
        if mask.rank == 1 and not mask.known_axes[0].constant:
            return  # How many count, per row: never more than are valid.
        if mask.rank != 2 or not op.domain.equal(mask.known_axes[1].length, keys.length):
            raise Refused("its mask is of a form that is not followed")
        op.clean(index, [1], 0.0)
        return
    batch = op.input(0).known_axes[0]
    own = op.rows is not None and batch.has_factor(op.rows)
    if not own:
        op.around.cleaner.agree(keys.variables)
    spec = SizeInput("", "valid", "int32", (batch.layout(), keys.layout()))
    name = op.emitter.size_input(spec)
    op.newly_cleaned |= op.padded(keys)
    while len(op.node.input) <= index:
        op.node.input.append("")
        op.inputs.append(None)
    op.node.input[index] = name
    op.inputs[index] = Tensor(name, _INT32, (batch, keys), low=0.0, high=1.0)
