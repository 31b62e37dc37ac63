"""Functions of numbers as MindSpore Lite computes them: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from scaling_tasks.compilers.lite_arithmetic import (
    compare_for_signs,
    compute_by_halves,
    divide_in_floats,
    raise_plainly,
)
from scaling_tasks.compilers.lite_arithmetic import cut_off_before_casts as cut_off
from tests.compilers.compiled import answer, assert_compiled

FEEDS = {
    "x": np.array([0, 0.5, -0.5, 3, -3, 20, -20, 4e5, -4e5, 1e20, -1e20, 1e38, -1e38], np.float32),
    "y": np.array([0, 0.5, -0.5, 1, -1, 2.5, -3, 6, -6], np.float32),
    "a": np.array([7, -7, 7, -7, 0, 6, 254]),
    "b": np.array([2, 2, -2, -2, 3, 3, 1]),
    "p": np.array([0, 1, 250], np.uint8),
}
OUTPUTS = (
    "float[13] bent, float[13] side, float[9] gate, float[9] square, float[9] power, int64[7] quotient, int64[3] row"
)
TEXT = f"""<ir_version: 10, opset_import: ["": 20]>
    g (float[13] x, float[9] y, int64[7] a, int64[7] b, uint8[3] p) => ({OUTPUTS}, uint8[7] bytes, int64[3] whole)
    <int64 two = {{2}}, int64[1] many = {{3}}, float three = {{3.0}}> {{
        bent = Tanh (x)
        side = Sign (x)
        gate = Gelu <approximate = "tanh"> (y)
        square = Pow (y, two)
        power = Pow (three, y)
        quotient = Div (a, b)
        places, at = TopK (x, many)
        row = Div (at, two)
        positive = Abs (a)
        bytes = Cast <to = 2> (positive)
        whole = Cast <to = 7> (p)
    }}"""


def test_they_are_alike():
    proto = onnx.parser.parse_model(TEXT)
    expected = answer(proto, FEEDS)
    assert raise_plainly(proto, Path())
    assert compare_for_signs(proto)
    assert divide_in_floats(proto)
    assert cut_off(proto)
    assert compute_by_halves(proto)
    for key, value in answer(proto, FEEDS).items():
        np.testing.assert_allclose(value, expected[key], rtol=2e-6, err_msg=key)


def test_they_compile(tmp_path: Path):
    proto = onnx.parser.parse_model(TEXT)
    assert_compiled("lite", proto, FEEDS, tmp_path, rtol=1e-5, atol=2e-6)
