"""TFLite models, whose interpreter is a library in C++."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.onnx_model.tflite import TfliteEngine, write_fixed_tflite
from tests.compilers.tiny_tflite import write_tiny_tflite
from tests.fuzz.mutations import binary_numbers
from tests.fuzz.reader import Reader, anything


def _make(directory: Path) -> list[Path]:
    return [write_tiny_tflite(directory / "model.tflite")]


def _read(directory: Path) -> Any:
    path = directory / "model.tflite"
    signature = read_signature(path)
    shapes = {
        tensor.name: tuple(3 if dim == "-1" else int(dim) for dim in tensor.dims) for tensor in signature.inputs.inputs
    }
    fixed = write_fixed_tflite(path, shapes, directory / "fixed.tflite").read_bytes()
    return signature, TfliteEngine(path).output_shapes(shapes), fixed


READERS = (
    (Reader("tflite", _make, _read, allowed=anything, mutators=(binary_numbers,) * 4),)
    if importlib.util.find_spec("ai_edge_litert")
    else ()
)
