"""Reading what an ONNX model takes and gives, with every dynamic dimension named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling_tasks.errors import ConfigError, ModelError, one_line
from scaling_tasks.onnx_model.model_file import MOST_BYTES, read_model
from scaling_tasks.onnx_model.side_files import take_in_weights
from scaling_tasks.shapes.expressions import parse_sum
from scaling_tasks.shapes.signature import (
    ModelSignature,
    Signature,
    TensorSpec,
    image_names,
    looks_like_image,
    name_dimensions,
)

__all__ = ["load_model", "opset_of", "read_signature", "signature_of", "whole_model"]

Dims = Sequence[int | str | None]

# Exporters write these for unnamed dimensions: Paddle ``?`` and ``p2o.DynamicDimension.7``, TensorFlow ``unk__7``.
_ANONYMOUS = re.compile(r"\s*|\?.*|-?\d+|None|unk__\d+|p2o\.DynamicDimension\.\d+")


def read_signature(path: Path, input_shape: Mapping[str, Dims] | None = None) -> ModelSignature:
    """Read the inputs and outputs of the model at ``path``; weights kept in external files are not read.

    Args:
        path: An ONNX file, or a TFLite file, whose open dimensions are the one variable ``-1``.
        input_shape: Dimensions that override the model's, per input: -1 keeps what is dynamic, a number fixes it, a
            text names it. Inputs that are left out stay as the model says.

    Raises:
        ModelError: The file is no ONNX model, or ``input_shape`` names an unknown input, has another rank, or
            contradicts a dimension that the model fixes.
    """
    if path.suffix == ".tflite":
        return _read_tflite(path, input_shape or {})
    return signature_of(load_model(path, weights=False), input_shape or {}, where=str(path))


def signature_of(model: Any, input_shape: Mapping[str, Dims], *, where: str) -> ModelSignature:
    """Return the inputs and outputs of a loaded model; see ``read_signature``."""
    graph = model.graph
    initialised = {tensor.name for tensor in graph.initializer}
    given = [_tensor(value, where, input_shape) for value in graph.input if value.name not in initialised]
    if not given:
        raise ModelError("the model takes no input", where=where)
    meant = image_names(shape for _, shape, _ in given)
    dims = {name: _unnamed(shape) if looks_like_image(shape) else _renamed(shape, meant) for name, shape, _ in given}
    _check_names(input_shape, dims, where)
    merged = {name: _merge(where, name, shape, input_shape.get(name)) for name, shape in dims.items()}
    try:
        inputs = name_dimensions(merged, {name: dtype for name, _, dtype in given})
    except ConfigError as cause:
        raise ModelError(cause.what, where=f"{where}: {cause.where}", fix=cause.fix) from cause
    return ModelSignature(inputs, tuple(_output(value, where) for value in _outputs(model)))


def _outputs(model: Any) -> Sequence[Any]:
    """Return what a model says of its outputs; where it does not say of what type and rank they are, what follows."""
    from onnx import shape_inference

    if all(_is_typed(value) for value in model.graph.output):
        return list(model.graph.output)
    try:
        inferred = shape_inference.infer_shapes(model)
    except Exception:  # What it cannot infer it reports with types of its own.
        return list(model.graph.output)
    pairs = zip(model.graph.output, inferred.graph.output, strict=True)
    return [said if _is_typed(said) else found for said, found in pairs]


def _is_typed(value: Any) -> bool:
    kind = value.type.WhichOneof("value")
    return kind not in (None, "tensor_type") or (
        kind == "tensor_type" and value.type.tensor_type.HasField("shape") and value.type.tensor_type.elem_type > 0
    )


def _unnamed(dims: Dims) -> list[int | str | None]:
    """Return an image's dimensions without the names that exporters give them, which all mean N, H and W."""
    return [dim if isinstance(dim, int) else None for dim in dims]


def _renamed(dims: Dims, meant: Mapping[str, str]) -> list[int | str | None]:
    """Return dimensions of another input with those names, and sums and products of such, made N, H and W too."""
    found: list[int | str | None] = []
    for dim in dims:
        if isinstance(dim, str) and isinstance(parse_sum(dim), tuple):
            dim = re.sub(r"[A-Za-z_]\w*", lambda name: meant.get(name[0], name[0]), dim)
        found.append(meant.get(dim, dim) if isinstance(dim, str) else dim)
    return found


