"""Resizes as products: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.compilers.products import multiply_resizes
from tests.compilers.compiled import answer, assert_compiled

FEEDS = {"x": np.random.default_rng(3).normal(0, 1, (2, 3, 6, 7)).astype(np.float32)}
TEXT = """<ir_version: 9, opset_import: ["": 19]>
    g (float[2,3,6,7] x) => (float[2,3,12,14] twice, float[2,3,9,17] more, float[2,3,3,4] less, float[2,3,9,5] curve,
        float[2,3,3,4] smooth, float[2,3,9,17] even, float[2,3,9,5] above)
    <float[4] double = {1.0, 1.0, 2.0, 2.0}, float[4] odd = {1.0, 1.0, 1.5, 2.5}, float[4] half = {1.0, 1.0, 0.5, 0.6},
     int64[4] sizes = {2, 3, 9, 5}> {
        twice = Resize <mode = "nearest"> (x, , double)
        more = Resize <mode = "linear"> (x, , odd)
        less = Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , half)
        curve = Resize <mode = "cubic"> (x, , , sizes)
        smooth = Resize <mode = "linear", antialias = 1> (x, , half)
        even = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel_symmetric"> (x, , odd)
        above = Resize <mode = "nearest", nearest_mode = "ceil"> (x, , , sizes)
    }"""


@pytest.mark.parametrize(("finds_nearest", "left"), [(False, 0), (True, 2)])
def test_they_are_alike(finds_nearest: bool, left: int, tmp_path: Path):
    proto = onnx.parser.parse_model(TEXT)
    expected = answer(proto, FEEDS)
    assert multiply_resizes(proto, tmp_path, finds_nearest=finds_nearest)
    assert sum(node.op_type == "Resize" for node in proto.graph.node) == left
    for key, value in answer(proto, FEEDS).items():
        np.testing.assert_allclose(value, expected[key], atol=1e-6, err_msg=key)


def test_one_that_keeps_the_ratio_of_its_sides_is_left(tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["": 18]>
        g (float[2,3,6,7] x) => (float[2,3,12,14] y) <int64[4] sizes = {2, 3, 12, 20}> {
            y = Resize <mode = "cubic", keep_aspect_ratio_policy = "not_larger"> (x, , , sizes)
        }""")
    assert not multiply_resizes(proto, tmp_path, finds_nearest=False)


@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_they_compile(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model(TEXT)
    assert_compiled(backend, proto, FEEDS, tmp_path, atol=1e-5)
