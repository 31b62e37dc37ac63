"""Whether a model says nothing impossible: types, sizes, weights, names, and functions that come to an end.

Not what operators mean: analysis and runtimes say that. Everything behind this may take for granted what is checked
here, so that a damaged model is one error and no surprise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.onnx_model.external_places import external_place
from scaling_tasks.onnx_model.wiring import check_wired

__all__ = ["LARGEST_DIMENSION", "MOST_NODES", "MOST_TENSOR_BYTES", "check_sound", "tensor_bytes"]

LARGEST_DIMENSION = (1 << 31) - 1
MOST_TENSOR_BYTES = 1 << 35
MOST_NODES = 1 << 20
"""Of all graphs together, functions written out."""
_LONGEST_NAME = 512
_FIX = "Export the model again."


def check_sound(model: Any, where: str) -> None:
    """Refuse a model that holds something impossible.

    Raises:
        ModelError: An input or output without a name or given twice, an unknown element type, weights that do not fit
            their dimensions or lie outside the model's directory, a node without an operator, or functions that call
            themselves or come to more than `MOST_NODES`; or see `check_wired`.
    """
    graphs = list(_graphs(model.graph))
    bodies = [list(_nodes(function.node)) for function in model.functions]
    if any(isinstance(text, bytes) for text in _texts(model, graphs, bodies)):
        # What the library gives for a text that is none.
        raise ModelError("not an ONNX model (a name in it is not UTF-8 text)", where=where, fix=_FIX)
    try:
        _check_values(model.graph, where)
        for graph in graphs:
            for tensor in (*graph.initializer, *_sparse(graph)):
                _check_tensor(tensor, where)
        for nodes in (*(graph.node for graph in graphs), *bodies):
            _check_nodes(nodes, where)
        _check_functions(model, graphs, bodies, where)
        check_wired(model, where)
    except (UnicodeDecodeError, RecursionError) as cause:
        raise ModelError(f"not an ONNX model ({one_line(cause)})", where=where, fix=_FIX) from cause


def _texts(model: Any, graphs: Sequence[Any], bodies: Sequence[Sequence[Any]]) -> Iterator[str | bytes]:
    """Yield every name, and where weights lie."""
    for graph in graphs:
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
        yield from _texts_of_nodes(graph.node)
        for tensor in graph.initializer:
            yield from _texts_of_tensor(tensor)
    for function, nodes in zip(model.functions, bodies, strict=True):
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
        yield from _texts_of_nodes(nodes)
    yield from (opset.domain for opset in model.opset_import)


def _texts_of_nodes(nodes: Sequence[Any]) -> Iterator[str | bytes]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
            for tensor in _own_tensors(attribute):
                yield from _texts_of_tensor(tensor)


def _texts_of_tensor(tensor: Any) -> Iterator[str | bytes]:
    yield tensor.name
    for entry in tensor.external_data:
        yield from (entry.key, entry.value)


def tensor_bytes(tensor: Any) -> int:
    """Return how many bytes a tensor takes by its type and dimensions; types of 4 and 2 bits are packed."""
    bits = _bits(tensor.data_type)
    return int((math.prod(tensor.dims) * bits + 7) // 8)


@cache
def _bits(data_type: int) -> int:
    import onnx

    names = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    name = onnx.TensorProto.DataType.Name(data_type)
    return names.get(name) or 8 * int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize)


@cache
def _known_types() -> frozenset[int]:
    import onnx

    return frozenset(onnx.helper.get_all_tensor_dtypes()) - {onnx.TensorProto.UNDEFINED}


def _check_values(graph: Any, where: str) -> None:
    for kind, values in (("input", graph.input), ("output", graph.output)):
        names = [value.name for value in values]
        if "" in names:
            raise ModelError(f"{kind} {names.index('')} has no name", where=where, fix=_FIX)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ModelError(f"the {kind} {_shown(twice)} is given twice", where=where, fix=_FIX)
        for value in values:
            _check_value(value, where)


def _check_value(value: Any, where: str) -> None:
    if value.type.WhichOneof("value") != "tensor_type":
        return
    tensor = value.type.tensor_type
    if tensor.elem_type not in _known_types():
        what = f"{_shown(value.name)} has the element type {tensor.elem_type}, which is unknown"
        raise ModelError(what, where=where, fix=_FIX)
    for axis, dim in enumerate(tensor.shape.dim):
        name = dim.dim_param
        if dim.dim_value > LARGEST_DIMENSION or len(name) > _LONGEST_NAME or (name and not name.isprintable()):
            what = f"dimension {axis} of {_shown(value.name)} is {one_line(repr(name or dim.dim_value), 60)}"
            raise ModelError(what, where=where, fix=_FIX)


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and those in the attributes of its nodes, however deep."""
    pending = [graph]
    while pending:
        here = pending.pop()
        yield here
        pending += _bodies(here.node)


