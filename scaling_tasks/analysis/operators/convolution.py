"""Convolutions: padding must be zero where a window that ends in it counts."""

from __future__ import annotations

from collections.abc import Sequence
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


def even_out(op: Operation, kernel: Sequence[int], fill: float) -> None:
    """Pad explicitly where ``auto_pad`` adds another number of positions before an axis at each size.

    The axis gets as many as any size needs, before it as many as the exact size has there, the rest after it. Those are
    few numbers, one or two for a stride of two, so that the axis is padded in each of these ways, and one is chosen.
    """
    mode = str(op.attribute("auto_pad", ""))
    if not mode.startswith("SAME"):
        return
    count = len(kernel)
    strides, dilations = (op.attribute(name) or [1] * count for name in ("strides", "dilations"))
    found = [Window(kernel[at], strides[at], dilations[at], 0, 0) for at in range(count)]
    added = [
        _added(op, window, op.input(0).known_axes[at + 2].length, upper=mode == "SAME_UPPER")
        for at, window in enumerate(found)
    ]
    if all(op.domain.constant(before) is not None for before, _ in added):
        return
    pads = [0] * (2 * count)
    varying = [at for at, axis in enumerate(op.input(0).known_axes[2:], 2) if axis.variables]
    for at in varying:
        op.mixes(op.input(0).known_axes[at])
        op.compact(0, at)
    op.clean(0, varying, fill)
    for at, (before, after) in enumerate(added):
        axis = op.input(0).known_axes[at + 2]
        if not axis.variables:
            pads[at], pads[at + count] = (int(op.domain.values(each).max()) for each in (before, after))
            continue
        op.newly_cleaned |= op.padded(axis)
        # Fewer than one stride more than a size needs: as many windows fit as there should be.
        total = int(op.domain.values(before + after).max())
        counts = [int(each) for each in np.unique(op.domain.values(before))]
        op.use(0, op.around.cleaner.extended(op.input(0), at + 2, before, counts, total, fill))
    kept = [attribute for attribute in op.node.attribute if attribute.name not in ("auto_pad", "pads")]
    del op.node.attribute[:]
    op.node.attribute.extend([*kept, _pads(pads)])


def _pads(pads: Sequence[int]) -> Any:
    from onnx import helper

    return helper.make_attribute("pads", list(pads))


def _added(op: Operation, window: Window, length: Length, *, upper: bool) -> tuple[Length, Length]:
    """Return how many positions SAME pads add before and after an axis."""
    out = (length + (window.stride - 1)) // window.stride
    needed = (out - 1) * window.stride + window.span - length
    if "Conv" not in op.kind and not op.domain.at_most(as_length(0), needed):
        raise Refused("auto_pad with a kernel below its stride adds a negative number of positions at some sizes")
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


@operator("Conv", "ConvInteger", "QLinearConv")
def follow_conv(op: Operation) -> Tensor:
    """Follow Conv: ``[N, C, d1, …]``."""
    quantised = op.kind in ("ConvInteger", "QLinearConv")
    tensor, weights = op.input(0), op.input(3 if op.kind == "QLinearConv" else 1)
    _no_variables(op, weights)
    kernel = [int(axis.constant or 0) for axis in weights.known_axes[2:]]
    if tensor.known_axes[1].variables:
        op.mixes(tensor.known_axes[1])
        raise Refused(f"it has {tensor.known_axes[1].length} channels, a number that follows the sizes")
    spatial = range(2, tensor.rank)
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


def _slide(op: Operation, axis: int, window: Window, zero: list[int]) -> Axis:
    """Return the axis after a window went over it; note where zeros are needed."""
    found = op.input(0).known_axes[axis]
    if window.is_point:
        return found
    if not found.variables:
        return grid(output_length(op, window, found.length))
    op.mixes(found)
    found = op.compact(0, axis).known_axes[axis]
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
            op.mixes(old)
            old = op.compact(0, axis).known_axes[axis]
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
        op.mixes(tensor.known_axes[axis])
        op.compact(0, axis)
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
