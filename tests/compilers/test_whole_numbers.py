"""Whole numbers as importers compute them: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.compilers.whole_numbers import quantise_in_floats, round_to_even, take_remainders
from tests.compilers.compiled import answer, assert_compiled

HALVES = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 8388607.5, -4194303.5, 1e-10, -1e-10, 0, 7, 1e9]
FEEDS = {
    "x": np.array(HALVES, np.float32),
    "a": np.array([7, -7, 7, -7, 1, 0, -6]),
    "b": np.array([2, 2, -2, -2, 3, 5, 3]),
}
WHOLE = """<ir_version: 8, opset_import: ["": 13]>
    g (float[14] x, int64[7] a, int64[7] b) => (float[14] y, int64[14] whole, int64[7] rest) {
        y = Round (x)
        whole = Cast <to = 7> (y)
        rest = Mod (a, b)
    }"""


def test_halves_and_remainders_are_alike():
    proto = onnx.parser.parse_model(WHOLE)
    expected = answer(proto, FEEDS)
    assert round_to_even(proto)
    assert "Round" not in {node.op_type for node in proto.graph.node}
    assert take_remainders(proto)
    for key, value in answer(proto, FEEDS).items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_halves_and_remainders_compile(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model(WHOLE)
    assert_compiled(backend, proto, FEEDS, tmp_path)


def test_what_is_quantised_for_no_product_is_left(tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]> g (float[3] x) => (float[3] y) {
        q, scale, zero = DynamicQuantizeLinear (x)
        y = Cast <to = 1> (q)
    }""")
    assert not quantise_in_floats(proto, tmp_path)
