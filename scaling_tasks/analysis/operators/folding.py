"""Col2Im: blocks are added up where they lie in an image."""

from __future__ import annotations

import math

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.convolution import Window
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor


@operator("Col2Im", sizes=(1, 2))
def follow_folding(op: Operation) -> Tensor:
    """Follow Col2Im: ``[N, C·block, blocks]``, blocks in rows and columns; those of padding must add nothing."""
    tensor, image, block = op.input(0), op.numbers(1) or [], op.constants(2) or []
    ones = [1] * len(block)
    strides, dilations = (list(op.attribute(name) or ones) for name in ("strides", "dilations"))
    pads = list(op.attribute("pads") or [0] * (2 * len(block)))
    counts = []
    for at, (length, size) in enumerate(zip(image, block, strict=True)):
        window = Window(size, strides[at], dilations[at], pads[at], pads[at + len(block)])
        room = length + (window.before + window.after - window.span)
        counts.append(op.positive(room // window.stride + 1, f"a block of {window.span} does not fit into {length}"))
    blocks, wanted = tensor.known_axes[2], grid(*counts)
    channels = tensor.known_axes[1].constant
    size = math.prod(block)
    if channels is None or channels % size:
        raise Refused(f"it has {tensor.known_axes[1]} channels, which are no whole number of blocks")
    if not op.domain.equal(blocks.length, wanted.length) and not op.domain.require(blocks.length, wanted.length):
        raise Refused(f"{blocks.length} blocks are never those of its image, {wanted.length}")
    if blocks.variables or wanted.variables:
        op.mixes(blocks)
        op.mixes(wanted)
        if blocks.normal != wanted.normal:
            op.realign(0, 2, wanted)
        op.clean(0, [2], 0.0)
    tensor = op.input(0)
    axes = [tensor.known_axes[0], grid(channels // size), *(grid(length) for length in image)]
    return op.result(axes, tensor.dtype, finite=tensor.finite)
