"""Convolutions: padding must be zero where a window that ends in it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, as_length, larger
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.products import clean_to_zero_point
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["Window", "even_out", "output_length", "reaches_padding", "windows"]


class Window:
    """A kernel along one axis.

    Args:
        kernel: Elements.
        stride: Positions from one window to the next.
        dilation: Positions from one element to the next.
        before: Positions added before the axis.
        after: Positions added after it.
    """

    def __init__(self, kernel: int, stride: int, dilation: int, before: int, after: int) -> None:
        self.kernel, self.stride, self.dilation, self.before, self.after = kernel, stride, dilation, before, after

    @property
    def span(self) -> int:
        """Positions from the first element to the last, both included."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def is_point(self) -> bool:
        """Whether every position stays on its own."""
        return self.kernel == 1 and self.stride == 1 and self.before == 0 and self.after == 0


def windows(op: Operation, kernel: Sequence[int], lengths: Sequence[Length]) -> list[Window]:
    """Return one window per spatial axis from the usual attributes.

    Raises:
        Refused: ``auto_pad`` adds another number of positions before the axis at each size.
    """
    count = len(kernel)
    strides = op.attribute("strides") or [1] * count
    dilations = op.attribute("dilations") or [1] * count
    pads = list(op.attribute("pads") or [0] * (2 * count))
    mode = op.attribute("auto_pad", "NOTSET") or "NOTSET"
    if mode == "VALID":
        pads = [0] * (2 * count)
    found = []
    for at in range(count):
        window = Window(int(kernel[at]), int(strides[at]), int(dilations[at]), int(pads[at]), int(pads[at + count]))
        if mode.startswith("SAME"):
            window.before, window.after = _same(op, window, lengths[at], upper=mode == "SAME_UPPER")
        found.append(window)
    return found


def even_out(op: Operation, kernel: Sequence[int], fill: float) -> bool:
    """Pad explicitly where ``auto_pad`` adds another number of positions before an axis at each size; say if it does.

    The axis gets as many as any size needs, before it as many as the exact size has there, the rest after it. Those are
    few numbers, one or two for a stride of two, so that the axis is padded in each of these ways, and one is chosen.
    """
    ends = _uneven(op, kernel)
    if not ends:
        return False
    op.clean(0, [at + 2 for at, end in enumerate(ends) if end.varies], fill)
    for at, end in enumerate(ends):
        if end.varies:
            op.use(0, op.around.cleaner.extended(op.input(0), at + 2, end.before, end.counts, end.total, fill))
    known = [(0, 0) if end.varies else (end.counts[0], end.total - end.counts[0]) for end in ends]
    _pad_explicitly(op, known)
    return True


@dataclass(frozen=True)
class _Ends:
    """What automatic padding adds to an axis.

    Attributes:
        varies: Whether its length does.
        before: How many positions before it.
        counts: All numbers that these can be, in order.
        total: How many positions at most; fewer than one stride more than any size has.
    """

    varies: bool
    before: Length
    counts: tuple[int, ...]
    total: int


def _uneven(op: Operation, kernel: Sequence[int]) -> list[_Ends]:
    """Return what is added to each axis where that is not the same before it at all sizes, else nothing."""
    mode = str(op.attribute("auto_pad", ""))
    if not mode.startswith("SAME"):
        return []
    strides, dilations = (op.attribute(name) or [1] * len(kernel) for name in ("strides", "dilations"))
    found = [Window(size, strides[at], dilations[at], 0, 0) for at, size in enumerate(kernel)]
    lengths = [axis.length for axis in op.input(0).known_axes[2:]]
    added = [_added(op, *each, upper=mode == "SAME_UPPER") for each in zip(found, lengths, strict=True)]
    if all(op.domain.constant(before) is not None for before, _ in added):
        return []
    if any(op.domain.at_most(after, as_length(-2)) for _, after in added):
        raise Refused("auto_pad leaves positions out along one axis and adds another number at each size along another")
    varying = [at for at, axis in enumerate(op.input(0).known_axes[2:]) if axis.variables]
    for at in varying:
        op.newly_cleaned |= op.padded(op.mix(0, at + 2))
    counts = [tuple(int(each) for each in np.unique(op.domain.values(before))) for before, _ in added]
    totals = [int(op.domain.values(before + after).max()) for before, after in added]
    return [_Ends(at in varying, added[at][0], counts[at], totals[at]) for at in range(len(kernel))]


def _pad_explicitly(op: Operation, pads: Sequence[tuple[int, int]]) -> None:
    # With automatic padding nothing is left to round up; beside it the last window would lie in padding alone.
    kept = [attribute for attribute in op.node.attribute if attribute.name not in ("auto_pad", "pads", "ceil_mode")]
    del op.node.attribute[:]
    op.node.attribute.extend([*kept, _pads([each[side] for side in (0, 1) for each in pads])])


