"""CenterCropPad: an axis is cut, or grows, at both of its ends."""

from __future__ import annotations

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.lengths import as_length, larger
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor


@operator("CenterCropPad", sizes=(1,))
def follow_middle(op: Operation) -> Tensor:
    """Follow CenterCropPad: the middle of an axis that is too long, zeros at either end of one that is too short."""
    tensor, lengths = op.input(0), op.numbers(1) or []
    given = op.attribute("axes")
    places = [op.axis(axis, tensor.rank) for axis in (range(tensor.rank) if given is None else given)]
    axes, left = list(tensor.known_axes), []
    for place, wanted in zip(places, lengths, strict=True):
        found = axes[place]
        if not found.variables and not wanted.variables:
            axes[place] = grid(wanted)
            left += [] if op.domain.equal(found.length, wanted) else [(place, int(wanted.constant or 0))]
            continue
        if op.domain.equal(found.length, wanted):
            continue
        op.mix(0, place)
        op.clean(0, [place], 0.0)
        op.use(0, op.around.cleaner.extended(op.input(0), place, as_length(1), [1], 2, 0.0))
        more = larger(found.length - wanted, as_length(0)) // 2 - larger(wanted - found.length, as_length(0)) // 2
        axes[place] = grid(wanted)
        op.realign(0, place, axes[place], first=more + 1, mode="edge")
    tensor, emitter = op.input(0), op.emitter
    if left:
        shape = emitter.numbers([size for _, size in left])
        emitter.into(op.node.output[0], "CenterCropPad", [tensor.name, shape], axes=[place for place, _ in left])
    else:
        emitter.into(op.node.output[0], "Identity", [tensor.name])
    op.replaced = True
    fills = {at: fill for at, fill in tensor.fills.items() if fill == 0 and at not in places}
    low, high = min(tensor.low, 0.0), max(tensor.high, 0.0)
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=low, high=high)
