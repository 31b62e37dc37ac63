"""Reading a model for the analysis: functions inlined, inputs named, values fixed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.analysis.masked_writes import choose_where_masked
from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.onnx_model.reading import load_model, signature_of
from scaling_tasks.shapes.signature import Signature

if TYPE_CHECKING:
    import onnx

__all__ = ["PreparedModel", "fix_inputs", "outer_names", "prepare", "renamed"]


_OPTIONAL = ("LSTM", "GRU", "RNN", "MaxPool", "Dropout", "LayerNormalization")
"""Operators of which all outputs behind the first may be left out."""


@dataclass(frozen=True)
class PreparedModel:
    """A model ready to be walked.

    Attributes:
        model: Functions inlined, fixed inputs turned into constants.
        inputs: Its remaining inputs with named variables.
    """

    model: onnx.ModelProto
    inputs: Signature


def prepare(
    model: Path | onnx.ModelProto,
    input_shape: Mapping[str, Sequence[int | str | None]],
    fixed_inputs: Mapping[str, Any],
) -> PreparedModel:
    """Return the model ready to be walked.

    Raises:
        ModelError: It cannot be read, or a name or value does not fit it.
    """
    import onnx
    from onnx import inliner

    where = str(model) if isinstance(model, Path) else "model"
    proto = load_model(model) if isinstance(model, Path) else model
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    fix_inputs(copy, fixed_inputs, where=where)
    _order(copy.graph)
    choose_where_masked(copy.graph)
    _leave_out_unused(copy.graph)
    _leave_out_unused_outputs(copy.graph)
    return PreparedModel(copy, signature_of(inputs_only(copy), input_shape, where=where).inputs)


def _leave_out_unused_outputs(graph: onnx.GraphProto) -> None:
    """Leave out further outputs that nobody takes: exporters name all, and each has its price, or is refused."""
    used = {value.name for value in graph.output}
    used |= {name for node in graph.node for name in (*node.input, *outer_names(node))}
    for node in graph.node:
        if node.op_type not in _OPTIONAL or node.domain not in ("", "ai.onnx"):
            continue
        while len(node.output) > 1 and node.output[-1] not in used:
            del node.output[-1]


def _leave_out_unused(graph: onnx.GraphProto) -> None:
    """Leave out nodes that lead to no output, as runtimes do: what they would do to padding does not matter."""
    used, unused = {value.name for value in graph.output}, []
    for at in range(len(graph.node) - 1, -1, -1):
        node = graph.node[at]
        if used.isdisjoint(node.output):
            unused.append(at)
        else:
            used |= {*node.input, *outer_names(node)}
    for at in unused:
        del graph.node[at]


def _order(graph: onnx.GraphProto) -> None:
    """Put every node behind those that it takes from; runtimes run nodes that converters left in another order."""
    pending, nodes = list(graph.node), []
    made = {name for node in graph.node for name in node.output if name}
    while pending:
        later = []
        for node in pending:
            if any(name in made for name in (*node.input, *outer_names(node))):
                later.append(node)
            else:
                nodes.append(node)
                made -= set(node.output)
        if len(later) == len(pending):
            return  # A circle; whoever reads the model will say so.
        pending = later
    if any(left is not right for left, right in zip(nodes, graph.node, strict=True)):
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def outer_names(node: onnx.NodeProto) -> set[str]:
    """Return the names that a node's subgraphs may take from outside."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                found |= {name for name in inner.input if name} | outer_names(inner)
            found |= {value.name for value in graph.output}
    return found


def renamed(graph: onnx.GraphProto, names: Mapping[str, str]) -> onnx.GraphProto:
    """Return a copy of a graph in which values of the given names have others, in the bodies of its nodes too."""
    copy = type(graph).FromString(graph.SerializeToString())
    for node in copy.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                attribute.g.CopyFrom(renamed(attribute.g, names))
    for each in (*copy.initializer, *copy.output, *copy.input):
        each.name = names.get(each.name, each.name)
    return copy


def inputs_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of the same inputs; shapes of outputs need not be written down, the walk finds them."""
    import onnx

    shell = onnx.ModelProto()
    shell.graph.input.extend(model.graph.input)
    shell.graph.initializer.extend(onnx.TensorProto(name=tensor.name) for tensor in model.graph.initializer)
    return shell


def _as_given(value: Any, dtype: np.dtype[Any], *, where: str) -> np.ndarray[Any, Any]:
    """Return a value as an array of the element type that holds it.

    Raises:
        ModelError: None of that type does: a half would become a whole number unseen.
    """
    what = f"{one_line(repr(value), 60)} is no {dtype.name}"
    try:
        array = np.asarray(value, dtype)
    except (TypeError, ValueError, OverflowError) as cause:
        raise ModelError(what, where=where, fix="Write a value of that type.") from cause
    if dtype.kind in "iub" and not np.array_equal(array, np.asarray(value)):
        raise ModelError(what, where=where, fix="Write a value of that type.")
    return array


def fix_inputs(model: onnx.ModelProto, values: Mapping[str, Any], *, where: str) -> None:
    """Turn inputs of ``model`` into constants, in place.

    Raises:
        ModelError: There is no such input, or the value is none for it.
    """
    from onnx import helper, numpy_helper

    inputs = {value.name: value for value in model.graph.input}
    for name, value in values.items():
        if name not in inputs:
            near = difflib.get_close_matches(name, inputs, n=1, cutoff=0.5)
            raise ModelError(
                f"the model has no input {one_line(repr(name), 60)}; its inputs are {one_line(sorted(inputs))}",
                where=f"{where}: inputs.{name}",
                fix=f"Did you mean {near[0]!r}?" if near else "Name one of them, or leave it out.",
            )
        kind = inputs[name].type.tensor_type
        try:
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        except KeyError as cause:
            what = f"the input {one_line(repr(name), 60)} is no tensor of a known type"
            raise ModelError(what, where=f"{where}: inputs.{name}", fix="Leave its value out.") from cause
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        array = _as_given(value, dtype, where=f"{where}: inputs.{name}")
        if array.ndim == 0 and len(dims) and all(dim in (1, None) for dim in dims):
            array = array.reshape([1] * len(dims))
        if len(dims) != array.ndim or any(d is not None and d != s for d, s in zip(dims, array.shape, strict=False)):
            raise ModelError(
                f"the value has the shape {list(array.shape)}, the input {dims}",
                where=f"{where}: inputs.{name}",
                fix="Write a value of the input's shape; one that varies with the request stays an input.",
            )
        model.graph.input.remove(inputs[name])
        model.graph.initializer.append(numpy_helper.from_array(array, name))
