"""Attention of onnxruntime's optimiser that makes queries, keys and values itself, of real or of quantised numbers.

A mask may hide all keys of a row, which weigh alike then, so that padding must be hidden further: by what is added to
scores. Runtimes take that beside no past, and never of quantised numbers; there projections and attention become
operators of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid, join
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.fused_attention import Hiding, hide, padding_bias
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_OWN = "com.microsoft"


@operator("Attention", domain=_OWN)
def follow_packed_attention(op: Operation) -> Sequence[Tensor]:
    """Follow self-attention with its own projections: ``[batch, positions, channels]``."""
    return _packed(op, Hiding(3, None if op.has(4) else 5), past=4, dtype=op.input(0).dtype)


@operator("QAttention", domain=_OWN)
def follow_quantised_attention(op: Operation) -> Sequence[Tensor]:
    """Follow the same of quantised numbers, whose scales are inputs."""
    return _packed(op, Hiding(5, None), past=8, dtype=op.input(3).dtype)


def _packed(op: Operation, hiding: Hiding, *, past: int, dtype: int) -> list[Tensor]:
    tensor, weights = op.input(0), op.input(1)
    if weights.variables or tensor.known_axes[2].variables:
        raise Refused("how wide it is follows the sizes of the request")
    if op.attribute("past_present_share_buffer", 0) or op.attribute("do_rotary", 0):
        raise Refused("it writes into a cache in place, or turns its channels by their position")
    positions = keys = op.mix(0, 1)
    if op.has(past):
        op.same_axis(0, 0, past, 1)
        op.mixes(op.input(past).known_axes[3])
        keys = join([op.input(past).known_axes[3], positions])
    hide(op, hiding, keys, [(0, 1), (past, 3)])
    tensor = op.input(0)
    width = int(weights.known_axes[1].constant or 0)
    sizes = [int(size) for size in op.attribute("qkv_hidden_sizes") or [width // 3] * 3]
    batch, heads = tensor.known_axes[0], int(op.attribute("num_heads"))
    if op.padded(keys) and op.has(hiding.mask) and (hiding.bias is None or not op.has(hiding.bias)):
        _unpack(op, hiding, past, sizes, keys)
    finite = tensor.finite and not op.has(hiding.mask) and not (hiding.bias and op.has(hiding.bias))
    found = [op.result([batch, positions, grid(sizes[2])], dtype, finite=finite)]
    if len(op.node.output) > 1:
        present = [grid(2), batch, grid(heads), keys, grid(sizes[2] // heads)]
        found.append(op.result(present, dtype, output=1, finite=False))
    return found


def _unpack(op: Operation, hiding: Hiding, past: int, sizes: Sequence[int], keys: Axis) -> None:
    """Put a product, MultiHeadAttention and what puts its keys and values together in the operator's place."""
    from onnx import helper

    emitter = op.emitter
    given = [*op.node.input, *[""] * (past + 1 - len(op.node.input))]
    product, dtype = _projected(op, given)
    ends = list(accumulate(sizes, initial=0))
    last = emitter.numbers([2])
    inputs = [
        emitter.node("Slice", [product, emitter.numbers([start]), emitter.numbers([end]), last])
        for start, end in pairwise(ends)
    ]
    inputs += ["", given[hiding.mask], padding_bias(op, dtype, keys).name]
    if given[past]:
        inputs += [
            emitter.node("Gather", [given[past], emitter.constant(np.array(at, np.int64))], axis=0) for at in (0, 1)
        ]
    kept = {"num_heads", "unidirectional", "mask_filter_value", "scale"}
    attributes = {each.name: helper.get_attribute_value(each) for each in op.node.attribute if each.name in kept}
    outputs = [op.node.output[0]]
    if len(op.node.output) > 1:
        outputs += [emitter.fresh("present") for _ in range(2)]
    name = emitter.fresh("attention")
    node = helper.make_node("MultiHeadAttention", inputs, outputs, name=name, domain=_OWN, **attributes)
    emitter.nodes.append(node)
    if len(op.node.output) > 1:
        emitter.into(op.node.output[1], "Concat", [emitter.unsqueeze(each, [0]) for each in outputs[1:]], axis=0)
    op.newly_cleaned |= op.padded(keys)
    op.replaced = True


def _projected(op: Operation, given: Sequence[str]) -> tuple[str, int]:
    """Return queries, keys and values beside each other, and their element type."""
    emitter = op.emitter
    if op.kind == "QAttention":
        inputs = [given[at] for at in (0, 1, 3, 4, 6, 7, 2)]
        return emitter.node("MatMulIntegerToFloat", inputs, kind="projected", domain=_OWN), op.input(3).dtype
    product = emitter.node("MatMul", list(given[:2]), kind="projected")
    return (emitter.node("Add", [product, given[2]]) if given[2] else product), op.input(0).dtype