def _bodies(nodes: Sequence[Any]) -> list[Any]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    one = [attribute.g for attribute in attributes if attribute.type == attribute.GRAPH]
    return one + [graph for attribute in attributes if attribute.type == attribute.GRAPHS for graph in attribute.graphs]


def _nodes(nodes: Sequence[Any]) -> Iterator[Any]:
    """Yield nodes and those in their bodies."""
    yield from nodes
    for body in _bodies(nodes):
        for graph in _graphs(body):
            yield from graph.node


def _own_tensors(attribute: Any) -> list[Any]:
    if attribute.type == attribute.TENSOR:
        return [] if attribute.ref_attr_name else [attribute.t]
    return list(attribute.tensors) if attribute.type == attribute.TENSORS else []


def _sparse(graph: Any) -> Iterator[Any]:
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _check_tensor(tensor: Any, where: str) -> None:
    import onnx

    name = _shown(tensor.name)
    if tensor.data_type not in _known_types():
        raise ModelError(
            f"the tensor {name} has the element type {tensor.data_type}, which is unknown", where=where, fix=_FIX
        )
    # Dimensions beside one of 0 hold nothing, but numpy multiplies them all the same.
    most = math.prod(dim or 1 for dim in tensor.dims) * _bits(tensor.data_type)
    if any(dim < 0 for dim in tensor.dims) or most > 8 * MOST_TENSOR_BYTES or tensor.HasField("segment"):
        dims = one_line(list(tensor.dims), 60)
        raise ModelError(f"the tensor {name} has the dimensions {dims}, which cannot be", where=where, fix=_FIX)
    size = tensor_bytes(tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        place = external_place(tensor, where)
        if place.length is not None and place.length != size:
            what = f"the weights {name} take {size} bytes, but their length is given as {place.length}"
            raise ModelError(what, where=where, fix=_FIX)
    elif not _is_filled(tensor, size):
        dims = one_line(list(tensor.dims), 60)
        raise ModelError(f"the weights {name} do not fit their dimensions {dims}", where=where, fix=_FIX)


def _is_filled(tensor: Any, size: int) -> bool:
    """Return whether a tensor holds as many numbers as its dimensions say."""
    import onnx

    if tensor.HasField("raw_data"):
        return tensor.data_type != onnx.TensorProto.STRING and len(tensor.raw_data) == size
    count = math.prod(tensor.dims)
    if tensor.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        count *= 2
    elif _bits(tensor.data_type) < 8:
        count = size
    return bool(len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))) == count)


def _check_nodes(nodes: Sequence[Any], where: str) -> None:
    for node in nodes:
        if not node.op_type:
            raise ModelError(f"the node {_shown(node.name)} has no operator", where=where, fix=_FIX)
        for attribute in node.attribute:
            if not attribute.name:
                what = f"the node {_shown(node.name or node.op_type)} has an attribute without a name"
                raise ModelError(what, where=where, fix=_FIX)
            for tensor in _own_tensors(attribute):
                _check_tensor(tensor, where)


_Key = tuple[str, str]


def _check_functions(model: Any, graphs: Sequence[Any], nodes: Sequence[list[Any]], where: str) -> None:
    """Refuse functions that call themselves, and those that come to very much when each call is written out."""
    bodies: dict[_Key, list[Any]] = {}
    for function, own in zip(model.functions, nodes, strict=True):
        if not function.name:
            raise ModelError("a function has no name", where=where, fix=_FIX)
        bodies[function.domain, function.name] = own
    sizes: dict[_Key, int] = {}
    for key in _callees_first(bodies, where):
        sizes[key] = sum(sizes.get((node.domain, node.op_type), 1) for node in bodies[key])
    total = sum(len(graph.node) for graph in graphs)
    if sizes:
        total = sum(sizes.get((node.domain, node.op_type), 1) for graph in graphs for node in graph.node)
    if total > MOST_NODES:
        raise ModelError(f"it comes to {total} nodes, more than {MOST_NODES}", where=where, fix="Give a smaller model.")


def _callees_first(bodies: dict[_Key, list[Any]], where: str) -> Iterator[_Key]:
    """Yield functions, each behind those that it calls."""
    calls = {key: {(node.domain, node.op_type) for node in nodes} & bodies.keys() for key, nodes in bodies.items()}
    try:
        yield from TopologicalSorter(calls).static_order()
    except CycleError as cause:
        raise ModelError(f"the function {_shown(cause.args[1][0][1])} calls itself", where=where, fix=_FIX) from cause


def _shown(name: str) -> str:
    return one_line(repr(name), 60)
