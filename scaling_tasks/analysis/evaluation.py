"""Operators whose inputs are all constants: computed once by ONNX's reference implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scaling_tasks.analysis.operation import Operation

__all__ = ["evaluate_node"]


def evaluate_node(op: Operation) -> list[NDArray[Any]] | None:
    """Return what an operator makes of constants; None where the reference does not know it."""
    from onnx import ModelProto, helper
    from onnx.reference import ReferenceEvaluator

    given = {tensor.name: tensor.value for tensor in op.inputs if tensor is not None}
    types = {tensor.name: tensor.dtype for tensor in op.inputs if tensor is not None}
    values = [helper.make_tensor_value_info(name, types[name], list(value.shape)) for name, value in given.items()]  # type: ignore[union-attr]
    outputs = [helper.make_empty_tensor_value_info(name) for name in op.node.output if name]
    graph = helper.make_graph([op.node], "one", values, outputs)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", op.opset)])
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, given)
    except Exception:  # The evaluator raises what it likes for what it does not know.
        return None
    arrays = [np.asarray(value) for value in found]
    return [array.astype(str) if array.dtype == object else array for array in arrays]
