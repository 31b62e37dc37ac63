"""Writing nodes in place of others: what preparing a model for an importer is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Writer",
    "attributes_of",
    "constants_of",
    "element_types",
    "ranks_of",
    "replace_nodes",
    "rewrite_floats",
    "static_shapes",
    "store_as_bytes",
]

_FLOAT = 1
_AXES_ARE_INPUTS = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
"""From which opset on, where that is not the one of all other reductions."""
_OTHERS_ARE_INPUTS = 18


class Writer:
    """Makes the nodes that stand for one node, named after it; their constants join the model's initialisers.

    Args:
        model: The model.
        stem: What the names of nodes and tensors begin with, which no other tensor's may.

    Attributes:
        nodes: What was made so far.
    """

    def __init__(self, model: onnx.ModelProto, stem: str) -> None:
        self._model, self._stem = model, stem
        self._count = 0
        self.nodes: list[onnx.NodeProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Make a node of one output and return that output's name: ``output``, or one of the writer's own."""
        return self.several(kind, inputs, [output or self._fresh()], **attributes)[0]

    def several(self, kind: str, inputs: Sequence[str], outputs: Sequence[str] | int, **attributes: Any) -> list[str]:
        """Make a node of several outputs, of these names or so many, and return their names."""
        from onnx import helper

        names = [self._fresh() for _ in range(outputs)] if isinstance(outputs, int) else list(outputs)
        self.nodes.append(helper.make_node(kind, inputs, names, name=next(filter(None, names)), **attributes))
        return names

    def constant(self, value: ArrayLike, dtype: str = "float32") -> str:
        """Add a constant and return its name."""
        import numpy as np
        from onnx import numpy_helper

        name = self._fresh()
        array = np.ascontiguousarray(np.asarray(value, dtype))
        self._model.graph.initializer.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def reshape(self, name: str, shape: Sequence[int], output: str = "") -> str:
        """Give a tensor another shape."""
        return self.node("Reshape", [name, self.constant(shape, "int64")], output)

    def over(self, kind: str, name: str, axes: Sequence[int], output: str = "", **attributes: Any) -> str:
        """Make a reduction, Squeeze or Unsqueeze over ``axes``, which the opset has as an attribute or an input."""
        if opset_of(self._model) < _AXES_ARE_INPUTS.get(kind, _OTHERS_ARE_INPUTS):
            return self.node(kind, [name], output, axes=list(axes), **attributes)
        return self.node(kind, [name, self.constant(axes, "int64")], output, **attributes)

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._stem}/{self._count}"


def replace_nodes(model: onnx.ModelProto, replace: Callable[[onnx.NodeProto], list[onnx.NodeProto] | None]) -> bool:
    """Put what ``replace`` returns in a node's place, or leave it where that is None; return whether any was put."""
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in model.graph.node:
        new = replace(node)
        changed |= new is not None
        nodes += [node] if new is None else new
    if changed:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return changed


def rewrite_floats(
    model: onnx.ModelProto, kinds: Collection[str], mark: str, write_out: Callable[[Writer, onnx.NodeProto], object]
) -> bool:
    """Write nodes of some kinds otherwise where their first input is of floats, in place; return whether any was.

    Args:
        model: The model.
        kinds: Of the nodes.
        mark: What the names of what is written end with, behind that of the node's output and before a number.
        write_out: Writes what stands for a node.
    """
    if all(node.op_type not in kinds for node in model.graph.node):
        return False
    types = element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type not in kinds or types.get(node.input[0]) != _FLOAT:
            return None
        write = Writer(model, f"{node.output[0]}/{mark}")
        write_out(write, node)
        return write.nodes

    return replace_nodes(model, replace)


def store_as_bytes(model: onnx.ModelProto) -> bool:
    """Store constants as raw bytes, in place: some importers read no numbers; return whether any was changed."""
    from onnx import numpy_helper

    changed = False
    for tensor in model.graph.initializer:
        if not tensor.HasField("raw_data") and not tensor.external_data and tensor.data_type != tensor.STRING:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
            changed = True
    return changed


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name, texts as ``str``."""
    from onnx import helper

    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: _text(value) for name, value in found.items()}


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_text(each) for each in value] if isinstance(value, list) else value


def static_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors that have one shape only."""
    import onnx

    inferred: Any = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return found


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element types of all tensors of which they can be told."""
    import onnx

    inferred: Any = onnx.shape_inference.infer_shapes(model).graph
    found = {tensor.name: int(tensor.data_type) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        found[value.name] = int(value.type.tensor_type.elem_type)
    return found


def ranks_of(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many dimensions tensors have of which that can be told."""
    import onnx

    inferred: Any = onnx.shape_inference.infer_shapes(model).graph
    found = {tensor.name: len(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            found[value.name] = len(value.type.tensor_type.shape.dim)
    return found


def constants_of(model: onnx.ModelProto, directory: Path) -> Mapping[str, NDArray[np.generic]]:
    """Return the model's constants by name, each read when it is asked for; ``directory`` has those in side files."""
    return _Constants(model, directory)


class _Constants(Mapping[str, "NDArray[np.generic]"]):
    def __init__(self, model: onnx.ModelProto, directory: Path) -> None:
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    self._tensors[node.output[0]] = attribute.t
        self._directory = str(directory)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        from onnx import numpy_helper

        array: NDArray[np.generic] = numpy_helper.to_array(self._tensors[name], self._directory)
        return array

    def __iter__(self) -> Any:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