def _read_tflite(path: Path, input_shape: Mapping[str, Dims]) -> ModelSignature:
    from scaling_tasks.onnx_model.tflite import OPEN_VARIABLE, read_outputs, read_tflite

    inputs = read_tflite(path).inputs
    known = {tensor.name: tensor.dims for tensor in inputs}
    _check_names(input_shape, known, str(path))
    merged = []
    for tensor in inputs:
        dims = _merge(
            str(path),
            tensor.name,
            [dim if isinstance(dim, (int, str)) else None for dim in tensor.dims],
            input_shape.get(tensor.name),
        )
        merged.append(replace(tensor, dims=tuple(OPEN_VARIABLE if dim is None else dim for dim in dims)))
    return ModelSignature(Signature(tuple(merged)), read_outputs(path))


def load_model(path: Path, *, weights: bool = True) -> Any:
    """Return the ``onnx.ModelProto`` at ``path``.

    Args:
        path: An ONNX file.
        weights: Whether tensors kept in external files are read too.

    Raises:
        ModelError: See `read_model`, or one of its external files is missing or cut short.
    """
    model = read_model(path)
    if weights:
        take_in_weights(model, path.parent)
    return model


def whole_model(path: Path) -> bytes:
    """Return the ONNX model at ``path`` in one piece, with what it keeps in external files inside.

    Raises:
        ModelError: The file is no ONNX model, or it is too large for one piece.
    """
    model = load_model(path)
    if model.ByteSize() > MOST_BYTES:
        raise ModelError("is larger than 2 GiB with its weights, and has to be one file here", where=str(path))
    return bytes(model.SerializeToString(deterministic=True))


def _tensor(
    value: Any, where: str, input_shape: Mapping[str, Dims] | None = None
) -> tuple[str, list[int | str | None], str]:
    """Return name, dimensions and element type of a graph input or output."""
    from onnx import helper

    kind = value.type.WhichOneof("value")
    tensor, given = value.type.tensor_type, (input_shape or {}).get(value.name)
    shaped = tensor.HasField("shape") or given is not None
    if kind != "tensor_type" or not shaped or not tensor.elem_type:
        what = "says no element type" if shaped else "has no shape"
        what = what if kind == "tensor_type" else f"is a {kind or 'value without a type'}, not a tensor"
        fix = "Export the model with typed tensors."
        if kind == "tensor_type" and not shaped:
            fix = "Say how many dimensions it has: under input_shape if it is an input, else in the model."
        raise ModelError(f"{one_line(repr(value.name), 60)} {what}", where=where, fix=fix)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return value.name, [None] * len(given or ()), dtype
    return value.name, [_dimension(dim) for dim in tensor.shape.dim], dtype


def _dimension(dim: Any) -> int | str | None:
    if dim.WhichOneof("value") == "dim_value":
        # Some exporters write 0 or -1 for "dynamic".
        return int(dim.dim_value) if dim.dim_value > 0 else None
    return None if _ANONYMOUS.fullmatch(dim.dim_param) else str(dim.dim_param)


def _output(value: Any, where: str) -> TensorSpec:
    name, dims, dtype = _tensor(value, where)
    return TensorSpec(name, tuple(f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(dims)), dtype)


def _check_names(input_shape: Mapping[str, Dims], known: Mapping[str, Any], where: str) -> None:
    for name in input_shape:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise ModelError(
                f"the model has no input {one_line(repr(name), 60)}; its inputs are {one_line(sorted(known))}",
                where=f"{where}: input_shape.{name}",
                fix=f"Did you mean {near[0]!r}?" if near else "Name one of them, or leave it out.",
            )


def _merge(origin: str, name: str, found: Dims, given: Dims | None) -> Dims:
    """Lay the configured dimensions over the model's."""
    if given is None:
        return found
    where = f"{origin}: input_shape.{name}"
    if len(given) != len(found):
        raise ModelError(
            f"the input has {len(found)} dimensions, not {len(given)}: {_shown(found)}",
            where=where,
            fix=f"Write {len(found)} dimensions.",
        )
    return [_merge_dimension(where, axis, old, new) for axis, (old, new) in enumerate(zip(found, given, strict=True))]


def _merge_dimension(where: str, axis: int, old: int | str | None, new: int | str | None) -> int | str | None:
    if not isinstance(old, int):
        return old if new in (-1, None) else new
    if new != old:
        raise ModelError(
            f"dimension {axis} is {one_line(repr(new), 60)} but the model fixes it to {old}",
            where=where,
            fix=f"Write {old}, or export the model with a dynamic dimension {axis}.",
        )
    return old


def _shown(dims: Dims) -> list[int | str]:
    return [-1 if dim is None else dim for dim in dims]


def opset_of(model: Any) -> int:
    """Return which version of ONNX's own operators a model uses, 0 where it does not say."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
