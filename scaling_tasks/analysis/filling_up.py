"""Putting as many copies behind a tensor as it lacks to a multiple, as exporters spell it: made first, then joined.

How many are lacking falls where a size grows, and may be none in a bucket, so that no tensor of so many is followed.
With them the tensor is as long as the multiple, and Pad makes it so at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.placement import Step
from scaling_tasks.analysis.tensors import Tensor

if TYPE_CHECKING:
    import onnx

__all__ = ["pad_instead"]


def pad_instead(
    node: onnx.NodeProto, fresh: Callable[[str], str], tensors: Mapping[str, Tensor], steps: Sequence[Step]
) -> list[onnx.NodeProto]:
    """Return nodes that pad in place of a Concat with copies that are not followed; none where it is something else.

    Args:
        node: Any node.
        fresh: Makes a name of a kind that nothing has yet.
        tensors: What is known, by name.
        steps: The operators that were met before.
    """
    if node.op_type != "Concat" or len(node.input) != 2 or any(name not in tensors for name in node.input):
        return []
    for at in (0, 1):
        whole, copies = tensors[node.input[1 - at]], tensors[node.input[at]]
        if copies.axes is not None or whole.axes is None or not whole.rank:
            continue
        axis = next(each.i for each in node.attribute if each.name == "axis") % whole.rank
        step = next((step for step in reversed(steps) if node.input[at] in step.node.output), None)
        if step is None or step.node.op_type not in ("Expand", "Tile", "ConstantOfShape"):
            continue
        shape = step.node.input[step.node.op_type != "ConstantOfShape"]
        lengths = tensors[shape].value
        if lengths is None or lengths.size != whole.rank:
            continue
        number = _number(step)
        if number is not None or (at and _is_last(step, node.input[0], axis, tensors, steps)):
            return _padding(node, fresh, shape, number, whole.rank, axis + at * whole.rank)
    return []


def _number(step: Step) -> NDArray[Any] | None:
    """Return the one number that is copied; None where there are several."""
    from onnx import numpy_helper

    if step.node.op_type == "ConstantOfShape":
        given = [numpy_helper.to_array(each.t).reshape(()) for each in step.node.attribute if each.name == "value"]
        return given[0] if given else np.array(0, np.float32)
    source = step.inputs[0]
    if step.node.op_type == "Tile" or source is None or source.value is None or not source.is_constant:
        return None
    return source.value.reshape(()) if source.value.size == 1 else None


def _is_last(step: Step, whole: str, axis: int, tensors: Mapping[str, Tensor], steps: Sequence[Step]) -> bool:
    """Return whether the last position of a tensor is copied, ``x[-1:]`` or ``x[len(x) - 1:]``."""
    cut = next((each.node for each in reversed(steps) if step.node.input[0] in each.node.output), None)
    if step.node.op_type == "ConstantOfShape" or cut is None or cut.op_type != "Slice" or len(cut.input) < 4:
        return False
    values = [tensors[name].value for name in cut.input[1:]]
    if cut.input[0] != whole or any(value is None or value.size != 1 for value in values):
        return False
    start, end, along, *rest = (as_length(value.reshape(-1)[0]) for value in values if value is not None)
    known = tensors[whole]
    length, constant = known.known_axes[axis].length, along.constant
    ends = end == length or (end.constant is not None and end.constant >= np.iinfo(np.int32).max)
    begins = start.constant == -1 or start == length - 1
    return ends and begins and constant is not None and constant % known.rank == axis and rest in ([], [as_length(1)])


def _padding(
    node: onnx.NodeProto, fresh: Callable[[str], str], shape: str, number: NDArray[Any] | None, rank: int, place: int
) -> list[onnx.NodeProto]:
    """Return Pad of a Concat's other input with as many positions as ``shape`` has at an axis, added at ``place``."""
    from onnx import helper, numpy_helper

    nodes: list[onnx.NodeProto] = []

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        name = fresh("filled")
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(value: Any, dtype: Any = np.int64) -> str:
        return add("Constant", value=numpy_helper.from_array(np.array(value, dtype)))

    axis = place % rank
    count = add("Slice", shape, constant([axis]), constant([axis + 1]), constant([0]))
    pads = add("Concat", constant([0] * place), count, constant([0] * (2 * rank - 1 - place)), axis=0)
    inputs = [node.input[0] if place >= rank else node.input[1], pads]
    if number is not None:
        inputs.append(constant(number, number.dtype))
    mode = "edge" if number is None else "constant"
    nodes.append(helper.make_node("Pad", inputs, list(node.output), name=node.name or node.output[0], mode=mode))
    return nodes
