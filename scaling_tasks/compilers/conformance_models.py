"""Small ONNX models with dynamic dimensions, on which a backend proves that it keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scaling_tasks.shapes.behaviour import Behaviour
from scaling_tasks.shapes.expressions import as_text
from scaling_tasks.shapes.signature import Signature, TensorSpec

if TYPE_CHECKING:
    import onnx

__all__ = [
    "CleanedCase",
    "ConformanceCase",
    "cleaned_case",
    "corner_case",
    "image_case",
    "shared_variable_case",
    "side_file_case",
    "transformer_case",
    "weightless_case",
]

_OPSET = 12


@dataclass(frozen=True)
class ConformanceCase:
    """A model, its signature and buckets to compile.

    Attributes:
        model: The file.
        signature: Its inputs with dynamic dimensions named.
        buckets: In the order of ``signature.variables``.
    """

    model: Path
    signature: Signature
    buckets: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CleanedCase:
    """A model that was cleaned, so that its buckets answer for smaller sizes too.

    Attributes:
        original: The model as it was.
        compiled: The cleaned model, whose signature holds the inputs that tell exact sizes.
        behaviour: How these inputs are filled.
    """

    original: ConformanceCase
    compiled: ConformanceCase
    behaviour: Behaviour


def cleaned_case(original: ConformanceCase, directory: Path) -> CleanedCase:
    """Return a case and its model cleaned, as the pipeline hands it to a backend."""
    from scaling_tasks.analysis.analyse import analyse_model

    dims = {
        tensor.name: [dim if isinstance(dim, int) else as_text(dim) for dim in tensor.dims]
        for tensor in original.signature.inputs
    }
    found = analyse_model(original.model, input_shape=dims)
    path = directory / f"{original.model.stem}_cleaned.onnx"
    path.write_bytes(found.cleaned.SerializeToString(deterministic=True))
    signature = Signature((*original.signature.inputs, *found.behaviour.tensors()))
    return CleanedCase(original, ConformanceCase(path, signature, original.buckets), found.behaviour)


def corner_case(directory: Path) -> ConformanceCase:
    """Return what takes the rarer forms of cleaning: content that may be infinite, an order read backwards, an edge."""
    nodes: list[tuple[Any, ...]] = [
        ("Exp", ["x"], ["large"]),
        ("ReduceSum", ["large"], ["sum"], {"axes": [2], "keepdims": 1}),
        ("Div", ["large", "sum"], ["share"]),
        ("Slice", ["x", "last", "first", "axis", "back"], ["backwards"]),
        ("Add", ["share", "backwards"], ["both"]),
        ("ReduceMax", ["both"], ["top"], {"axes": [2], "keepdims": 1}),
        ("Sub", ["both", "top"], ["y"]),
    ]
    signature = Signature((TensorSpec("x", (1, 3, "length")),))
    numbers = {"last": [-1], "first": [-(2**31)], "axis": [2], "back": [-1]}
    model = _write(directory / "corner.onnx", nodes, {}, signature, {"y": (1, 3, "length")}, numbers)
    return ConformanceCase(model, signature, ((8,), (24,)))


def image_case(directory: Path) -> ConformanceCase:
    """Return a convolution, a HardSigmoid gate and a mean over both sides of an image; N and W vary."""
    nodes: list[tuple[Any, ...]] = [
        ("Conv", ["x", "kernel"], ["features"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["features"], ["active"]),
        ("GlobalAveragePool", ["active"], ["mean"]),
        ("HardSigmoid", ["mean"], ["gate"], {"alpha": 0.3, "beta": 0.4}),
        ("Mul", ["active", "gate"], ["y"]),
    ]
    signature = Signature((TensorSpec("x", ("N", 3, 16, "W")),))
    weights = {"kernel": (8, 3, 3, 3)}
    model = _write(directory / "image.onnx", nodes, weights, signature, {"y": ("N", 8, 16, "W")})
    return ConformanceCase(model, signature, ((1, 32), (2, 64)))


def shared_variable_case(directory: Path) -> ConformanceCase:
    """Return a model whose two inputs have the variable ``length`` in common."""
    nodes: list[tuple[Any, ...]] = [
        ("MatMul", ["left", "weight"], ["moved"]),
        ("Add", ["moved", "right"], ["sum"]),
        ("Tanh", ["sum"], ["y"]),
    ]
    signature = Signature((TensorSpec("left", (1, "length", 16)), TensorSpec("right", (1, "length", 8))))
    weights = {"weight": (16, 8)}
    model = _write(directory / "shared.onnx", nodes, weights, signature, {"y": (1, "length", 8)})
    return ConformanceCase(model, signature, ((8,), (24,)))


def transformer_case(directory: Path) -> ConformanceCase:
    """Return one attention block over ``[batch, seq, 16]``."""
    nodes: list[tuple[Any, ...]] = [
        ("MatMul", ["tokens", "query_weight"], ["query"]),
        ("MatMul", ["tokens", "key_weight"], ["key"]),
        ("MatMul", ["tokens", "value_weight"], ["value"]),
        ("Transpose", ["key"], ["key_columns"], {"perm": [0, 2, 1]}),
        ("MatMul", ["query", "key_columns"], ["scores"]),
        ("Softmax", ["scores"], ["attention"], {"axis": 2}),
        ("MatMul", ["attention", "value"], ["context"]),
        ("Add", ["context", "tokens"], ["y"]),
    ]
    signature = Signature((TensorSpec("tokens", ("batch", "seq", 16)),))
    weights = dict.fromkeys(("query_weight", "key_weight", "value_weight"), (16, 16))
    model = _write(directory / "transformer.onnx", nodes, weights, signature, {"y": ("batch", "seq", 16)})
    return ConformanceCase(model, signature, ((1, 8), (2, 20)))


def side_file_case(directory: Path) -> ConformanceCase:
    """Return a model that keeps its weights in a file beside it, below a directory and after other content."""
    import onnx

    nodes: list[tuple[Any, ...]] = [
        ("MatMul", ["x", "first"], ["wide"]),
        ("Relu", ["wide"], ["active"]),
        ("MatMul", ["active", "second"], ["y"]),
    ]
    signature = Signature((TensorSpec("x", (1, "length", 16)),))
    weights = {"first": (16, 64), "second": (64, 16)}
    path = _write(directory / "side.onnx", nodes, weights, signature, {"y": (1, "length", 16)})
    model = onnx.load(str(path))
    # A name that a backend could have chosen for a file of its own, which it must not take for that.
    location = "parts/dynamic.weights"
    (directory / "parts").mkdir(exist_ok=True)
    with (directory / location).open("wb") as file:
        for tensor in model.graph.initializer:
            file.write(b"\xff" * 64)
            entries = {"location": location, "offset": file.tell(), "length": len(tensor.raw_data)}
            file.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return ConformanceCase(path, signature, ((8,), (24,)))


def weightless_case(directory: Path) -> ConformanceCase:
    """Return a model that holds no number at all."""
    nodes: list[tuple[Any, ...]] = [("Relu", ["x"], ["positive"]), ("Add", ["x", "positive"], ["y"])]
    signature = Signature((TensorSpec("x", (1, 3, "W")),))
    model = _write(directory / "weightless.onnx", nodes, {}, signature, {"y": (1, 3, "W")})
    return ConformanceCase(model, signature, ((8,), (24,)))


def _write(
    path: Path,
    nodes: Sequence[tuple[Any, ...]],
    weights: Mapping[str, tuple[int, ...]],
    signature: Signature,
    outputs: Mapping[str, tuple[int | str, ...]],
    numbers: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Path:
    """Write a model; a node is (operator, inputs, outputs, attributes), ``numbers`` are constants."""
    import onnx
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node(node[0], node[1], node[2], node[2][0], **(node[3] if node[3:] else {})) for node in nodes],
        path.stem,
        [_value(tensor.name, tensor.dims) for tensor in signature.inputs],
        [_value(name, dims) for name, dims in outputs.items()],
        [_weight(name, shape) for name, shape in weights.items()]
        + [helper.make_tensor(name, onnx.TensorProto.INT64, [len(each)], each) for name, each in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=7)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _value(name: str, dims: Sequence[Any]) -> onnx.ValueInfoProto:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))


def _weight(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    import numpy as np
    from onnx import numpy_helper

    generator = np.random.default_rng(len(name))
    return numpy_helper.from_array(generator.normal(0, 0.3, shape).astype(np.float32), name)
