"""The shape of every tensor of a model at one value per variable: ONNX shape inference and constant folding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.reading import load_model
from scaling_tasks.shapes.signature import Signature

__all__ = ["ShapeOracle"]

# Larger constants are weights: only their shapes matter.
_SMALL = 256
_ROUNDS = 20
# fmt: off
_FOLDABLE = frozenset((
    "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Flatten", "Floor",
    "Gather", "Greater", "Identity", "Less", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range",
    "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterND", "Size", "Slice", "Split",
    "Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
))
# fmt: on
_Shape = tuple[int, ...]


class ShapeOracle:
    """Infers all shapes of a model; each answer is remembered.

    Args:
        path: The ONNX model.
        signature: Its inputs with dynamic dimensions named.

    Attributes:
        nodes: The model's nodes in order.
    """

    nodes: list[Any]

    def __init__(self, path: Path, signature: Signature) -> None:
        self._path, self._signature = path, signature
        self._model = load_model(path, weights=False)
        self.nodes = list(self._model.graph.node)
        _strip_weights(self._model)
        self._known: dict[tuple[int, ...], dict[str, _Shape]] = {}

    def shapes(self, values: Mapping[str, int]) -> dict[str, _Shape]:
        """Return the shape of every tensor at one value per variable; scalars are ().

        Raises:
            ModelError: Inference fails, or a tensor's shape depends on data.
        """
        key = tuple(values[name] for name in self._signature.variables)
        if key not in self._known:
            self._known[key] = self._infer(values)
        return self._known[key]

    def _infer(self, values: Mapping[str, int]) -> dict[str, _Shape]:
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        fixed = self._signature.shapes(values)
        for value in model.graph.input:
            if value.name in fixed:
                _set_shape(value, fixed[value.name])
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for _ in range(_ROUNDS):
            try:
                inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
            except Exception as cause:
                raise self._error(values, str(cause).splitlines()[-1]) from cause
            shapes = _found_shapes(inferred)
            if not _fold(model, shapes, constants):
                break
        missing = [name for node in self.nodes for name in node.output if name and name not in shapes]
        if missing:
            raise self._error(values, f"the shape of {missing[0]!r} depends on data")
        return shapes

    def _error(self, values: Mapping[str, int], why: str) -> ModelError:
        fix = "Use `cost: elements` or `measured`."
        return ModelError(f"shapes cannot be inferred at {dict(values)} ({why})", where=str(self._path), fix=fix)


def _strip_weights(model: Any) -> None:
    """Turn large constants into inputs, make small ones initializers, and forget old shape notes."""
    import onnx

    graph = model.graph
    kept: list[Any] = []
    stripped: list[Any] = []
    for tensor in graph.initializer:
        (stripped if int(np.prod(tensor.dims)) > _SMALL else kept).append(tensor)
    nodes = []
    for node in graph.node:
        tensor = next((a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None)
        if tensor is None:
            nodes.append(node)
            continue
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = node.output[0]
        (stripped if int(np.prod(tensor.dims)) > _SMALL else kept).append(copy)
    present = {value.name for value in graph.input}
    described = [
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in stripped
        if tensor.name not in present
    ]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    for part in (graph.initializer, graph.node, graph.value_info):
        del part[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    graph.input.extend(described)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _set_shape(value: Any, shape: _Shape) -> None:
    value.type.tensor_type.ClearField("shape")
    for size in shape:
        value.type.tensor_type.shape.dim.add().dim_value = size


def _found_shapes(model: Any) -> dict[str, _Shape]:
    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return found


def _fold(model: Any, shapes: Mapping[str, _Shape], constants: dict[str, Any]) -> bool:
    """Replace nodes that compute small constants by their values; return whether any was."""
    import onnx

    nodes, folded = [], False
    for node in model.graph.node:
        results = _evaluate(node, shapes, constants)
        if results is None:
            nodes.append(node)
            continue
        folded = True
        for name, array in zip(node.output, results, strict=False):
            if name:
                constants[name] = np.asarray(array)
                model.graph.initializer.append(onnx.numpy_helper.from_array(constants[name], name))
    if folded:
        rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(rest)
    return folded


def _evaluate(node: Any, shapes: Mapping[str, _Shape], constants: Mapping[str, Any]) -> list[Any] | None:
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "Shape" and node.input[0] in shapes:
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        return [np.asarray(shapes[node.input[0]], dtype=np.int64)[bounds.get("start", 0) : bounds.get("end")]]
    if node.op_type == "Constant":
        return list(ReferenceEvaluator(node).run(None, {}))
    if node.op_type not in _FOLDABLE or any(name and name not in constants for name in node.input):
        return None
    if any(int(np.prod(shapes.get(name, ()))) > _SMALL for name in node.output):
        return None
    try:
        return list(ReferenceEvaluator(node).run(None, {name: constants[name] for name in node.input if name}))
    except Exception:  # an operator version that the evaluator does not know: inference may still get by without it
        return None
