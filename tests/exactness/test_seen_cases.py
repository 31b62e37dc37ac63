"""What builds once served wrongly: each is exact now, or refused with the operator that stands in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from tests.exactness.conftest import Build

OPSET = '<ir_version: 8, opset_import: ["": 17]>\n'


def parsed(text: str) -> onnx.ModelProto:
    return parser.parse_model(OPSET + text)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_detector_that_runs_at_multiples_of_32_only(ocr_models: Path, build: Build, backend: str) -> None:
    outcome = build(
        ocr_models / "ch_PP-OCRv4_det_infer.onnx",
        [{"N": 1, "H": 320, "W": 480}],
        backend=backend,
        interval=32,
        runtime={"round_up": True},
    )
    outcome.check([{"x": numbers(1, 3, *size)} for size in ((128, 128), (256, 416), (320, 480), (32, 448))])


def test_sizes_are_multiples_where_the_configuration_says_so(build: Build) -> None:
    """A convolution of stride 2 reads nothing beyond an even length."""
    import scaling_tasks as st
    from scaling_tasks.errors import BundleError

    model = parsed("""g (float[1,2,H,W] x) => (float[1,2,h,w] y) <float[2,2,3,3] k = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1
    }> {
        z = Exp(x)
        y = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(z, k)
    }""")
    outcome = build(model, [{"H": 16, "W": 24}], runtime={"multiples": {"H": 2, "W": 4}})
    outcome.check([{"x": numbers(1, 2, *size)} for size in ((8, 16), (2, 24), (16, 24))])
    with st.load_bundle(outcome.root / "build/net") as served:
        assert {verdict.kind for verdict in served.verdicts} == {"exact"}
        with pytest.raises(BundleError, match=r"nearest .*'W': 8.*'W': 12"):
            served.run({"x": numbers(1, 2, 8, 10)})


def test_a_size_at_which_the_detector_does_not_run_is_refused(ocr_models: Path, build: Build) -> None:
    import scaling_tasks as st
    from scaling_tasks.errors import BundleError

    outcome = build(ocr_models / "ch_PP-OCRv4_det_infer.onnx", [{"N": 1, "H": 96, "W": 96}], interval=32)
    assert outcome.status == 0, outcome.output
    said = r"does not run at .*'H': 50.* nearest .*'H': 32.*'H': 61"
    with st.load_bundle(outcome.root / "build/net") as model, pytest.raises(BundleError, match=said):
        model.run({"x": numbers(1, 3, 50, 64)})


def test_a_flattened_grid_is_gathered(build: Build) -> None:
    model = parsed("""g (float[1,4,H,W] x) => (float[1,4,P] y) <int64[3] s = {1, 4, -1}> {
        z = Sigmoid(x)
        y = Reshape(z, s)
    }""")
    outcome = build(model, [{"H": 8, "W": 16}, {"H": 16, "W": 16}])
    outcome.check([{"x": numbers(1, 4, *size)} for size in ((3, 5), (8, 16), (9, 2), (16, 15))])


def test_time_is_no_batch(build: Build) -> None:
    model = parsed("""g (float[T,4] x) => (float[T,4] y) <int64 a = {0}> { y = CumSum(x, a) }""")
    outcome = build(model, [{"T": 8}, {"T": 32}])
    outcome.check([{"x": np.ones((16, 4), np.float32)}, {"x": numbers(5, 4)}, {"x": numbers(32, 4)}])


def test_rows_are_a_batch_wherever_they_lie(build: Build) -> None:
    model = parsed("""g (float[T,N,4] x) => (float[T,N,4] y) <int64 a = {0}> { y = CumSum(x, a) }""")
    outcome = build(model, [{"T": 8, "N": 1}, {"T": 8, "N": 4}])
    outcome.check([{"x": numbers(8, 3, 4)}, {"x": numbers(5, 1, 4)}, {"x": numbers(2, 7, 4)}])


def test_a_mean_over_time(build: Build) -> None:
    model = parsed(
        """g (float[N,T,4] x) => (float[N,4] y) { z = Exp(x) y = ReduceMean <axes = [1], keepdims = 0> (z) }"""
    )
    outcome = build(model, [{"N": 4, "T": 16}])
    outcome.check([{"x": numbers(2, 11, 4)}, {"x": numbers(1, 3, 4)}, {"x": numbers(4, 16, 4)}])


def test_attention_without_a_mask(build: Build) -> None:
    model = parsed("""g (float[N,T,8] x) => (float[N,T,8] y) {
        k = Transpose <perm = [0, 2, 1]> (x)
        s = MatMul(x, k)
        p = Softmax <axis = -1> (s)
        y = MatMul(p, x)
    }""")
    outcome = build(model, [{"N": 1, "T": 16}, {"N": 4, "T": 16}])
    outcome.check([{"x": numbers(1, length, 8)} for length in (1, 7, 16, 12, 5)])


def test_a_selection_that_depends_on_data(build: Build) -> None:
    model = parsed("""g (float[1,B,4] boxes, float[1,2,B] scores) => (int64[K,3] y)
        <int64 most = {3}, float overlap = {0.5}, float least = {0.1}> {
        y = NonMaxSuppression(boxes, scores, most, overlap, least)
    }""")
    outcome = build(model, [{"B": 16}])
    corners = np.sort(np.random.default_rng(0).random((1, 16, 2, 2), np.float32), axis=2).reshape(1, 16, 4)
    scores = np.random.default_rng(1).random((1, 2, 16), np.float32)
    outcome.check([{"boxes": corners[:, :count], "scores": scores[:, :, :count]} for count in (16, 9, 3)])


CHOSEN = [{"x": numbers(length), "rows": numbers(height, length)} for height, length in ((9, 16), (4, 7), (1, 2))]
"""Requests for ``chosen_beside_padded``."""


def chosen_beside_padded() -> onnx.ModelProto:
    """Positions that data chooses beside all of them in one axis, in rows made one line, and as coordinates."""
    model = parsed("""g (float[T] x, float[H,T] rows) => (float[K] y, float[L] z, int64[2,M] places)
        <float none = {0.0}, int64[1] line = {-1}> {
        m = Greater(x, none)
        chosen = Compress(x, m)
        y = Concat <axis = 0> (chosen, x, chosen)
        most = ReduceMax <axes = [1], keepdims = 0> (rows)
        kept = Greater(most, none)
        taken = Compress <axis = 0> (rows, kept)
        z = Reshape(taken, line)
        positive = Relu(rows)
        places = NonZero(positive)
    }""")
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")  # As some exporters leave it.
    return model


def test_positions_that_data_chooses_in_one_axis_with_padded_ones(build: Build) -> None:
    build(chosen_beside_padded(), [{"H": 9, "T": 16}]).check(CHOSEN)


def test_a_value_that_is_fixed_folds_its_branches(build: Build) -> None:
    model = parsed("""g (float[1,T] x, int64 sr) => (float[1,T] y) <int64 fast = {16000}> {
        c = Equal(sr, fast)
        y = If (c) <
            then_branch = t () => (float[1,T] a) { a = Relu(x) },
            else_branch = e () => (float[1,T] b) { b = Neg(x) }
        >
    }""")
    outcome = build(model, [{"T": 16}], backend="openvino", inputs={"sr": 16000})
    outcome.check([{"x": numbers(1, 16)}, {"x": numbers(1, 5)}])


def test_a_length_that_follows_from_others_is_no_variable(build: Build) -> None:
    model = parsed(
        """g (float[1,4,past,8] key, float[1,4,seq,8] new, float[1,"past + seq"] mask)
        => (float[1,4,all,8] present, float[1,4,seq,8] y) <int64[2] a = {1, 2}> {
        present = Concat <axis = 2> (key, new)
        turned = Transpose <perm = [0, 1, 3, 2]> (present)
        s = MatMul(new, turned)
        m = Unsqueeze(mask, a)
        masked = Add(s, m)
        p = Softmax <axis = -1> (masked)
        y = MatMul(p, present)
    }""".replace('"past + seq"', "total")
    )
    model.graph.input[2].type.tensor_type.shape.dim[1].dim_param = "past + seq"
    outcome = build(model, [{"past": 8, "seq": 4}, {"past": 32, "seq": 4}])
    requests = [
        {"key": numbers(1, 4, past, 8), "new": numbers(1, 4, seq, 8), "mask": numbers(1, past + seq)}
        for past, seq in ((3, 2), (8, 4), (20, 1))
    ]
    outcome.check(requests)


def test_an_operator_that_is_not_known_is_named_before_anything_is_compiled(build: Build) -> None:
    model = parsed("""g (float[1,T] x) => (float[U] y) { y = Unique <sorted = 1> (x) }""")
    outcome = build(model, [{"T": 16}])
    assert outcome.status != 0
    assert "Unique" in outcome.output
    # How much of its answer padding is nobody can tell, so that there is nothing to accept.
    assert "accepting it is no way out, as the shape of output 'y' is not known" in outcome.output
    assert "compile:net" not in outcome.output.replace("could not start", "")


def test_what_is_of_unknown_shape_cannot_be_accepted(build: Build) -> None:
    model = parsed("""g (float[1,T] x) => (float[U] y) { y = Unique <sorted = 1> (x) }""")
    outcome = build(model, [{"T": 16}], runtime={"padding": "accept"})
    assert outcome.status != 0
    assert "refused: Unique" in outcome.output
    assert "padding: accept" not in outcome.output
    assert "compile:net" not in outcome.output.replace("could not start", "")


def test_what_is_refused_can_be_accepted_and_is_measured(build: Build) -> None:
    model = parsed(
        """g (float[1,3,T] x) => (float[1,3] y) { z = Exp(x) y = ReduceMean <axes = [2], keepdims = 0> (z) }"""
    )
    outcome = build(model, [{"T": 16}], runtime={"padding": "accept"})
    assert outcome.status == 0, outcome.output
    import scaling_tasks as st

    with st.load_bundle(outcome.root / "build/net") as loaded:
        assert {verdict.kind for verdict in loaded.verdicts} == {"approximate"}


def test_numbers_that_point_outside_are_refused_as_the_original_does(build: Build) -> None:
    import scaling_tasks as st
    from scaling_tasks.errors import BundleError

    model = parsed("""g (int64[N,T] ids) => (float[N,T,2] y) <float[3,2] table = {1, 2, 3, 4, 5, 6}> {
        y = Gather(table, ids)
    }""")
    outcome = build(model, [{"N": 1, "T": 8}])
    outcome.check([{"ids": np.array([[0, 2, -1, -3, 1]])}, {"ids": np.array([[2]])}])
    with st.load_bundle(outcome.root / "build/net") as served:
        for number in (3, -4):
            with pytest.raises(BundleError, match=rf"idx={number}"):
                served.run({"ids": np.array([[0, number, 1]])})


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_input_without_axes(build: Build, backend: str) -> None:
    model = parsed(
        "g (float[length] x, float scale) => (float[length] y, float z) { y = Mul(x, scale) z = Exp(scale) }"
    )
    outcome = build(model, [{"length": 4}], backend=backend)
    outcome.check([{"x": numbers(size), "scale": np.array(0.5, np.float32)} for size in (1, 3, 4)])
