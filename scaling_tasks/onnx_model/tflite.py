"""TFLite models: what their signature leaves open, fixing it, and the results of the TFLite interpreter.

TFLite does not name dimensions. As nncase has it, every dimension that a signature leaves open (-1) is the one variable
called ``-1``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import ModelError, of_disk, one_line
from scaling_tasks.files import digest_bytes, read_regular
from scaling_tasks.known_digests import known_digests
from scaling_tasks.onnx_model.model_file import MOST_BYTES
from scaling_tasks.shapes.signature import Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["OPEN_VARIABLE", "TfliteEngine", "output_names", "read_outputs", "read_tflite", "write_fixed_tflite"]

OPEN_VARIABLE = "-1"

_OPEN = """
import sys
from ai_edge_litert.interpreter import Interpreter
Interpreter(model_content=sys.stdin.buffer.read()).allocate_tensors()
"""
_SECONDS = 60

_INSTALL = "Run `pip install 'scaling-tasks[tflite]'`."


def read_tflite(path: Path) -> Signature:
    """Return the inputs of a TFLite model, open dimensions named ``-1``; whoever opens one asks for them first.

    Raises:
        ModelError: The file is no TFLite model, or its interpreter is not installed.
    """
    _survive(_content(path), path)
    details = _interpreter(path).get_input_details()
    return Signature(tuple(_tensor(detail) for detail in details))


def read_outputs(path: Path) -> tuple[TensorSpec, ...]:
    """Return the outputs of a TFLite model, open dimensions named ``-1``."""
    return tuple(_tensor(detail) for detail in _interpreter(path).get_output_details())


def output_names(path: Path) -> list[str]:
    """Return the names of the model's outputs in order."""
    return [str(detail["name"]) for detail in _interpreter(path).get_output_details()]


def _tensor(detail: Mapping[str, Any]) -> TensorSpec:
    import numpy as np

    dims = (OPEN_VARIABLE if dim < 0 else int(dim) for dim in detail["shape_signature"])
    return TensorSpec(str(detail["name"]), tuple(dims), np.dtype(detail["dtype"]).name)


def write_fixed_tflite(source: Path, shapes: Mapping[str, tuple[int, ...]], target: Path) -> Path:
    """Write the model with its inputs, and every shape that follows from them, fixed.

    Raises:
        ModelError: A name is no input of the model, or the interpreter refuses the shapes.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    interpreter = _interpreter(source)
    _resize(interpreter, shapes, source)
    # Quantisation parameters and everything else stay; only shapes change, to what the interpreter worked out.
    found = {detail["index"]: [int(size) for size in detail["shape"]] for detail in interpreter.get_tensor_details()}
    model = schema.ModelT.InitFromPackedBuf(_content(source), 0)
    for index, tensor in enumerate(model.subgraphs[0].tensors):
        if index in found:
            tensor.shape = found[index]
            tensor.shapeSignature = None
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    target.write_bytes(bytes(builder.Output()))
    return target


class TfliteEngine:
    """The TFLite interpreter on the original model, at any size: what artefacts are compared with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._interpreter = _interpreter(path)
        self._shapes: dict[str, tuple[int, ...]] = {}

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Run at the inputs' shapes.

        Raises:
            ModelError: The interpreter refuses the inputs.
        """
        self._take({name: array.shape for name, array in inputs.items()})
        for detail in self._interpreter.get_input_details():
            self._interpreter.set_tensor(detail["index"], inputs[detail["name"]])
        self._interpreter.invoke()
        details = self._interpreter.get_output_details()
        return {str(detail["name"]): self._interpreter.get_tensor(detail["index"]) for detail in details}

    def output_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return every output's shape for the inputs' shapes, without running the model.

        Raises:
            ModelError: The interpreter refuses the shapes.
        """
        self._take(shapes)
        details = self._interpreter.get_output_details()
        return {str(detail["name"]): tuple(map(int, detail["shape"])) for detail in details}

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None

    def _take(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if shapes != self._shapes:
            self._shapes = {}  # a refusal leaves the interpreter at no shapes
            _resize(self._interpreter, shapes, self._path)
            self._shapes = dict(shapes)


def _interpreter(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as cause:
        raise ModelError("a TFLite model needs the package ai-edge-litert", where=str(path), fix=_INSTALL) from cause
    try:
        return Interpreter(model_content=_content(path))
    except (ValueError, RuntimeError) as cause:
        what = f"not a readable TFLite model ({one_line(cause)})"
        raise ModelError(what, where=str(path), fix="Check `model`.") from cause


def _survive(content: bytes, path: Path) -> None:
    """See in a process of its own that the interpreter opens a model: a forged one can end the process that does.

    Raises:
        ModelError: It does not.
    """
    noted = f"tflite opens {digest_bytes(content)}"
    if known_digests().fact(noted):
        return
    try:
        status = subprocess.run([sys.executable, "-c", _OPEN], input=content, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as cause:
        what = f"the TFLite interpreter opens it not within {_SECONDS} s"
        raise ModelError(what, where=str(path), fix="Check `model`.") from cause
    if status.returncode < 0:
        name = signal.Signals(-status.returncode).name
        what = f"no TFLite model: the interpreter that opens it is ended by {name}"
        raise ModelError(what, where=str(path), fix="Check `model`.")
    known_digests().note(noted, True)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, MOST_BYTES)
    except OSError as cause:
        raise of_disk(cause, ModelError, where=path, what="cannot be read") from cause


def _resize(interpreter: Any, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    indices = {str(detail["name"]): detail["index"] for detail in interpreter.get_input_details()}
    if unknown := sorted(set(shapes) - set(indices)):
        raise ModelError(f"has no input {unknown[0]!r}", where=str(path), fix=f"Its inputs are {', '.join(indices)}.")
    try:
        for name, shape in shapes.items():
            interpreter.resize_tensor_input(indices[name], list(shape), strict=True)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as cause:
        raise ModelError(f"cannot take the shapes {dict(shapes)} ({one_line(cause)})", where=str(path)) from cause
