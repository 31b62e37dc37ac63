"""What a build does with an ONNX model before anything runs it: the analysis, and dimensions fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.onnx_model.fixing import write_fixed_model
from scaling_tasks.onnx_model.reading import read_signature
from tests.fuzz.reader import Reader, anything
from tests.fuzz.readers.onnx_models import change_field, model


def _make(directory: Path) -> list[Path]:
    path = directory / "model.onnx"
    path.write_bytes(model().SerializeToString(deterministic=True))
    return [path]


def _read(directory: Path) -> Any:
    path = directory / "model.onnx"
    found = analyse_model(path)
    inputs = read_signature(path).inputs
    sizes = dict.fromkeys(inputs.variables, 3)
    fixed = write_fixed_model(path, inputs.shapes(sizes), directory / "fixed.onnx")
    return found.inputs, found.behaviour, found.cleaned.SerializeToString(deterministic=True), fixed.read_bytes()


READERS = (Reader("onnx analysis", _make, _read, allowed=anything, mutators=(change_field,) * 8, share=1),)
