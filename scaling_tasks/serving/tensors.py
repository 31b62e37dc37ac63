"""Tensors of the protocol to arrays and back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import from_np_dtype, to_np_dtype
from numpy.typing import NDArray

from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.shapes.layouts import Layout, layout_length, layout_variables
from scaling_tasks.shapes.signature import TensorSpec

__all__ = ["arrays_of", "input_types", "output_types", "response_of", "wanted_outputs", "with_raw_inputs"]


def arrays_of(request: InferRequest) -> dict[str, NDArray[Any]]:
    """Return the inputs of a request; those that came as bytes are not copied.

    Raises:
        InvalidInput: Data and shape do not go together, or a name occurs twice.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for tensor in request.inputs:
        if tensor.name in arrays:
            raise InvalidInput(f"input {tensor.name!r} is given twice.")
        if to_np_dtype(tensor.datatype) is None:
            raise InvalidInput(f"input {tensor.name!r}: there is no datatype {tensor.datatype!r}.")
        try:
            arrays[tensor.name] = _array_of(tensor)
        except (TypeError, ValueError, OverflowError) as cause:
            what = f"its data is no {tensor.datatype} of shape {list(tensor.shape)}"
            raise InvalidInput(f"input {tensor.name!r}: {what}.") from cause
    return arrays


def _array_of(tensor: InferInput) -> NDArray[Any]:
    """Return what a tensor holds: texts as such where they came as bytes, and numbers that its type holds.

    Raises:
        TypeError: Its data is of another kind.
        ValueError: It does not fit the shape, or its type: a half would become a whole number unseen.
        OverflowError: A number is beyond the type's.
    """
    array: NDArray[Any] = tensor.as_numpy()
    if array.dtype.hasobject:
        texts = [each.decode() if isinstance(each, bytes) else each for each in array.reshape(-1)]
        return np.array(texts, object).reshape(array.shape)
    if array.dtype.kind in "iub" and isinstance(tensor.data, list):
        given = np.asarray(tensor.data)
        if given.dtype.kind == "f" and not np.array_equal(given.reshape(-1), array.reshape(-1)):
            raise ValueError("numbers that are not whole")
    return array


def with_raw_inputs(model: str, head: Mapping[str, Any], data: bytes) -> InferRequest:
    """Return the request whose JSON part is ``head``, and whose binary tensors lie behind each other in ``data``.

    KServe's own way makes a Python number of every element.

    Raises:
        InvalidInput: A part is missing or of a wrong kind, or the bytes are too few or too many.
    """
    inputs: list[InferInput] = []
    raw: list[tuple[int, bytes]] = []
    end = 0
    try:
        for given in head["inputs"]:
            own = dict(given.get("parameters") or {})
            size = own.get("binary_data_size")
            if size is not None:
                if not 0 <= size <= len(data) - end:
                    raise InvalidInput(f"input {given['name']!r}: {size} bytes are told, {len(data) - end} came.")
                raw.append((len(inputs), data[end : end + size]))
                end += size
            elif "data" not in given:
                raise InvalidInput(f"input {given['name']!r} has no data.")
            shape = [int(length) for length in given["shape"]]
            inputs.append(InferInput(given["name"], shape, given["datatype"], given.get("data"), own))
        if end != len(data):
            raise InvalidInput(f"{len(data) - end} bytes are left over behind the inputs.")
        for at, part in raw:
            # What the constructor does with bytes, which takes them for all inputs or none.
            inputs[at]._raw_data = part
        outputs = [RequestedOutput(each["name"], each.get("parameters")) for each in head.get("outputs") or ()]
        parameters = head.get("parameters") or {}
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        if isinstance(cause, InvalidInput):
            raise
        raise InvalidInput(f"the request is malformed ({type(cause).__name__}: {cause}).") from cause
    return InferRequest(
        model, inputs, request_id=head.get("id"), parameters=dict(parameters), request_outputs=outputs or None
    )


def wanted_outputs(request: InferRequest, names: Sequence[str]) -> list[str]:
    """Return the outputs that a request asks for, all by default.

    Raises:
        InvalidInput: It asks for one that there is not.
    """
    wanted = [output.name for output in request.request_outputs or ()] or list(names)
    for name in wanted:
        if name not in names:
            raise InvalidInput(f"there is no output {name!r}; there are {', '.join(map(repr, names))}.")
    return wanted


def response_of(request: InferRequest, model: str, arrays: Mapping[str, NDArray[Any]]) -> InferResponse:
    """Return the outputs that a request asks for, all by default.

    Raises:
        InvalidInput: It asks for one that there is not.
    """
    outputs = []
    for name in wanted_outputs(request, list(arrays)):
        array = np.ascontiguousarray(arrays[name])
        output = InferOutput(name, list(array.shape), from_np_dtype(array.dtype), array)
        if request.from_grpc:
            output.set_data_from_numpy(array, binary_data=True)
        outputs.append(output)
    return InferResponse(
        response_id=request.id or uuid.uuid4().hex,  # KServe's JSON answers must have one.
        model_name=model,
        infer_outputs=outputs,
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
    )


def input_types(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the inputs as the protocol's metadata has them, -1 where a size varies."""
    return [_tensor(tensor, tensor.dims) for tensor in manifest.signature.inputs.inputs]


def output_types(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the outputs as the protocol's metadata has them; -1 alone where not even the rank is known."""
    layouts = manifest.behaviour.layouts
    return [
        _tensor(tensor, [-1] if (axes := layouts.get(tensor.name)) is None else [_length(axis) for axis in axes])
        for tensor in manifest.signature.outputs
    ]


def _tensor(tensor: TensorSpec, dims: Sequence[object]) -> dict[str, Any]:
    shape = [dim if isinstance(dim, int) else -1 for dim in dims]
    return {"name": tensor.name, "datatype": from_np_dtype(np.dtype(tensor.dtype)), "shape": shape}


def _length(axis: Layout) -> int:
    return -1 if layout_variables(axis) else int(layout_length(axis, {}))
