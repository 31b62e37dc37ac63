"""The graph within a node, and copies of it among the nodes around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import Writer

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Body", "chosen"]

_MOST_NUMBERS = 4096
_BOOL = 9


def chosen(write: Writer, where: str, one: str, other: str, kind: int, output: str = "") -> str:
    """Choose between two tensors of an element type: onnxruntime, which folds what comes of it, chooses no truth."""
    if kind != _BOOL:
        return write.node("Where", [where, one, other], output)
    sides = write.node("And", [where, one]), write.node("And", [write.node("Not", [where]), other])
    return write.node("Or", sides, output)


class Body:
    """A graph within a node; its constants join the model's initialisers with the first copy.

    Args:
        model: The model.
        graph: The graph.
        stem: What the names of its tensors are to begin with, which no other tensor's may.

    Attributes:
        inputs: The names of what it takes.
        outputs: The names of what it gives.
        kinds: The element types of what it gives, 0 where that is not said.
        is_listed: Whether the first of what it gives says that it has a dimension.
    """

    def __init__(self, model: onnx.ModelProto, graph: onnx.GraphProto, stem: str) -> None:
        from onnx import numpy_helper

        self._model, self._graph, self._stem, self._count = model, graph, stem, 0
        self._own = {tensor.name: f"{stem}/{tensor.name}" for tensor in graph.initializer}
        # What lies in a side file is no number of turns.
        inside = [tensor for tensor in graph.initializer if not tensor.external_data]
        self._values: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in inside}
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        self.kinds = [value.type.tensor_type.elem_type for value in graph.output]
        self.is_listed = any(value.type.tensor_type.shape.dim for value in graph.output[:1])

    def __len__(self) -> int:
        return _count(self._graph)

    def turn(self, number: int) -> list[Array]:
        """Return what a loop's body is given before its states: the number of a turn and that it runs.

        They are of one dimension where it says so.
        """
        ranks = (len(value.type.tensor_type.shape.dim) for value in self._graph.input)
        pairs = zip((np.array(number, np.int64), np.array(True)), ranks, strict=False)
        return [each.reshape([1] * rank) for each, rank in pairs]

    def copied(self, nodes: list[onnx.NodeProto], given: Sequence[str] = ()) -> list[str]:
        """Add copies of its nodes that take ``given`` for its inputs; return the names of what they give."""
        if not self._count:
            for tensor in self._graph.initializer:
                self._model.graph.initializer.append(tensor)
                self._model.graph.initializer[-1].name = self._own[tensor.name]
        self._count += 1
        names = {**self._own, **dict(zip(self.inputs, given, strict=True))}
        stem = f"{self._stem}{self._count}"
        for node in self._graph.node:
            names |= {name: f"{stem}/{name}" for name in node.output if name}
            copy = type(node)()
            copy.CopyFrom(node)
            _rename(copy, names)
            copy.name = f"{stem}/{node.name}" if node.name else ""
            nodes.append(copy)
        return [names.get(name, name) for name in self.outputs]

    def values(
        self, given: Sequence[Array | None], around: Mapping[str, Array], seen: dict[str, Array] | None = None
    ) -> list[Array | None]:
        """Return the values of what it gives that follow from constants and from those inputs that are known.

        Args:
            given: The values of its inputs, None where they are not known.
            around: The constants around it.
            seen: Where to put all values that are known.
        """
        pairs = zip(self.inputs, given, strict=True)
        known = {**self._values, **{name: value for name, value in pairs if value is not None}}
        unknown = {name for name in self.inputs if name not in known}
        for node in self._graph.node:
            inputs: dict[str, Array] = {}
            for name in filter(None, node.input):
                value = known.get(name) if name in known or name in unknown else around.get(name)
                if value is None or value.size > _MOST_NUMBERS:
                    break
                inputs[name] = value
            else:
                known |= _evaluated(self._model, node, inputs)
            unknown.update(name for name in node.output if name not in known)
        if seen is not None:
            seen |= known
        return [known.get(name) for name in self.outputs]


def _count(graph: onnx.GraphProto) -> int:
    inner = (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g"))
    return len(graph.node) + sum(map(_count, inner))


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Call a node's inputs and outputs by other names, in graphs within it as well."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graph = attribute.g
            own = {value.name for value in (*graph.input, *graph.initializer)}
            own |= {name for each in graph.node for name in each.output}
            rest = {name: new for name, new in names.items() if name not in own}
            for each in graph.node:
                _rename(each, rest)
            for value in graph.output:
                value.name = rest.get(value.name, value.name)


def _evaluated(model: onnx.ModelProto, node: onnx.NodeProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what a node gives, or nothing where it cannot be told."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    if any(attribute.HasField("g") for attribute in node.attribute):
        return {}
    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "one",
        [],
        [helper.make_empty_tensor_value_info(name) for name in names],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in inputs.items()],
    )
    whole = helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)
    try:
        results: Any = ReferenceEvaluator(whole).run(names, {})
    except Exception:  # An operator or a type that it does not know.
        return {}
    return dict(zip(names, map(np.asarray, results), strict=True))