def _pads(pads: Sequence[int]) -> Any:
    from onnx import helper

    return helper.make_attribute("pads", list(pads))


def _added(op: Operation, window: Window, length: Length, *, upper: bool) -> tuple[Length, Length]:
    """Return how many positions SAME pads add before and after an axis."""
    out = (length + (window.stride - 1)) // window.stride
    needed = (out - 1) * window.stride + window.span - length
    if "Conv" in op.kind and op.domain.constant(needed) is not None and op.domain.at_most(needed, as_length(-1)):
        # Windows leave positions out, and begin behind some of those; how many that are runtimes do not agree in.
        return as_length(0), needed
    # Of one position that is left out, half of it before the axis, all agree that it is none.
    if not op.domain.at_most(as_length(-1 if "Conv" in op.kind else 0), needed):
        raise Refused(
            "auto_pad with a kernel below its stride adds a negative number of positions at some sizes",
            "Export the model with explicit pads, or let sizes be multiples of its strides.",
        )
    total = larger(needed, as_length(0))
    before = total // 2 if upper else total - total // 2
    return before, total - before


def _same(op: Operation, window: Window, length: Length, *, upper: bool) -> tuple[int, int]:
    before, after = _added(op, window, length, upper=upper)
    first = op.domain.constant(before)
    if first is None:
        raise Refused(
            f"auto_pad adds {before} positions before an axis of length {length}: another number at each size",
            "Export the model with explicit pads, or let sizes be multiples of its strides.",
        )
    # What is added after the end does not matter beyond the number of windows, which ``auto_pad`` fixes.
    return first, int(op.domain.values(after).max())


def output_length(op: Operation, window: Window, length: Length) -> Length:
    """Return how many windows fit (formula of the ONNX operator Conv)."""
    mode = op.attribute("auto_pad", "NOTSET") or "NOTSET"
    if mode.startswith("SAME"):
        return (length + (window.stride - 1)) // window.stride
    return op.positive(
        (length + (window.before + window.after - window.span)) // window.stride + 1,
        f"a kernel of {window.span} does not fit into {length}",
    )


def reaches_padding(op: Operation, window: Window, length: Length, outputs: Length) -> bool:
    """Return whether the last window of some exact size reads beyond that size."""
    last = op.domain.values(outputs - 1) * window.stride - window.before + window.span - 1
    return bool((last > op.domain.values(length) - 1).any())


@operator("QLinearConv", domain="com.microsoft")
@operator("Conv", "ConvInteger", "QLinearConv")
def follow_conv(op: Operation) -> Tensor:
    """Follow Conv: ``[N, C, d1, …]``."""
    quantised = op.kind in ("ConvInteger", "QLinearConv")
    if op.attribute("channels_last", 0):
        raise Refused("its channels come last")
    tensor, weights = op.input(0), op.input(3 if op.kind == "QLinearConv" else 1)
    _no_variables(op, weights)
    kernel = [int(axis.constant or 0) for axis in weights.known_axes[2:]]
    if tensor.known_axes[1].variables:
        op.mixes(tensor.known_axes[1])
        raise Refused(f"it has {tensor.known_axes[1].length} channels, a number that follows the sizes")
    spatial = range(2, tensor.rank)
    if not quantised and _is_depthwise(op, tensor, weights) and (ends := _uneven(op, kernel)):
        return _each_way(op, kernel, ends)
    if not quantised:
        even_out(op, kernel, 0.0)
        tensor = op.input(0)
    found = windows(op, kernel, [tensor.known_axes[axis].length for axis in spatial])
    axes = [tensor.known_axes[0], weights.known_axes[0]]
    zero: list[int] = []
    for axis, window in zip(spatial, found, strict=True):
        axes.append(_slide(op, axis, window, zero))
    if not quantised:
        op.clean(0, zero, 0.0)
    elif zero and not clean_to_zero_point(op, 0, zero, 2):
        raise Refused("what it takes for zero differs by channel")
    tensor = op.input(0)
    keeps_zero = op.kind == "Conv" and (not op.has(2) or _all_zero(op.inputs[2]))
    fills = {
        axis: 0.0
        for axis, window in zip(spatial, found, strict=True)
        if keeps_zero and window.is_point and tensor.fills.get(axis) == 0 and weights.finite
    }
    dtype = {"ConvInteger": 6, "QLinearConv": op.input(7).dtype if op.has(7) else 2}.get(op.kind, tensor.dtype)
    return op.result(axes, dtype, fills=fills, finite=tensor.finite and weights.finite)


def _is_depthwise(op: Operation, tensor: Tensor, weights: Tensor) -> bool:
    """Whether every channel is convolved on its own, which takes less time than to move the image about."""
    return tensor.dtype == 1 and tensor.finite and weights.finite and weights.known_axes[1].constant == 1


