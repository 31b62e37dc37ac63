"""Reductions and softmaxes in plainer ones: the same under onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from scaling_tasks.compilers.reductions import find_by_places, find_last_by_first, flatten_softmaxes, reduce_plainly
from tests.compilers.compiled import compiled

KINDS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceSumSquare")
FORMS = {
    "one axis": (13, "{kind} <axes = [1]> (x)"),
    "several": (13, "{kind} <axes = [0, -1], keepdims = 0> (x)"),
    "old": (11, "{kind} <axes = [-2]> (x)"),
    "all": (13, "{kind} (x)"),
    "an input": (18, "{kind} <keepdims = 0> (x, axes)"),
    "none": (18, "{kind} <noop_with_empty_axes = 1> (x)"),
}


def model(opset: int, text: str, dims: str = "3,4,5") -> onnx.ModelProto:
    """Return a model that gives ``y`` from ``x``, beside axes."""
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[{dims}] x) => (float y) '
        f"<int64[2] axes = {{-1, 0}}> {{ y = {text} }}"
    )


def answer(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(["y"], {"x": x})[0]


def numbers(kind: str) -> np.ndarray:
    x = np.random.default_rng(2).normal(-3, 1, (3, 4, 5)).astype(np.float32)
    return np.abs(x) if kind == "ReduceLogSum" else x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_reductions_are_alike(kind: str, form: str):
    opset, text = FORMS[form]
    proto = model(opset, text.format(kind=kind))
    expected = answer(proto, numbers(kind))
    assert reduce_plainly(proto, KINDS)
    assert not {"ReduceL1", "ReduceL2", "ReduceMax"} & {node.op_type for node in proto.graph.node}
    np.testing.assert_allclose(answer(proto, numbers(kind)), expected, rtol=1e-5, atol=1e-6)


def test_the_logarithm_of_no_power_is_minus_infinity():
    proto = model(13, "ReduceLogSumExp <axes = [1]> (x)")
    x = numbers("")
    x[0, :, 0] = -np.inf
    expected = answer(proto, x)
    assert reduce_plainly(proto, KINDS)
    np.testing.assert_allclose(answer(proto, x), expected, rtol=1e-6)
    assert np.isneginf(expected[0, 0, 0])


@pytest.mark.parametrize("dims", ["3,4,5", "a,b,c"])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Hardmax"])
def test_softmaxes_over_several_axes_are_alike(kind: str, dims: str):
    proto = model(11, f"{kind} (x)", dims)
    expected = answer(proto, numbers(kind))
    assert flatten_softmaxes(proto, [kind])
    np.testing.assert_allclose(answer(proto, numbers(kind)), expected, rtol=1e-6)
    assert not flatten_softmaxes(model(11, f"{kind} <axis = 2> (x)", dims), [kind])
    assert not flatten_softmaxes(model(13, f"{kind} <axis = 1> (x)", dims), [kind])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_greatest_is_marked_alike(axis: int):
    proto = model(13, f"Hardmax <axis = {axis}> (x)")
    x = np.round(numbers("Hardmax"))  # Of several that are equal the first is.
    expected = answer(proto, x)
    assert find_by_places(proto)
    np.testing.assert_array_equal(answer(proto, x), expected)


def test_the_greatest_of_a_row_is_marked_alike():
    proto = model(13, "Hardmax (x)", "5")
    x = np.array([1, 3, 2, 3, 0], np.float32)
    expected = answer(proto, x)
    assert find_by_places(proto)
    np.testing.assert_array_equal(answer(proto, x), expected, strict=True)


def test_the_last_is_found_from_the_end():
    proto, feeds = last_of_near(), {"x": np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.float32)}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    assert find_last_by_first(proto)
    for found, expected in zip(
        onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds), session.run(None, feeds), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_the_last_of_nearly_equal_numbers_compiles(backend: str, tmp_path: Path):
    proto, feeds = last_of_near(), {"x": np.array([[1, 3, 2, 1], [2, 2, 1, 2]], np.float32) * np.float32(1e-7)}
    with compiled(backend, proto, feeds, tmp_path) as engine:
        found = engine.run(feeds)
    np.testing.assert_array_equal(found["y"].ravel(), [1, 3])
    np.testing.assert_array_equal(found["z"].ravel(), [3, 2])


def last_of_near() -> onnx.ModelProto:
    return onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (float[2,4] x) => (int64[2,1] y, int64[2] z) {
            y = ArgMax <axis = 1, select_last_index = 1> (x)
            z = ArgMin <axis = 1, select_last_index = 1, keepdims = 0> (x)
        }""")


@pytest.mark.parametrize("backend", ["lite", "nncase", "openvino"])
def test_norms_of_tiny_numbers_and_of_nothing_compile(backend: str, tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (float[4,3] x) => (float[4,3] y, float[4,3] z) {
            y = LpNormalization <axis = 1> (x)
            z = LpNormalization <axis = -1, p = 1> (x)
        }""")
    feeds = {"x": np.array([[1, -2, 3], [1e-6, 2e-6, 0], [0, 0, 0], [-1e4, 1e3, 2]], np.float32)}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    with compiled(backend, proto, feeds, tmp_path) as engine:
        found = engine.run(feeds)
    for name, expected in zip("yz", session.run(["y", "z"], feeds), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, err_msg=name)
