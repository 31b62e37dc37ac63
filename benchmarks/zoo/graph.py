"""Writing ONNX graphs by hand in few lines: named values, weights from a seed, and exporters' shape arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Graph"]

_TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
_IR_VERSION = 10


class Graph:
    """An ONNX graph under construction; values are their names.

    Args:
        name: The graph's name; with ``seed`` it decides the weights.
        opset: Version of the standard operators.
        seed: Of the weights.
        prefix: Goes before the names that are made up.
    """

    def __init__(self, name: str, *, opset: int = 17, seed: int = 0, prefix: str = "") -> None:
        self.name, self.opset, self._prefix = name, opset, prefix
        self._random = np.random.default_rng([seed, *name.encode()])
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dims: Sequence[int | str | None], dtype: str = "float32") -> str:
        """Add an input."""
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], dims))
        return name

    def output(self, value: str, name: str, dims: Sequence[int | str | None], dtype: str = "float32") -> None:
        """Give ``value`` out under ``name``."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], dims))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node and return its output, or a tuple of them where there are several."""
        names = [self._fresh(kind) for _ in range(outputs)]
        node = helper.make_node(kind, inputs, names, name=f"node_{names[0]}", **attributes)
        self._nodes.append(node)
        return names[0] if outputs == 1 else tuple(names)

    def const(self, value: ArrayLike, dtype: str | None = None) -> str:
        """Add a constant; Python numbers become int64 or float32."""
        array = np.asarray(value)
        if dtype is None:
            dtype = {"f": "float32", "i": "int64", "b": "bool"}[array.dtype.kind]
        name = self._fresh("const")
        self._weights.append(numpy_helper.from_array(array.astype(dtype), name))
        return name

    def weight(self, *shape: int, scale: float | None = None, mean: float = 0.0) -> str:
        """Add random weights; by default their scale keeps the size of what they are multiplied with.

        Matrices are ``[in, out]``, kernels ``[out, in, *kernel]``.
        """
        return self.const(self.numbers(*shape, scale=scale, mean=mean))

    def numbers(self, *shape: int, scale: float | None = None, mean: float = 0.0) -> NDArray[Any]:
        """Return the random numbers that ``weight`` would make a constant of."""
        fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        scale = 1 / np.sqrt(max(fan_in, 1)) if scale is None else scale
        return (mean + scale * self._random.standard_normal(shape)).astype(np.float32)

    def dim(self, value: str, axis: int) -> str:
        """Return the size along ``axis`` as a scalar, the way torch exports ``x.size(axis)``."""
        return str(self.op("Gather", self.op("Shape", value), self.const(axis), axis=0))

    def vector(self, *parts: str | int) -> str:
        """Return a vector of scalars and numbers, the way torch exports the argument of ``view``."""
        singles = [
            self.const([part]) if isinstance(part, int) else self.op("Unsqueeze", part, self.const([0]))
            for part in parts
        ]
        return str(self.op("Concat", *singles, axis=0))

    def reshape(self, value: str, *dims: str | int, allowzero: int = 0) -> str:
        """Reshape to dimensions of which some are values."""
        shape = self.const(list(dims)) if all(isinstance(dim, int) for dim in dims) else self.vector(*dims)
        return str(self.op("Reshape", value, shape, **({"allowzero": 1} if allowzero else {})))

    def slice(self, value: str, axis: int, start: str | int, end: str | int, step: int = 1) -> str:
        """Take ``start`` to ``end`` along one axis; either may be a scalar value."""
        ends = [self.vector(each) for each in (start, end)]
        return str(self.op("Slice", value, ends[0], ends[1], self.const([axis]), self.const([step])))

    def range(self, end: str) -> str:
        """Return 0, 1, … up to the scalar ``end``, as int64."""
        return str(self.op("Range", self.const(0), end, self.const(1)))

    def cast(self, value: str, dtype: str) -> str:
        """Convert."""
        return str(self.op("Cast", value, to=_TYPES[dtype]))

    def body(self, write: Callable[[Graph], None]) -> onnx.GraphProto:
        """Return the sub-graph that ``write`` builds; it may use all values of this graph."""
        self._count += 1
        name = f"{self.name}_body{self._count}"
        inner = Graph(name, opset=self.opset, prefix=f"{name}_")
        write(inner)
        return inner.proto()

    def proto(self) -> onnx.GraphProto:
        """Return the graph."""
        return helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._weights)

    def model(self) -> onnx.ModelProto:
        """Return the finished model, checked."""
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(self.proto(), opset_imports=opsets, ir_version=_IR_VERSION)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}{kind}_{self._count}"
