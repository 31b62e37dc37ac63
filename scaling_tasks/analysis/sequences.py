"""Sequences of tensors written as the tensors they hold, so that what is done with them are ordinary operators.

A sequence is a list of known length, or the slices of a tensor along an axis, as many as the axis is long. A loop that
puts one tensor at the end of a sequence each turn collects them as loops do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.preparation import outer_names
from scaling_tasks.analysis.tensors import Tensor

if TYPE_CHECKING:
    import onnx

    Nodes = list[onnx.NodeProto]

__all__ = ["FOLLOWED", "Sequences"]

_MOST = 4096
"""Parts of a list; an axis that is longer is no list of parts."""

_AXES_ARE_INPUTS = 13
"""Since this version Unsqueeze, Squeeze and Split take numbers as an input."""


@dataclass(frozen=True)
class _Slices:
    """A sequence of all slices of a tensor.

    Attributes:
        tensor: Its name.
        axis: Along which it is cut.
        size: How many positions a slice has, the last one perhaps fewer.
        keep: Whether slices have the axis.
    """

    tensor: str
    axis: int
    size: int
    keep: bool


class Sequences:
    """The sequences of a graph as a walk meets them.

    Args:
        fresh: Makes a name of a kind that nothing has yet.
        tensors: What is known, by name.
        domain: The admissible sizes.
        opset: Version of the default operator set.
    """

    def __init__(self, fresh: Callable[[str], str], tensors: Mapping[str, Tensor], domain: Domain, opset: int) -> None:
        self.known: dict[str, tuple[str, ...] | _Slices] = {}
        self._fresh, self._tensors, self._domain, self._opset = fresh, tensors, domain, opset

    def as_tensors(self, node: onnx.NodeProto) -> Nodes | None:
        """Return ordinary nodes that do what a node does with sequences.

        None where it does nothing with any, or something that is not followed.
        """
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        try:
            return rule(self, node) if rule is not None else None
        except IndexError:  # It lacks an input or an output; whoever follows tensors refuses it.
            return None

    def construct(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow SequenceConstruct and SequenceEmpty."""
        return self._list(node, tuple(node.input))

    def insert(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow SequenceInsert."""
        parts = self._parts(node)
        place = self._place(node, 2, len(parts or ()), len(parts or ()))
        if parts is None or place is None:
            return None
        return self._list(node, (*parts[:place], node.input[1], *parts[place:]))

    def erase(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow SequenceErase."""
        parts = self._parts(node)
        place = self._place(node, 1, len(parts or ()) - 1, len(parts or ()))
        if not parts or place is None:
            return None
        return self._list(node, (*parts[:place], *parts[place + 1 :]))

    def copy(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow Identity, and Optional around a sequence."""
        if node.input[0] not in self.known:
            return [_node("Identity", node.input, node.output)] if node.op_type.startswith("Optional") else None
        self.known[node.output[0]] = self.known[node.input[0]]
        return []

    def has_element(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow OptionalHasElement of what is there, or is left out."""
        given = node.input[0] if node.input else ""
        if given and given not in self.known and given not in self._tensors:
            return None
        return [_constant(node.output[0], np.array(bool(given)))]

    def length(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow SequenceLength."""
        found = self.known.get(node.input[0])
        if isinstance(found, tuple):
            return [_constant(node.output[0], np.array(len(found)))]
        if found is None:
            return None
        nodes: Nodes = []
        size = self._add(nodes, "Shape", [found.tensor])
        size = self._add(nodes, "Gather", [size, self._number(nodes, found.axis)], axis=0)
        more, each = self._number(nodes, found.size - 1), self._number(nodes, found.size)
        more = self._add(nodes, "Add", [size, more])
        return [*nodes, _node("Div", [more, each], node.output)]

    def at(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow SequenceAt."""
        found = self.known.get(node.input[0])
        if isinstance(found, tuple):
            place = self._place(node, 1, len(found) - 1, len(found))
            return None if place is None else [_node("Identity", [found[place]], node.output)]
        if found is None:
            return None
        nodes: Nodes = []
        if found.size == 1:
            if not found.keep:
                return [_node("Gather", [found.tensor, node.input[1]], node.output, axis=found.axis)]
            taken = self._add(nodes, "Gather", [found.tensor, node.input[1]], axis=found.axis)
            return [*nodes, *self._axes_changed("Unsqueeze", taken, [found.axis], node.output[0])]
        place = self._constant_of(node.input[1])
        if place is None or place < 0:
            return None
        ends = [self._numbers(nodes, [number]) for number in (place * found.size, (place + 1) * found.size, found.axis)]
        return [*nodes, _node("Slice", [found.tensor, *ends], node.output)]

    def split(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow SplitToSequence."""
        from onnx import helper

        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        tensor = self._tensors.get(node.input[0])
        if tensor is None or tensor.axes is None:
            return None
        axis = int(attributes.get("axis", 0)) % max(tensor.rank, 1)
        told = self._tensors.get(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        if told is not None and told.axes is not None and told.rank == 1:
            return self._split_by(node, axis, told)
        size = 1 if told is None else self._constant_of(node.input[1])
        if not size:
            return None
        keep = told is not None or bool(attributes.get("keepdims", 1))
        whole = tensor.known_axes[axis].constant
        if whole is None or whole > _MOST:
            self.known[node.output[0]] = _Slices(node.input[0], axis, size, keep)
            return []
        return self._split_into(node, axis, [min(size, whole - first) for first in range(0, whole, size)], keep=keep)

    def _split_by(self, node: onnx.NodeProto, axis: int, told: Tensor) -> Nodes | None:
        """Split by lengths that may follow the sizes."""
        if told.value is None or told.value.size > _MOST:
            return None
        lengths = [as_length(each).constant for each in told.value]
        if None not in lengths:
            return self._split_into(node, axis, [int(each) for each in lengths if each is not None], keep=True)
        if self._opset < _AXES_ARE_INPUTS:
            return None
        parts = tuple(self._fresh("part") for _ in lengths)
        self.known[node.output[0]] = parts
        return [_node("Split", list(node.input[:2]), parts, axis=axis)]

    def _split_into(self, node: onnx.NodeProto, axis: int, lengths: list[int], *, keep: bool) -> Nodes:
        nodes: Nodes = []
        raw = [self._fresh("part") for _ in lengths]
        if self._opset < _AXES_ARE_INPUTS:
            nodes.append(_node("Split", [node.input[0]], raw, axis=axis, split=lengths))
        else:
            nodes.append(_node("Split", [node.input[0], self._numbers(nodes, lengths)], raw, axis=axis))
        parts = raw if keep else [self._fresh("part") for _ in lengths]
        for before, after in zip(raw, parts, strict=True):
            nodes += [] if keep else self._axes_changed("Squeeze", before, [axis], after)
        self.known[node.output[0]] = tuple(parts)
        return nodes

    def concat(self, node: onnx.NodeProto) -> Nodes | None:
        """Follow ConcatFromSequence."""
        from onnx import helper

        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        axis, new = int(attributes["axis"]), bool(attributes.get("new_axis", 0))
        found = self.known.get(node.input[0])
        if isinstance(found, _Slices):
            return self._whole(node, found, axis, new=new)
        if not found:
            return None
        nodes: Nodes = []
        parts = list(found)
        if new:
            parts = [self._fresh("part") for _ in found]
            for before, after in zip(found, parts, strict=True):
                nodes += self._axes_changed("Unsqueeze", before, [axis], after)
        return [*nodes, _node("Concat", parts, node.output, axis=axis)]

    def _whole(self, node: onnx.NodeProto, found: _Slices, axis: int, *, new: bool) -> Nodes | None:
        """Put all slices of a tensor together again."""
        tensor = self._tensors.get(found.tensor)
        if tensor is None or tensor.axes is None:
            return None
        rank = tensor.rank
        if found.keep:
            same = not new and axis % rank == found.axis
            return [_node("Identity", [found.tensor], node.output)] if same else None
        others = [at for at in range(rank) if at != found.axis]
        place = axis % rank if new else axis % len(others)
        order = [*others[:place], found.axis, *others[place:]]
        if new:
            return [_node("Transpose", [found.tensor], node.output, perm=order)]
        nodes: Nodes = []
        turned = self._add(nodes, "Transpose", [found.tensor], perm=order)
        shape = self._add(nodes, "Shape", [turned])
        zero, first, last, far = (self._numbers(nodes, [number]) for number in (0, place, place + 2, rank))
        ends = [self._add(nodes, "Slice", [shape, *bounds, zero]) for bounds in ((zero, first), (last, far))]
        shape = self._add(nodes, "Concat", [ends[0], self._numbers(nodes, [-1]), ends[1]], axis=0)
        return [*nodes, _node("Reshape", [turned, shape], node.output)]

    def loop(self, node: onnx.NodeProto) -> Nodes | None:
        """Let a loop collect what it puts at the end of sequences."""
        states = [at for at, name in enumerate(node.input[2:]) if name in self.known]
        if not states or any(self.known[node.input[2 + at]] != () for at in states):
            return None
        body_at = next(at for at, attribute in enumerate(node.attribute) if attribute.name == "body")
        turned = type(node).FromString(node.SerializeToString())
        body = turned.attribute[body_at].g
        added = [_put_at_end(body, at) for at in states]
        if any(name is None for name in added):
            return None
        names = [node.output[at] for at in states]
        collected = [self._fresh("collected") for _ in states]
        for at in reversed(states):
            del turned.input[2 + at], turned.output[at], body.input[2 + at], body.output[1 + at]
        used = [at for at, name in enumerate(names) if name]
        for at in used:
            value = body.output.add()
            value.name = self._fresh("collected")
            body.node.append(_node("Identity", [str(added[at])], [value.name]))
            turned.output.append(collected[at])
            self.known[names[at]] = _Slices(collected[at], 0, 1, keep=False)
        return [turned]

    def _parts(self, node: onnx.NodeProto) -> tuple[str, ...] | None:
        found = self.known.get(node.input[0])
        return found if isinstance(found, tuple) else None

    def _list(self, node: onnx.NodeProto, parts: tuple[str, ...]) -> Nodes:
        self.known[node.output[0]] = parts
        return []

    def _constant_of(self, name: str) -> int | None:
        tensor = self._tensors.get(name)
        if tensor is None or tensor.value is None or tensor.value.size != 1:
            return None
        return self._domain.constant(as_length(tensor.value.reshape(-1)[0]))

    def _place(self, node: onnx.NodeProto, index: int, last: int, count: int) -> int | None:
        """Return a place that may be counted from the end of ``count`` parts, ``last`` where none is told."""
        if len(node.input) <= index or not node.input[index]:
            return last
        place = self._constant_of(node.input[index])
        if place is None:
            return None
        place = place + count if place < 0 else place
        return place if 0 <= place <= last else None

    def _axes_changed(self, kind: str, name: str, axes: list[int], output: str) -> Nodes:
        if self._opset < _AXES_ARE_INPUTS:
            return [_node(kind, [name], [output], axes=axes)]
        nodes: Nodes = []
        told = self._numbers(nodes, axes)
        return [*nodes, _node(kind, [name, told], [output])]

    def _add(self, nodes: Nodes, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = self._fresh("sequence")
        nodes.append(_node(kind, inputs, [name], **attributes))
        return name

    def _numbers(self, nodes: Nodes, values: list[int]) -> str:
        name = self._fresh("numbers")
        nodes.append(_constant(name, np.array(values, np.int64)))
        return name

    def _number(self, nodes: Nodes, value: int) -> str:
        name = self._fresh("number")
        nodes.append(_constant(name, np.array(value, np.int64)))
        return name


def _put_at_end(body: onnx.GraphProto, state: int) -> str | None:
    """Return what a body puts at the end of a sequence, where it does nothing else with it."""
    name, result = body.input[2 + state].name, body.output[1 + state].name
    readers = [node for node in body.node if name in node.input or name in outer_names(node)]
    if len(readers) != 1 or readers[0].op_type != "SequenceInsert" or readers[0].input[0] != name:
        return None
    (reader,) = readers
    others = [node for node in body.node if reader.output[0] in node.input or reader.output[0] in outer_names(node)]
    if len(reader.input) > 2 or reader.output[0] != result or others:
        return None
    body.node.remove(reader)
    return str(reader.input[1])


def _node(kind: str, inputs: Any, outputs: Any, **attributes: Any) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node(kind, list(inputs), list(outputs), name=outputs[0], **attributes)


def _constant(name: str, value: Any) -> onnx.NodeProto:
    from onnx import numpy_helper

    return _node("Constant", [], [name], value=numpy_helper.from_array(value))


_RULES: dict[str, Callable[[Sequences, onnx.NodeProto], Nodes | None]] = {
    "SequenceConstruct": Sequences.construct,
    "SequenceEmpty": Sequences.construct,
    "SequenceInsert": Sequences.insert,
    "SequenceErase": Sequences.erase,
    "SequenceAt": Sequences.at,
    "SequenceLength": Sequences.length,
    "SplitToSequence": Sequences.split,
    "ConcatFromSequence": Sequences.concat,
    "Identity": Sequences.copy,
    "Optional": Sequences.copy,
    "OptionalGetElement": Sequences.copy,
    "OptionalHasElement": Sequences.has_element,
    "Loop": Sequences.loop,
}

FOLLOWED = tuple(name for name in _RULES if name not in ("Identity", "Loop"))
"""The operators of sequences that are followed."""
