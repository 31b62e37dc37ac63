"""Reversed rows and running sums in other operators: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from scaling_tasks.compilers.along_axis import gather_reversed, sum_by_products

REVERSED = {
    "time first": "y = ReverseSequence <time_axis = 0, batch_axis = 1> (x, lengths)",
    "time second": "y = ReverseSequence <time_axis = 1, batch_axis = 0> (turned, lengths)",
}
SUMS = {
    "first, exclusive": (0, "y = CumSum <exclusive = 1> (x, axis)"),
    "middle, exclusive": (1, "y = CumSum <exclusive = 1> (x, axis)"),
    "last, reverse": (-1, "y = CumSum <reverse = 1> (x, axis)"),
    "middle, both": (-2, "y = CumSum <exclusive = 1, reverse = 1> (x, axis)"),
}


def reversal(form: str, lengths: str) -> onnx.ModelProto:
    """Return a model that reverses rows of [5, 3, 2] or, turned, of [3, 5, 2]."""
    given = "int64[3] lengths, " if lengths == "input" else ""
    stored = "" if given else "<int64[3] lengths = {5, 1, 3}>"
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g ({given} float[5,3,2] x) => (float[a,b,c] y) {stored} '
        f"{{ turned = Transpose <perm = [1, 0, 2]> (x) {REVERSED[form]} }}"
    )


def running_sum(form: str) -> onnx.ModelProto:
    """Return a model that sums along an axis of [3, 4, 5]."""
    axis, text = SUMS[form]
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g (float[3,4,5] x) => (float[3,4,5] y) '
        f"<int64 axis = {{{axis}}}> {{ {text} }}"
    )


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    known = {"lengths": np.array([2, 5, 1])}
    dims = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input}
    random = np.random.default_rng(1)
    return {name: known.get(name, random.normal(0, 1, shape).astype(np.float32)) for name, shape in dims.items()}


def answer(model: onnx.ModelProto) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], feeds(model))[0]


@pytest.mark.parametrize("lengths", ["input", "constant"])
@pytest.mark.parametrize("form", REVERSED)
def test_rows_are_reversed_alike(form: str, lengths: str, tmp_path: Path):
    model = reversal(form, lengths)
    expected = answer(model)
    assert gather_reversed(model, tmp_path)
    assert "ReverseSequence" not in {node.op_type for node in model.graph.node}
    np.testing.assert_array_equal(answer(model), expected)


@pytest.mark.parametrize("form", SUMS)
def test_sums_are_alike(form: str, tmp_path: Path):
    model = running_sum(form)
    expected = answer(model)
    assert sum_by_products(model, tmp_path)
    np.testing.assert_allclose(answer(model), expected, atol=1e-6)


def test_sums_of_whole_numbers_are_alike(tmp_path: Path):
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (int64[3,4] x) => (int64[3,4] y) <int64 axis = {1}> { y = CumSum <exclusive = 1> (x, axis) }""")
    feeds = {"x": np.arange(-6, 6).reshape(3, 4)}
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    assert sum_by_products(model, tmp_path)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    np.testing.assert_array_equal(found, expected, strict=True)
