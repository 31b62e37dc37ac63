"""The cleaned graph as it grows: nodes, constants and the extra inputs that tell a request's exact size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.shapes.expressions import variables_of
from scaling_tasks.shapes.layouts import layout_variables
from scaling_tasks.shapes.size_inputs import SizeInput

if TYPE_CHECKING:
    import onnx

__all__ = ["PREFIX", "Emitter"]

PREFIX = "st_"
"""What names of added tensors start with."""
_MODERN = 13
_NEWER = "Export the model with opset 13 or newer."


class Emitter:
    """Collects what the cleaned graph is made of.

    Args:
        opset: Version of the default operator set.
        taken: Names that the original graph uses.

    Attributes:
        opset: As given.
        nodes: Those of the graph, or of the body that is being put together.
        constants: By name.
        size_inputs: The extra inputs.
        told: The variables of whose exact sizes an extra input tells, of those asked for since this was last emptied.
        tells: Makes in the graph what an extra input would hold, where that is to be done; None where not.
    """

    def __init__(self, opset: int, taken: set[str]) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.size_inputs: list[SizeInput] = []
        self.told: set[str] = set()
        self.tells: Callable[[SizeInput], str] | None = None
        self._taken = taken
        self._made: dict[Any, str] = {}
        self._next: dict[str, int] = {}

    def fresh(self, kind: str) -> str:
        """Return an unused name."""
        number = self._next.get(kind, 0)  # All below are taken, and none is given back.
        while (name := f"{PREFIX}{kind}_{number}") in self._taken:
            number += 1
        self._next[kind] = number + 1
        self._taken.add(name)
        return name

    def own(self, graph: onnx.GraphProto) -> onnx.GraphProto:
        """Give the nodes of a graph that becomes part of this one other names where theirs are taken; return it."""
        for node in graph.node:
            if node.name in self._taken:
                node.name = self.fresh("node")
            self._taken.add(node.name)
        return graph

    def constant(self, value: NDArray[Any]) -> str:
        """Return the name of a constant."""
        key = ("constant", value.dtype.str, value.shape, value.tobytes())
        if key not in self._made:
            self._made[key] = name = self.fresh("constant")
            self.constants[name] = value
        return self._made[key]

    def numbers(self, values: Iterable[int]) -> str:
        """Return the name of a constant vector of whole numbers."""
        return self.constant(np.array(list(values), np.int64))

    def part_of_shape(self, name: str, start: int, end: int) -> str:
        """Return the lengths of the axes from ``start`` to ``end`` of a tensor as it is at run time."""
        return self.once("Slice", [self.once("Shape", [name]), self.numbers([start]), self.numbers([end])])

    def size_input(self, spec: SizeInput) -> str:
        """Return the name of an extra input like ``spec``, whose own name does not matter."""
        self.told |= _told(spec)
        key = ("input", replace(spec, name=""))
        if key not in self._made and self.tells is not None:
            self._made[key] = self.tells(spec)
        if key not in self._made:
            self._made[key] = name = self.fresh(spec.kind)
            self.size_inputs.append(replace(spec, name=name))
        return self._made[key]

    def node(self, operator: str, inputs: Sequence[str], *, kind: str = "", **attributes: Any) -> str:
        """Add a node of one output and return that output's name.

        Raises:
            Refused: The model's version of the operators has none of that form.
        """
        from onnx import helper

        self._check(operator, inputs, attributes)
        name = self.fresh(kind or operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def into(self, output: str, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Add a node that computes a tensor of the original graph.

        Raises:
            Refused: The model's version of the operators has none of that form.
        """
        from onnx import helper

        self._check(operator, inputs, attributes)
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=self.fresh("node"), **attributes))

    def _check(self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any]) -> None:
        from onnx import defs

        if attributes.get("domain") or self.opset >= _MODERN:
            return
        try:
            schema = defs.get_schema(operator, self.opset)
            known = len(inputs) <= schema.max_input and schema.attributes.keys() >= attributes.keys()
        except defs.SchemaError:
            known = False
        if not known:
            raise Refused(f"its cleaning needs {operator} as it is not in opset {self.opset}", _NEWER)

    def once(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node unless the same is there already; return its output's name."""
        key = ("node", operator, tuple(inputs), repr(sorted(attributes.items())))
        if key not in self._made:
            self._made[key] = self.node(operator, inputs, **attributes)
        return self._made[key]

    def mark(self) -> dict[Any, str]:
        """Return what is made once, before going into a body."""
        return dict(self._made)

    def leave(self, mark: dict[Any, str]) -> None:
        """Leave a body: what was made in it once is made again outside."""
        self._made = mark

    def unsqueeze(self, name: str, axes: Sequence[int]) -> str:
        """Return ``name`` with axes of length 1 at the given places of the result."""
        if not axes:
            return name
        if self.opset < 13:
            return self.once("Unsqueeze", [name], axes=list(axes))
        return self.once("Unsqueeze", [name, self.numbers(axes)])

    def squeeze(self, name: str, axes: Sequence[int]) -> str:
        """Return ``name`` without the given axes, each of length 1."""
        if self.opset < 13:
            return self.once("Squeeze", [name], axes=list(axes))
        return self.once("Squeeze", [name, self.numbers(axes)])

    def cast(self, name: str, dtype: int) -> str:
        """Return ``name`` as another element type."""
        return self.once("Cast", [name], to=dtype)

    def reduce(self, operator: str, name: str, axes: Sequence[int], *, keepdims: int) -> str:
        """Add a reduction, whose axes are an attribute or an input by version."""
        as_input = self.opset >= (13 if operator == "ReduceSum" else 18)
        if as_input:
            return self.node(operator, [name, self.numbers(axes)], keepdims=keepdims)
        return self.node(operator, [name], axes=list(axes), keepdims=keepdims)


def _told(spec: SizeInput) -> frozenset[str]:
    """Return the variables whose exact sizes change what an extra input holds, rows among them."""
    found = frozenset().union(*map(variables_of, spec.expressions))
    if spec.kind in ("valid", "index", "matrix"):
        return found.union(*map(layout_variables, (*spec.layouts, spec.source)))
    return found
