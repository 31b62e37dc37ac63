"""Places that are counted from the end: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.compilers.missing_operators import count_places_from_first, refuse_reductions
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature, TensorSpec
from tests.compilers.compiled import OPTIONS, answer, assert_compiled, compiled

X = np.random.default_rng(7).normal(0, 1, (4, 6)).astype(np.float32)
FEEDS = {
    "x": X,
    "each": np.array([[-1, -4, 0, 1, 2, -2], [3, 0, -3, -1, 1, 1]]),
    "points": np.array([[-1, -6], [0, -1], [2, 3]]),
    "rows": np.array([[-1], [1]]),
    "new": X[:2] + 5,
}
TEXT = """<ir_version: 8, opset_import: ["": 13]>
    g (float[4,6] x, int64[2,6] each, int64[3,2] points, int64[2,1] rows, float[2,6] new)
    => (float[2,6] elements, float[3] of_points, float[4,6] written) {
        elements = GatherElements <axis = 0> (x, each)
        of_points = GatherND (x, points)
        written = ScatterND (x, rows, new)
    }"""
KINDS = ("GatherElements", "GatherND", "ScatterND")


def test_they_are_alike():
    proto = onnx.parser.parse_model(TEXT)
    expected = answer(proto, FEEDS)
    assert count_places_from_first(proto, KINDS)
    assert len(proto.graph.node) > len(KINDS)
    for key, value in answer(proto, FEEDS).items():
        np.testing.assert_array_equal(value, expected[key])


def test_points_of_each_row_are_counted_within_it():
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (float[4,6] x, int64[4,1] each) => (float[4] y) { y = GatherND <batch_dims = 1> (x, each) }""")
    feeds = {"x": X, "each": np.array([[-1], [2], [-6], [5]])}
    expected = answer(proto, feeds)["y"]
    assert count_places_from_first(proto, KINDS)
    np.testing.assert_array_equal(answer(proto, feeds)["y"], expected)


def test_those_that_are_known_to_be_counted_from_the_first_are_left():
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (float[4,6] x) => (float[n] y, float[2] z) <int64[2,2] points = {0, 1, 3, 5}> {
            places = NonZero (x)
            turned = Transpose <perm = [1, 0]> (places)
            y = GatherND (x, turned)
            z = GatherND (x, points)
        }""")
    before = proto.SerializeToString()
    assert not count_places_from_first(proto, KINDS)
    assert proto.SerializeToString() == before


@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_they_compile(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model(TEXT)
    assert_compiled(backend, proto, FEEDS, tmp_path)


def test_what_adds_to_what_there_is_is_refused_where_importers_write_over_it():
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 16]>
        g (float[4,6] x, int64[2,1] rows, float[2,6] new) => (float[4,6] y) {
            y = ScatterND <reduction = "add"> (x, rows, new)
        }""")
    with pytest.raises(CompileError, match="'add' of the ScatterND 'y'"):
        refuse_reductions(proto, "nncase")


@pytest.mark.parametrize(("backend", "dtype"), [("lite", "float16"), ("lite", "float64"), ("nncase", "float64")])
def test_numbers_that_an_importer_takes_for_others_are_refused(backend: str, dtype: str):
    with pytest.raises(CompileError, match=f"the input 'x'.*{'double' if backend == 'nncase' else dtype}"):
        get_backend(backend).check(Signature((TensorSpec("x", (1, 4), dtype),)), OPTIONS[backend])


@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_places_are_limited_on_both_sides(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (int64[5] a) => (int64[5] y) <int64 low = {-2}, int64 high = {5}> { y = Clip (a, low, high) }""")
    feeds = {"a": np.array([-9, -2, 0, 5, 70])}
    with compiled(backend, proto, feeds, tmp_path) as engine:
        np.testing.assert_array_equal(engine.run(feeds)["y"], [-2, -2, 0, 5, 5])
