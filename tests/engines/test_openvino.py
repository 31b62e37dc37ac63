"""OpenVINO's engine takes what the model asks for, and nothing less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.engines.openvino import OpenVinoEngine
from scaling_tasks.errors import EngineError


def test_an_input_that_is_not_given_is_an_error_and_not_what_was_in_memory(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[2] x, float[2] y) => (float[2] z) { z = Add(x, y) }'
    onnx.save(onnx.parser.parse_model(text), str(tmp_path / "m.onnx"))
    engine = OpenVinoEngine(tmp_path / "m.onnx", {})
    row = np.ones(2, np.float32)
    assert engine.run({"x": row, "y": row})["z"].tolist() == [2, 2]
    with pytest.raises(EngineError, match=r"inputs are x, y, not x"):
        engine.run({"x": row})


@pytest.mark.parametrize(("dtype", "number"), [("int64", 2**31), ("int64", -(2**31) - 1), ("uint32", 2**32 - 1)])
def test_whole_numbers_that_it_does_not_keep_are_an_error(dtype: str, number: int, tmp_path: Path) -> None:
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({dtype}[2] x) => ({dtype}[2] y) {{ y = Max(x, x) }}'
    onnx.save(onnx.parser.parse_model(text), str(tmp_path / "m.onnx"))
    engine = OpenVinoEngine(tmp_path / "m.onnx", {})
    kept = np.array([5, 2**31 - 1], dtype)
    np.testing.assert_array_equal(engine.run({"x": kept})["y"], kept)
    with pytest.raises(EngineError, match=r"input 'x' holds numbers beyond 2147483647"):
        engine.run({"x": np.array([5, number], dtype)})


@pytest.mark.parametrize(
    ("body", "most"), [("z = Gather (x, i) y = Equal (z, i)", 2**24), ("y = Cast <to = 9> (x)", 2**31 - 1)]
)
def test_whole_numbers_that_it_computes_in_floats_are_smaller(body: str, most: int, tmp_path: Path) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        g (int64[2] x) => (bool[2] y) <int64[2] i = {{1, 0}}> {{ {body} }}"""
    onnx.save(onnx.parser.parse_model(text), str(tmp_path / "m.onnx"))
    engine = OpenVinoEngine(tmp_path / "m.onnx", {})
    engine.run({"x": np.array([most, -most])})
    with pytest.raises(EngineError, match=f"input 'x' holds numbers beyond {most}, .* `onnxruntime`"):
        engine.run({"x": np.array([most + 1, 0])})
