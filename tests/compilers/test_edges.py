"""What random inputs do not meet, such as equal scores and places out of reach, compiled and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.compilers.compiled import OPTIONS, assert_compiled

LEVELS = np.random.default_rng(3).integers(-2, 3, (6, 40))
TIES = """<ir_version: 8, opset_import: ["": 17]>
    g (float[6,40] x, int64[6,40] n) => (float[6,9] most, int64[6,9] of_most, int64[6,40] of_least, int64[6,9] of_whole)
    <int64[1] nine = {9}, int64[1] all = {40}> {
        most, of_most = TopK (x, nine)
        least, of_least = TopK <largest = 0> (x, all)
        whole, of_whole = TopK (n, nine)
    }"""
BEYOND = """<ir_version: 8, opset_import: ["": 17]>
    g (int64[6] n) => (float[6,4] y, float[4,6] z) <int64 depth = {4}, float[2] values = {2.5, -1.0}> {
        y = OneHot (n, depth, values)
        z = OneHot <axis = 0> (n, depth, values)
    }"""
FAR = """<ir_version: 8, opset_import: ["": 17]>
    g (float[2,3] x) => (float[2,3] y, float[2,3] z) { y = LogSoftmax (x)  z = LogSoftmax <axis = 0> (x) }"""
OLD, NEW = FAR.replace("17", "11"), FAR.replace("17", "18")
MODELS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "ties": (TIES, [*OPTIONS], {"x": LEVELS.astype(np.float32), "n": LEVELS}),
    "beyond": (BEYOND, ["openvino", "nncase"], {"n": np.array([0, 3, -1, -4, 4, -5])}),
    "far": (FAR, [*OPTIONS], {"x": np.array([[0, 200, -1000], [5, 5, 6]], np.float32)}),
    "old": (OLD, [*OPTIONS], {"x": np.array([[0, 200, -1000], [5, 5, 6]], np.float32)}),
    "new": (NEW, ["nncase"], {"x": np.array([[0, 200, -1000], [5, 5, 6]], np.float32)}),
}


@pytest.mark.parametrize(("backend", "name"), [(each, name) for name, row in MODELS.items() for each in row[1]])
def test_it_answers_as_onnxruntime_does(backend: str, name: str, tmp_path: Path):
    text, _, feeds = MODELS[name]
    proto = onnx.parser.parse_model(text)
    assert_compiled(backend, proto, feeds, tmp_path, rtol=1e-5, atol=1e-6)
