"""Logarithms at the ends of what floats hold: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.compilers.logarithms import add_logarithms, choose_of_nothing
from tests.compilers.compiled import answer, assert_compiled, compiled

ENDS = [0, -0.0, 1e-30, 1e-7, 0.5, 1, 20, 87, 88, 89, 100, 3e4, 1e38, -1e-7, -1, -20, -88, -104, -1e38]
FEEDS = {"x": np.array(ENDS, np.float32), "seen": np.array([[1, 0, 1, 1], [0, 0, 1, 0]], np.float32)}
TEXT = """<ir_version: 8, opset_import: ["": 13]>
    g (float[19] x, float[2,4] seen) => (float[19] ramp, float[19] back, float[2,4] hidden, float[2,4] share) {
        ramp = Softplus (x)
        down = Neg (x)
        back = Softplus (down)
        hidden = Log (seen)
        share = Softmax (hidden)
    }"""


def test_they_are_alike():
    proto = onnx.parser.parse_model(TEXT)
    expected = answer(proto, FEEDS)
    assert choose_of_nothing(proto)
    assert add_logarithms(proto)
    assert "Softplus" not in {node.op_type for node in proto.graph.node}
    for key, value in answer(proto, FEEDS).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", ["lite", "nncase", "openvino"])
def test_they_compile(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model(TEXT)
    assert_compiled(backend, proto, FEEDS, tmp_path, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_sums_of_large_powers_compile(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]> g (float[3,4] x) => (float[3] y) {
        y = ReduceLogSumExp <axes = [1], keepdims = 0> (x)
    }""")
    feeds = {"x": np.array([[1, 2, 3, 4], [900, 899, -900, 0], [-900, -1000, -901, -950]], np.float32)}
    with compiled(backend, proto, feeds, tmp_path) as engine:
        found = engine.run(feeds)
    np.testing.assert_allclose(found["y"], answer(proto, feeds)["y"], rtol=1e-5)
