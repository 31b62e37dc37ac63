"""Sums of products as matrix products, for importers that know nothing else: Einsum, and interpolation.

MindSpore Lite 2.0.0 knows few forms of Einsum and takes a cubic Resize for another; nncase 2.11.0 knows neither. Of the
nearest MindSpore Lite finds those alone that lie below. Neither smooths, nor knows pixels that lie symmetrically; for
scales they take what the sizes are to each other, which is something else where these are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import (
    Writer,
    attributes_of,
    constants_of,
    element_types,
    replace_nodes,
    static_shapes,
)

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

__all__ = ["multiply_einsums", "multiply_resizes"]

_FLOAT = 1
_MOST_SIZE = 1024
"""Up to which size an axis is interpolated by a matrix, most numbers of which are 0."""


def multiply_einsums(model: onnx.ModelProto) -> bool:
    """Replace Einsum of operands of one shape by products of two matrices, in place; return whether there was any."""
    if all(node.op_type != "Einsum" for node in model.graph.node):
        return False
    replace_nodes(model, lambda node: _two_at_a_time(model, node))
    shapes = static_shapes(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "Einsum" or len(node.input) != 2 or any(name not in shapes for name in node.input):
            return None
        terms, arrow, result = str(attributes_of(node)["equation"]).replace(" ", "").partition("->")
        operands = terms.split(",")
        known = arrow and "." not in terms and all(len(set(each)) == len(each) for each in (*operands, result))
        if not known:
            return None
        own = [dict(zip(term, shapes[name], strict=True)) for term, name in zip(operands, node.input, strict=True)]
        dims = {label: max(each.get(label, 1) for each in own) for label in own[0] | own[1]}
        # Of length 1 an axis is repeated along that of the other operand, as one is that it does not have.
        operands = ["".join(label for label, size in sizes.items() if size == dims[label]) for sizes in own]
        if any(set(one) - set(other) - set(result) for one, other in (operands, operands[::-1])):
            return None
        write, names = Writer(model, f"{node.output[0]}/product"), list(node.input)
        for at, term in enumerate(operands):
            if len(term) < len(own[at]):
                names[at] = write.reshape(names[at], [dims[label] for label in term])
        return _multiplied(write, names, node.output[0], operands, result, dims)

    return replace_nodes(model, replace)


def _two_at_a_time(model: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Write an Einsum of more than two operands as Einsums of two, the first two first."""
    if node.op_type != "Einsum" or len(node.input) < 3:
        return None
    terms, arrow, result = str(attributes_of(node)["equation"]).replace(" ", "").partition("->")
    if not arrow or "." in terms:
        return None
    write, (left, *others) = Writer(model, f"{node.output[0]}/pair"), terms.split(",")
    made = node.input[0]
    for at, (right, name) in enumerate(zip(others, node.input[1:], strict=True), 1):
        wanted = {*result, *"".join(others[at:])}
        kept = result if at == len(others) else "".join(dict.fromkeys(each for each in left + right if each in wanted))
        output = node.output[0] if at == len(others) else ""
        made = write.node("Einsum", [made, name], output, equation=f"{left},{right}->{kept}")
        left = kept
    return write.nodes


def _multiplied(
    write: Writer, names: Sequence[str], output: str, operands: Sequence[str], result: str, dims: Mapping[str, int]
) -> list[onnx.NodeProto]:
    """Write the product over ``[batch, rows, inner]`` and ``[batch, inner, columns]``."""
    first, second = operands
    inner = [label for label in first if label in second and label not in result]
    batch = [label for label in first if label in second and label in result]
    rows = [label for label in first if label not in second]
    columns = [label for label in second if label not in first]

    def size(labels: Sequence[str]) -> int:
        return math.prod(dims[label] for label in labels)

    def arranged(name: str, have: Sequence[str], want: Sequence[str]) -> str:
        if list(have) == list(want):
            return name
        return write.node("Transpose", [name], perm=[list(have).index(label) for label in want])

    left = write.reshape(arranged(names[0], first, batch + rows + inner), [size(batch), size(rows), size(inner)])
    right = arranged(names[1], second, batch + inner + columns)
    right = write.reshape(right, [size(batch), size(inner), size(columns)])
    made = batch + rows + columns
    product = write.reshape(write.node("MatMul", [left, right]), [dims[label] for label in made])
    write.node("Identity", [arranged(product, made, list(result))], output)
    return write.nodes


