"""The original model under onnxruntime: the reference that everything else is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import ModelError
from scaling_tasks.shapes.signature import Signature, TensorSpec

__all__ = ["Original", "OriginalModel", "open_original", "random_inputs"]

Arrays = dict[str, NDArray[np.generic]]


class Original(Protocol):
    """A model as it was given, which runs at any size it was made for."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Return every output by name."""
        ...


class OriginalModel:
    """An ONNX model that runs at any size.

    Args:
        path: The model.
        threads: Threads inside one operator; 0 leaves the choice to onnxruntime.
        fixed: Values of inputs that are always the same.

    Raises:
        ModelError: onnxruntime cannot load it.
    """

    def __init__(self, path: Path, *, threads: int = 0, fixed: Mapping[str, Any] | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # refused sizes are answered by an exception, not by lines on stderr
        # The arena would keep the memory of the largest size that was ever tried.
        options.enable_cpu_mem_arena = False
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as cause:  # onnxruntime raises its own types and RuntimeError alike
            raise ModelError(f"onnxruntime cannot load it ({_last_line(cause)})", where=str(path)) from cause
        self._outputs = [output.name for output in self._session.get_outputs()]
        known = {given.name: given for given in self._session.get_inputs()}
        self._fixed = {name: _fixed(value, known[name]) for name, value in (fixed or {}).items() if name in known}

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Arrays:
        """Return every output by name.

        Raises:
            ModelError: The model does not take inputs of these shapes.
        """
        try:
            results: list[Any] = self._session.run(self._outputs, {**inputs, **self._fixed})
        except Exception as cause:
            shapes = {name: list(array.shape) for name, array in inputs.items()}
            raise ModelError(f"cannot run at {shapes} ({_last_line(cause)})", where=str(self._path)) from cause
        return dict(zip(self._outputs, results, strict=True))


def open_original(path: Path, *, fixed: Mapping[str, Any] | None = None) -> Original:
    """Return the original model, ready to run at any size: ONNX under onnxruntime, TFLite under its interpreter.

    Args:
        path: The model.
        fixed: Values of inputs that are always the same.

    Raises:
        ModelError: It cannot be loaded.
    """
    if path.suffix == ".tflite":
        from scaling_tasks.onnx_model.tflite import TfliteEngine

        return TfliteEngine(path)
    return OriginalModel(path, fixed=fixed)


def _fixed(value: Any, given: Any) -> NDArray[np.generic]:
    """Return a fixed value as the array that an input takes."""
    dtype = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(given.type, given.type[7:-1])
    array = np.asarray(value, dtype)
    return array.reshape([1] * len(given.shape)) if array.ndim == 0 else array


def random_inputs(signature: Signature, values: Mapping[str, int], seed: int) -> Arrays:
    """Return one array per input, the same for the same arguments.

    Real numbers lie evenly in [-1, 1), as normalised images do; whole numbers are 0 or 1, which a token table, a mask
    and an index all take.

    Args:
        signature: The inputs.
        values: One value per variable.
        seed: Of the random numbers.
    """
    generator = np.random.default_rng(seed)
    return {tensor.name: _random(generator, tensor, tensor.shape(values)) for tensor in signature.inputs}


def _random(generator: np.random.Generator, tensor: TensorSpec, shape: tuple[int, ...]) -> NDArray[np.generic]:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind in "iub":
        return np.asarray(generator.integers(0, 2, shape), dtype)
    return np.asarray(2 * generator.random(shape, dtype=np.float32) - 1, dtype)


def _last_line(cause: BaseException) -> str:
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1] if lines else type(cause).__name__
