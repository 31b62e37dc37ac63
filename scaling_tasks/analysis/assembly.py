"""Putting the cleaned model together: what the outputs need of what was emitted, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.analysis.preparation import PreparedModel, outer_names
from scaling_tasks.analysis.walk import Walk
from scaling_tasks.shapes.size_inputs import SizeInput

if TYPE_CHECKING:
    import onnx

__all__ = ["assemble"]


def assemble(
    prepared: PreparedModel, walk: Walk, outputs: Sequence[str]
) -> tuple[onnx.ModelProto, tuple[SizeInput, ...]]:
    """Return the cleaned model and its extra inputs in the order they have in it."""
    import onnx
    from onnx import helper, numpy_helper

    nodes, needed = _needed(walk.emitter.nodes, outputs)
    sizes = tuple(spec for spec in walk.emitter.size_inputs if spec.name in needed)
    original = prepared.model
    model = onnx.ModelProto()
    model.CopyFrom(original)
    graph = model.graph
    del graph.node[:]
    del graph.initializer[:]
    del graph.value_info[:]
    graph.node.extend(nodes)
    known = {**walk.kept_initializers, **{tensor.name: tensor for tensor in original.graph.initializer}}
    graph.initializer.extend(tensor for name, tensor in known.items() if name in needed)
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in walk.emitter.constants.items() if name in needed
    )
    for spec in sizes:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
        dims = [f"{spec.name}_{axis}" for axis in range(len(spec.layouts))]
        graph.input.append(helper.make_tensor_value_info(spec.name, dtype, dims))
    for value in graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
    return model, sizes


def _needed(nodes: Sequence[Any], outputs: Sequence[str]) -> tuple[list[Any], set[str]]:
    """Return the nodes that lead to the outputs, and the names that these nodes and the outputs use."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in needed for name in node.output if name):
            kept.append(node)
            needed |= {name for name in node.input if name} | outer_names(node)
    return kept[::-1], needed
