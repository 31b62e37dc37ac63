"""Pools in pools and other operators that importers compute as they are meant.

* nncase 2.11.0 takes padding for zeros where a pool looks for the greatest, and no notice of ``ceil_mode``.
* MindSpore Lite 2.0.0 never counts padding in a mean. Neither takes all pools that are dilated.
* Neither knows pools by the power mean.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    element_types,
    ranks_of,
    replace_nodes,
    static_shapes,
)
from scaling_tasks.compilers.windows import Window, window_of
from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import onnx

__all__ = ["mean_by_sums", "pool_by_power", "pool_by_slices", "pool_over_edges", "round_up_means"]

_FLOAT = 1
_PADS_ARE_INPUTS = 11  # From this opset on those of Pad are.
_LOWEST = -3.0e38
_MOST_SLICES = 81
# What they give is never below 0, or never where what they take is not.
_NEVER_NEGATIVE = frozenset(("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"))
_KEEP_SIGNS = frozenset(("AveragePool", "Concat", "GlobalAveragePool", "Identity", "MaxPool", "Transpose"))


class _Pool:
    """A pool of one shape, and how far its windows go beyond the input.

    Attributes:
        node: The node.
        before: The shape of its input.
        after: The shape of its output.
        given: Its attributes.
        window: What slides.
        beyond: How much longer than its input it needs the padded input to be, per axis.
    """

    def __init__(self, node: onnx.NodeProto, before: tuple[int, ...], window: Window) -> None:
        self.node, self.before, self.window = node, before, window
        self.given = attributes_of(node)
        sizes = zip(before[2:], window.begins, window.ends, window.strides, window.spans, strict=True)
        self.after = (*before[:2], *(self._made(*each) for each in sizes))
        sizes = zip(before[2:], self.after[2:], window.begins, window.strides, window.spans, strict=True)
        self.beyond = [max((made - 1) * step + span - begin - size, 0) for size, made, begin, step, span in sizes]

    def _made(self, size: int, begin: int, end: int, step: int, span: int) -> int:
        """Return how many windows an axis has; rounded up, none begins in the padding behind the input."""
        room = size + begin + end - span
        if not self.given.get("ceil_mode"):
            return room // step + 1
        made = -(-room // step) + 1
        return made - 1 if (made - 1) * step >= size + begin else made

    @property
    def is_dilated(self) -> bool:
        return any(each != 1 for each in self.window.dilations)

    @property
    def is_padded(self) -> bool:
        return any((*self.window.begins, *self.beyond))

    def plain(self) -> dict[str, Any]:
        """Return the attributes without any padding."""
        left_out = ("pads", "ceil_mode", "count_include_pad", "auto_pad", "storage_order")
        return {name: value for name, value in self.given.items() if name not in left_out}


def _pools(model: onnx.ModelProto, kinds: Collection[str]) -> dict[str, _Pool]:
    """Return pools of floats of one shape that say their padding in numbers, by the name of their output."""
    if all(node.op_type not in kinds for node in model.graph.node):
        return {}
    shapes, types = static_shapes(model), element_types(model)
    found = {}
    for node in model.graph.node:
        if node.op_type not in kinds or any(node.output[1:]) or types.get(node.input[0]) != _FLOAT:
            continue
        window, before = window_of(node, shapes), shapes.get(node.input[0])
        named = attributes_of(node).get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        if window is not None and before is not None and not named:
            found[node.output[0]] = _Pool(node, before, window)
    return found


def pool_over_edges(model: onnx.ModelProto) -> bool:
    """Repeat edges where a pool that looks for the greatest pads what may be negative, in place; return whether any.

    One that rounds the number of windows up is padded in any case.
    A window that is not dilated and reaches beyond an edge has the edge in it, which changes no greatest.
    """
    pools = _pools(model, ["MaxPool"])
    is_positive = _never_negative(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        pool = pools.get(node.output[0]) if node.output else None
        if pool is None or not pool.is_padded or pool.is_dilated:
            return None
        if not pool.given.get("ceil_mode") and is_positive(node.input[0]):
            return None
        write = Writer(model, f"{node.output[0]}/pooled")
        padded = _padded(write, model, pool, pool.beyond, mode="edge")
        write.node("MaxPool", [padded], node.output[0], **pool.plain())
        return write.nodes

    return replace_nodes(model, replace)


def _never_negative(model: onnx.ModelProto) -> Callable[[str], bool]:
    """Return a function that tells whether a tensor is known to have no negative numbers."""
    made_by = {name: node for node in model.graph.node for name in node.output}

    @functools.cache
    def is_positive(name: str) -> bool:
        made = made_by.get(name)
        if made is None or made.op_type in _NEVER_NEGATIVE:
            return made is not None
        return made.op_type in _KEEP_SIGNS and all(map(is_positive, made.input))

    return is_positive


def pool_by_slices(model: onnx.ModelProto) -> bool:
    """Compare what lies at each position of a dilated window, in place; return whether any was dilated."""
    pools = _pools(model, ["MaxPool"])

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        pool = pools.get(node.output[0]) if node.output else None
        if pool is None or not pool.is_dilated or math.prod(pool.window.sizes) > _MOST_SLICES:
            return None
        write = Writer(model, f"{node.output[0]}/pooled")
        padded = _padded(write, model, pool, pool.beyond, value=_LOWEST)
        parts = [_slice(write, pool, padded, at) for at in itertools.product(*map(range, pool.window.sizes))]
        write.node("Max", parts, node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def _slice(write: Writer, pool: _Pool, name: str, at: tuple[int, ...]) -> str:
    window = pool.window
    starts = [place * apart for place, apart in zip(at, window.dilations, strict=True)]
    steps = window.strides
    ends = [start + (made - 1) * step + 1 for start, made, step in zip(starts, pool.after[2:], steps, strict=True)]
    axes = list(range(2, len(pool.before)))
    return write.node("Slice", [name, *(write.constant(each, "int64") for each in (starts, ends, axes, steps))])


def _counts(pool: _Pool) -> Any:
    """Return how many positions each mean is of."""
    window, counts = pool.window, np.ones(1, np.float32)
    counted = bool(pool.given.get("count_include_pad"))
    for axis, size in enumerate(pool.before[2:]):
        low, high = (-window.begins[axis], size + window.ends[axis]) if counted else (0, size)
        begins = np.arange(pool.after[2 + axis]) * window.strides[axis] - window.begins[axis]
        places = begins[:, None] + np.arange(window.sizes[axis]) * window.dilations[axis]
        counts = counts[..., None] * ((places >= low) & (places < high)).sum(axis=1).astype(np.float32)
    return counts.reshape(1, 1, *pool.after[2:])


def mean_by_sums(model: onnx.ModelProto, *, only_rounded_up: bool = False) -> bool:
    """Sum by convolving where means are dilated or count padding, and divide, in place; return whether any was.

    Args:
        model: The model.
        only_rounded_up: Whether of those that count padding only those are, whose last window goes beyond it.
    """
    pools = _pools(model, ["AveragePool"])

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        pool = pools.get(node.output[0]) if node.output else None
        if pool is None:
            return None
        counts = bool(pool.given.get("count_include_pad"))
        further = [most > end for most, end in zip(pool.beyond, pool.window.ends, strict=True)]
        padded = any(further) if only_rounded_up else pool.is_padded
        if not pool.is_dilated and not (counts and padded):
            return None
        write = Writer(model, f"{node.output[0]}/pooled")
        write.node("Div", [_convolved(write, pool, node.input[0]), write.constant(_counts(pool))], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def round_up_means(model: onnx.ModelProto) -> bool:
    """Pad as far as windows go where a mean rounds their number up, in place; return whether any does."""
    pools = _pools(model, ["AveragePool"])

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        pool = pools.get(node.output[0]) if node.output else None
        if pool is None or not pool.given.get("ceil_mode") or pool.given.get("count_include_pad") or pool.is_dilated:
            return None
        write = Writer(model, f"{node.output[0]}/pooled")
        pads = [*pool.window.begins, *pool.beyond]
        write.node("AveragePool", [node.input[0]], node.output[0], **pool.plain(), pads=pads)
        return write.nodes

    return replace_nodes(model, replace)


def pool_by_power(model: onnx.ModelProto, kinds: Collection[str] = ("GlobalLpPool", "LpPool")) -> bool:
    """Take roots of sums of powers where a pool is a power mean, in place; return whether any is.

    Args:
        model: The model; what is pooled in parts must have one shape.
        kinds: GlobalLpPool and LpPool, or one of them.
    """
    pools = _pools(model, ["LpPool"])
    if all(node.op_type not in kinds for node in model.graph.node):
        return False
    ranks = ranks_of(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        rank, pool = ranks.get(node.input[0]), pools.get(node.output[0])
        if node.op_type not in kinds or rank is None or (node.op_type == "LpPool" and pool is None):
            return None
        write = Writer(model, f"{node.output[0]}/pooled")
        power = float(attributes_of(node).get("p", 2))
        size = write.node("Abs", [node.input[0]])
        powers = write.node("Mul", [size, size]) if power == 2 else size
        powers = powers if power in (1, 2) else write.node("Pow", [size, write.constant(power)])
        total = _convolved(write, pool, powers) if pool else write.over("ReduceSum", powers, range(2, rank), keepdims=1)
        if power == 2:
            write.node("Sqrt", [total], node.output[0])
        elif power == 1:
            write.node("Identity", [total], node.output[0])
        else:
            write.node("Pow", [total, write.constant(1 / power)], node.output[0])
        return write.nodes

    return replace_nodes(model, replace)


def _convolved(write: Writer, pool: _Pool, name: str) -> str:
    """Sum what is in each window, of every channel for itself."""
    window, channels = pool.window, pool.before[1]
    return write.node(
        "Conv",
        [name, write.constant(np.ones((channels, 1, *window.sizes)))],
        group=channels,
        kernel_shape=window.sizes,
        strides=window.strides,
        dilations=window.dilations,
        pads=[*window.begins, *pool.beyond],
    )


def _padded(
    write: Writer, model: onnx.ModelProto, pool: _Pool, ends: list[int], *, mode: str = "constant", value: float = 0.0
) -> str:
    pads = [0, 0, *pool.window.begins, 0, 0, *ends]
    if not any(pads):
        return str(pool.node.input[0])
    if opset_of(model) < _PADS_ARE_INPUTS:
        return write.node("Pad", [pool.node.input[0]], mode=mode, pads=pads, value=value)
    inputs = [pool.node.input[0], write.constant(pads, "int64"), write.constant(value)]
    return write.node("Pad", inputs[: 3 if mode == "constant" else 2], mode=mode)