def multiply_resizes(model: onnx.ModelProto, directory: Path, *, finds_nearest: bool) -> bool:
    """Replace Resizes of pictures of one shape by products with what they weigh, in place; return whether any was.

    These are all that importers take otherwise, see above. Height and width are a product with a matrix each, which
    onnxruntime says itself: what it makes of unit vectors.

    Args:
        model: The model.
        directory: Where its external data is.
        finds_nearest: Whether the importer knows all ways to find the nearest, or only the one that lies below.
    """
    if all(node.op_type != "Resize" for node in model.graph.node):
        return False
    shapes, constants, types = static_shapes(model), constants_of(model, directory), element_types(model)

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        given = attributes_of(node)
        if node.op_type != "Resize" or types.get(node.input[0]) != _FLOAT:
            return None
        before, after = (shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        told = [constants.get(name) if name else None for name in node.input[2:4]]
        if len(before) != 4 or len(after) != 4 or before[:2] != after[:2]:
            return None
        if not _is_other(given, finds_nearest=finds_nearest) and not _rounds(told, before, after):
            return None
        if given.get("axes") or given.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            return None
        if given.get("coordinate_transformation_mode") == "tf_crop_and_resize" or all(each is None for each in told):
            return None
        if max(*before[2:], *after[2:]) > _MOST_SIZE:
            return None
        return _interpolated(Writer(model, f"{node.output[0]}/resized"), node, before, after, told, model.opset_import)

    return replace_nodes(model, replace)


def _is_other(given: Mapping[str, Any], *, finds_nearest: bool) -> bool:
    """Return whether a Resize with these attributes is taken for another."""
    way = given.get("coordinate_transformation_mode", "half_pixel")
    if given.get("mode") == "cubic" or given.get("antialias") or way == "half_pixel_symmetric":
        return True
    below = way == "asymmetric" and given.get("nearest_mode") == "floor"
    return not finds_nearest and given.get("mode", "nearest") == "nearest" and not below


def _rounds(told: Sequence[NDArray[Any] | None], before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Return whether a scale that is told makes no whole number of positions."""
    scales = next((each for each in told if each is not None and each.size), None)
    if scales is None or scales.dtype != np.float32 or scales.size != len(before):
        return False
    return not np.allclose(scales * before, after, rtol=1e-6, atol=0)


def _interpolated(
    write: Writer,
    node: onnx.NodeProto,
    before: tuple[int, ...],
    after: tuple[int, ...],
    told: Sequence[NDArray[Any] | None],
    opsets: Any,
) -> list[onnx.NodeProto]:
    pictures = before[0] * before[1]
    high, wide = before[2:]
    # From the left and from the right, in turn: transposing between would mislead nncase where a picture is square.
    picture = write.reshape(node.input[0], [pictures, high, wide])
    down = write.constant(_weights(node, before, told, 0, opsets))
    across = write.constant(_weights(node, before, told, 1, opsets).T)
    write.reshape(write.node("MatMul", [write.node("MatMul", [down, picture]), across]), after, node.output[0])
    return write.nodes


def _weights(
    node: onnx.NodeProto, before: tuple[int, ...], told: Sequence[NDArray[Any] | None], axis: int, opsets: Any
) -> NDArray[Any]:
    """Return what each position of height (0) or width (1) takes of each: from a picture per unit vector."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    # The other axis has one position, and keeps it.
    size = before[2 + axis]
    shape = [size, 1, size, 1] if axis == 0 else [size, 1, 1, size]
    given = {}
    for name, value in zip(("scales", "sizes"), told, strict=False):
        if value is not None and len(value):
            kept = np.array([size, 1, 1, 1] if name == "sizes" else [1, 1, 1, 1], value.dtype)
            kept[2 + axis] = value[2 + axis]
            given[name] = kept
    alone = helper.make_node("Resize", ["x", "", "scales" if "scales" in given else ""], ["y"])
    alone.input.extend(["sizes"] if "sizes" in given else [])
    alone.attribute.extend(node.attribute)
    graph = helper.make_graph(
        [alone],
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in given.items()],
    )
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    units = np.eye(size, dtype=np.float32).reshape(shape)
    made: NDArray[Any] = session.run(None, {"x": units})[0].reshape(size, -1).T
    return made
