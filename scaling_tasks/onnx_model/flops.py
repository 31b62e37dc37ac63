"""The cost model ``flops``: operations of a model at any shape, counted from the ONNX itself.

Inferring every tensor's shape takes milliseconds, so it is done once per value of each variable, the others held. A
dimension that follows one variable is then known everywhere, and one that follows several is taken as the product of
what each does to it (flattened images, attention scores), which is checked against full inference at a few shapes.
Where the check fails, every shape is inferred by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.onnx_model.digest import digest_model
from scaling_tasks.onnx_model.operators import count_operations, is_multiply_add
from scaling_tasks.onnx_model.tensor_shapes import ShapeOracle
from scaling_tasks.shapes.signature import Signature

__all__ = ["FlopsCost"]

_MOST_FULL = 3_000


class FlopsCost:
    """Floating-point operations of one inference; a multiplication and an addition are two.

    Args:
        path: The ONNX model.
        signature: Its inputs; columns of shapes are in the order of ``signature.variables``.
        multiply_add_only: Whether to count convolutions and matrix products alone.
    """

    def __init__(self, path: Path, signature: Signature, *, multiply_add_only: bool = False) -> None:
        self._variables = signature.variables
        self._oracle = ShapeOracle(path, signature)
        self._digest = digest_model(path)
        self._only = multiply_add_only
        self._factors: bool | None = None

    @classmethod
    def from_model(cls, path: Path, signature: Signature) -> FlopsCost:
        """Return the cost model of the ONNX model at ``path``."""
        return cls(path, signature)

    nondecreasing = True

    def describe(self) -> dict[str, Any]:
        """Return the kind and the model's digest."""
        return {"kind": "flops", "model": self._digest}

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the operations at each shape [n, d], float64 [n].

        Raises:
            ModelError: Shapes cannot be inferred.
            PlanError: Dimensions do not factor and there are too many shapes to infer one by one.
        """
        if not len(shapes):
            return np.zeros(0)
        if self._factors is None:
            self._factors = self._check_factors(shapes)
        if self._factors:
            return self._by_factors(shapes)
        distinct, inverse = np.unique(shapes, axis=0, return_inverse=True)
        if len(distinct) > _MOST_FULL:
            raise PlanError(
                f"the model's dimensions mix variables, and {len(distinct)} shapes are too many to infer one by one",
                where="cost",
                fix="Use a larger interval, or `cost: elements`.",
            )
        return np.asarray([self._exact(row) for row in distinct])[inverse.ravel()]

    def _check_factors(self, shapes: NDArray[np.int64]) -> bool:
        if shapes.shape[1] < 2:
            return True
        probes = shapes[np.unique(np.linspace(0, len(shapes) - 1, 4).astype(np.int64))]
        probes = np.vstack([probes, (shapes.min(axis=0) + shapes.max(axis=0)) // 2])
        exact = np.asarray([self._exact(row) for row in probes])
        return bool(np.allclose(self._by_factors(probes), exact, rtol=1e-9))

    def _values(self, row: NDArray[np.int64]) -> dict[str, int]:
        return dict(zip(self._variables, row.tolist(), strict=True))

    def _exact(self, row: NDArray[np.int64]) -> float:
        found = self._oracle.shapes(self._values(row))
        dims = {name: [float(size) for size in shape] for name, shape in found.items()}
        return float(self._sum(dims))

    def _by_factors(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        base_row = shapes[0]
        base = self._oracle.shapes(self._values(base_row))
        dims: dict[str, list[Any]] = {name: [float(size) for size in shape] for name, shape in base.items()}
        for column in range(shapes.shape[1]):
            values, inverse = np.unique(shapes[:, column], return_inverse=True)
            rows = np.repeat(base_row[None, :], len(values), axis=0)
            rows[:, column] = values
            found = [self._oracle.shapes(self._values(row)) for row in rows]
            for name, shape in base.items():
                for axis, size in enumerate(shape):
                    sizes = np.asarray([shapes_at[name][axis] for shapes_at in found], dtype=np.float64)
                    if size and (sizes != size).any():
                        dims[name][axis] = dims[name][axis] * (sizes / size)[inverse.ravel()]
        total: NDArray[np.float64] = np.zeros(len(shapes)) + self._sum(dims)
        # Dimensions are whole numbers and so is their sum; ratios may have lost the last bit.
        rounded: NDArray[np.float64] = np.rint(total)
        return rounded

    def _sum(self, dims: dict[str, list[Any]]) -> Any:
        total: Any = 0.0
        for node in self._oracle.nodes:
            if self._only and not is_multiply_add(node.op_type):
                continue
            inputs = [dims.get(name, []) for name in node.input]
            outputs = [dims.get(name, []) for name in node.output]
            total = total + count_operations(node.op_type, inputs, outputs, _attributes(node))
        return total


def _attributes(node: Any) -> dict[str, Any]:
    plain = {}
    for attribute in node.attribute:
        if attribute.type == attribute.INT:
            plain[attribute.name] = attribute.i
        elif attribute.type == attribute.INTS:
            plain[attribute.name] = list(attribute.ints)
    return plain
