"""Cheaper cleaning on a CPU: zeros only where a convolution reads past a request's end, not a pass over the tensor.

A cleaned model multiplies a tensor with a mask before a convolution. OpenVINO runs that as an operator of its own that
reads and writes the whole tensor: 3 to 15 % of all time. Of what it zeroes, a valid output of the convolution reads no
more than the convolution's own padding is wide: the last window ends at most ``pads_end`` positions past the exact
size. So these few are set to zero in place, by ``ScatterNDUpdate`` on the tensor with its channels last. OpenVINO keeps
images between convolutions like that on processors with wide vectors, so that both transpositions cost nothing; on
others they would be copies, and masks stay as they are.

What lies further out is padding that nothing valid is computed from, before and after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clean_ends", "keeps_channels_last"]

_CLEANING, _MASK = "st_clean", "st_valid"
"""What names of products and of masks start with in a cleaned model."""

_LEAST = 1 << 16
"""Elements per axis; going over fewer takes no longer than the handful of small operators that would replace it."""

_LEAST_CHANNELS = 8
_UNKNOWN = -1


def keeps_channels_last(core: Any, device: str) -> bool:
    """Return whether a device lays images between convolutions out with channels last.

    OpenVINO tells that nowhere; processors whose vectors know bfloat16 do.
    """
    return device == "CPU" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def clean_ends(model: Any) -> int:
    """Replace masks before convolutions in a static OpenVINO model, in place; return how many."""
    made: dict[tuple[Any, ...], tuple[Any, Any]] = {}
    replaced = 0
    for node in model.get_ordered_ops():
        reach = _reach(node)
        if reach:
            _replace(node, reach, made)
            replaced += 1
    return replaced


def _reach(product: Any) -> dict[int, int]:
    """Return per spatial axis how many positions past the end must be zero; empty where the mask has to stay."""
    if product.get_type_name() != "Multiply" or not product.get_friendly_name().startswith(_CLEANING):
        return {}
    shape, mask = (list(value.get_shape()) for value in (product.input_value(0), _mask(product)))
    if len(shape) != 4 or len(mask) != 4 or mask[1] != 1 or shape[1] < _LEAST_CHANNELS or not _is_mask(product):
        return {}
    axes = [axis for axis in (2, 3) if mask[axis] > 1]
    readers = product.output(0).get_target_inputs()
    if not axes or not readers or product.output(0).get_element_type().get_type_name() != "f32":
        return {}
    known = {axis: [_past_end(reader, axis) for reader in readers] for axis in axes}
    if any(_UNKNOWN in counts for counts in known.values()):
        return {}
    found = {axis: max(counts) for axis, counts in known.items() if any(counts)}
    return found if found and math.prod(shape) >= _LEAST * len(found) else {}


def _mask(product: Any) -> Any:
    """Return the mask before it is repeated for the rows of an image."""
    value = product.input_value(1)
    node = value.get_node()
    return node.input_value(0) if node.get_type_name() == "Broadcast" else value


def _is_mask(product: Any) -> bool:
    node = _mask(product).get_node()
    while node.get_type_name() in ("Unsqueeze", "Reshape", "Convert"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Parameter" and node.get_friendly_name().startswith(_MASK))


def _past_end(reader: Any, axis: int) -> int:
    """Return how many positions past an axis' end a valid output reads; -1 where more than these may matter.

    With windows that start every ``s`` positions, of which ``a`` are added after the end, the last one ends at most
    ``a`` past it (formula of ONNX's Conv). With automatic padding the last window starts before the end.
    """
    node, at = reader.get_node(), axis - 2
    if node.get_type_name() not in ("Convolution", "GroupConvolution") or reader.get_index() != 0:
        return _UNKNOWN
    attributes = node.get_attributes()
    kernel = list(node.input_value(1).get_shape())[axis - 4]
    stride, dilation = (attributes[name][at] for name in ("strides", "dilations"))
    before, after = (attributes[name][at] for name in ("pads_begin", "pads_end"))
    if kernel == 1 and stride == 1 and not before and not after:
        # It leaves zeros alone, and what follows may count on them everywhere.
        return _UNKNOWN
    if attributes["auto_pad"].lower() in ("explicit", "notset"):
        return int(after)
    return int(dilation * (kernel - 1))


def _replace(product: Any, reach: dict[int, int], made: dict[tuple[Any, ...], tuple[Any, Any]]) -> None:
    from openvino import opset13 as ops

    name, mask = product.get_friendly_name(), _mask(product)
    current = ops.transpose(product.input_value(0), _whole([0, 2, 3, 1]))
    batch, _, height, width = product.output(0).get_shape()
    for axis, count in reach.items():
        key = (mask.get_node().get_friendly_name(), axis, count, batch, height, width)
        if key not in made:
            made[key] = _places(mask, axis, count, (batch, height, width))
        places, kept = made[key]
        ends = ops.multiply(ops.gather_nd(current, places), kept)
        current = ops.scatter_nd_update(current, places, ends)
    current = ops.transpose(current, _whole([0, 3, 1, 2]))
    current.set_friendly_name(name)
    product.output(0).replace(current.output(0))


def _places(mask: Any, axis: int, count: int, lengths: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return the positions past the end of each row, and the factor for what they hold.

    Positions are ``[N, H, count, 3]``, or ``[N, count, W, 3]`` along the height. Where none lies past the end, the last
    one is named and keeps what it holds: the factor is 1 there, otherwise 0.
    """
    import numpy as np
    from openvino import opset13 as ops

    other = 5 - axis
    if mask.get_shape()[other] > 1:
        # The first line along an axis is as long as any; where it is empty, the whole row is padding.
        mask = ops.slice(mask, _whole([0]), _whole([1]), _whole([1]), _whole([other]))
    whole = ops.convert(mask, "i32")  # Sums in the precision of images would not be whole numbers.
    length = ops.reduce_sum(whole, _whole([axis]), keep_dims=True)
    along = axis - 1
    grid = [range(each) for each in lengths]
    grid[along] = range(count)
    first = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    unit = np.eye(3, dtype=np.int32)[along]
    shifted = ops.add(_whole(first), ops.multiply(length, _whole(unit)))
    places = ops.minimum(shifted, _whole([each - 1 for each in lengths]))
    full = ops.equal(length, _whole([lengths[along]]))
    return places, ops.convert(full, "f32")


def _whole(values: Sequence[int] | NDArray[Any]) -> Any:
    import numpy as np
    from openvino import opset13 as ops

    return ops.constant(np.asarray(values, np.int32))