def _each_way(op: Operation, kernel: Sequence[int], ends: Sequence[_Ends]) -> Tensor:
    """Convolve with every number of positions before an axis, and choose one of the results."""
    tensor = op.clean(0, [at + 2 for at, end in enumerate(ends) if end.varies], 0.0)
    _pad_explicitly(op, [(end.counts[0], end.total - end.counts[0]) for end in ends])
    strides, dilations = (op.attribute(name) or [1] * len(kernel) for name in ("strides", "dilations"))
    axes = [tensor.known_axes[0], op.input(1).known_axes[0]]
    for at, (size, end) in enumerate(zip(kernel, ends, strict=True)):
        window = Window(size, strides[at], dilations[at], end.counts[0], end.total - end.counts[0])
        axes.append(grid(output_length(op, window, tensor.known_axes[at + 2].length)))
    result = op.result(axes, tensor.dtype)
    ways: list[list[tuple[int, int]]] = [[]]
    for end in ends:
        ways = [[*way, (count, end.total - count)] for way in ways for count in end.counts]
    names = [_copy(op, way) for way in ways]
    for end in reversed(ends):
        size = len(end.counts)
        names = [
            op.around.cleaner.chosen(result, end.before, end.counts, names[at : at + size])
            for at in range(0, len(names), size)
        ]
    op.emitter.into(result.name, "Identity", names)
    op.replaced = True
    return result


def _copy(op: Operation, pads: Sequence[tuple[int, int]]) -> str:
    from onnx import helper

    attributes = {each.name: helper.get_attribute_value(each) for each in op.node.attribute}
    attributes["pads"] = [each[side] for side in (0, 1) for each in pads]
    return op.emitter.node(op.kind, list(op.node.input), kind="convolved", **attributes)


def _slide(op: Operation, axis: int, window: Window, zero: list[int]) -> Axis:
    """Return the axis after a window went over it; note where zeros are needed."""
    found = op.input(0).known_axes[axis]
    if window.is_point:
        return found
    if not found.variables:
        return grid(output_length(op, window, found.length))
    found = op.mix(0, axis)
    outputs = output_length(op, window, found.length)
    if reaches_padding(op, window, found.length, outputs):
        zero.append(axis)
    return grid(outputs)


@operator("ConvTranspose")
def follow_conv_transpose(op: Operation) -> Tensor:
    """Follow ConvTranspose: padding must be zero where its contributions overlap valid positions."""
    tensor, weights = op.input(0), op.input(1)
    _no_variables(op, weights)
    kernel = [int(axis.constant or 0) for axis in weights.known_axes[2:]]
    if op.attribute("output_shape") or (op.attribute("auto_pad", "NOTSET") or "NOTSET").startswith("SAME"):
        raise Refused("its output shape is given apart from its pads", "Export it with explicit pads.")
    spatial = range(2, tensor.rank)
    found = windows(op, kernel, [tensor.known_axes[axis].length for axis in spatial])
    added = op.attribute("output_padding") or [0] * len(found)
    group = int(op.attribute("group", 1))
    axes = [tensor.known_axes[0], grid(int(weights.known_axes[1].constant or 0) * group)]
    zero = []
    for axis, window, extra in zip(spatial, found, added, strict=True):
        old = tensor.known_axes[axis]
        if old.variables and not window.is_point:
            old = op.mix(0, axis)
        length = op.positive(
            (old.length - 1) * window.stride + (window.span - window.before - window.after + int(extra)),
            f"its pads leave nothing of {old.length} positions",
        )
        axes.append(old if window.is_point else grid(length))
        # The first padded position writes from here on.
        first = op.domain.values(old.length) * window.stride - window.before
        if old.variables and not window.is_point and bool((first < op.domain.values(length)).any()):
            zero.append(axis)
    tensor = op.clean(0, zero, 0.0)
    return op.result(axes, tensor.dtype, finite=tensor.finite and weights.finite)


@operator("DeformConv")
def follow_deform_conv(op: Operation) -> Tensor:
    """Follow DeformConv: beyond the edge it reads zeros, so zeros are what padding must hold."""
    tensor, weights, offsets = op.input(0), op.input(1), op.input(2)
    _no_variables(op, weights)
    spatial = range(2, tensor.rank)
    kernel = [int(axis.constant or 0) for axis in weights.known_axes[2:]]
    found = windows(op, kernel, [tensor.known_axes[axis].length for axis in spatial])
    for axis in spatial:
        op.mix(0, axis)
    tensor = op.clean(0, spatial, 0.0)
    return op.result(
        [tensor.known_axes[0], weights.known_axes[0], *offsets.known_axes[2:]],
        tensor.dtype,
        finite=tensor.finite and bool(found),
    )


def _no_variables(op: Operation, weights: Tensor) -> None:
    if weights.variables:
        raise Refused("its kernel has a size that follows the request's")


def _all_zero(tensor: Tensor | None) -> bool:
    return tensor is None or tensor.uniform == 0.0 or (tensor.value is not None and not np.any(tensor.value))
