"""Operators of onnxruntime's own domain, rotations, quantised operators, and reading at computed places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough

OWN: dict[str, Any] = {"domain": "com.microsoft"}
ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}


def wide(draft: Draft, channels: int = 8) -> str:
    return draft.shifted(draft.input("x", ["N", "T", channels]))


def summed(draft: Draft, y: str) -> str:
    return str(draft.add("ReduceSum", [draft.add("Softmax", [y], axis=1), draft.constant([-1])]))


@pytest.mark.parametrize("kind", ["Gelu", "FastGelu", "BiasGelu", "QuickGelu"])
def test_activations(kind: str) -> None:
    draft = Draft(17)
    x = wide(draft)
    y = draft.add(kind, [x, draft.weights(8)] if kind == "BiasGelu" else [x], **OWN)
    assert_exact(draft.model(summed(draft, y)), BUCKET, ROWS)


@pytest.mark.parametrize("kind", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_skip_normalisation(kind: str) -> None:
    draft = Draft(17)
    x = wide(draft)
    factors = [draft.weights(8)] + ([draft.weights(8, seed=1)] if kind == "SkipLayerNormalization" else [])
    y, *_, whole = draft.add(kind, [x, draft.add("Tanh", [x]), *factors], outputs=4, **OWN)
    assert_exact(draft.model(summed(draft, y), summed(draft, whole)), BUCKET, ROWS)


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("right", [0, 1])
def test_fused_product(left: int, right: int) -> None:
    draft = Draft(17)
    x = wide(draft)
    other = draft.add("Tanh", [x])
    if left == right:
        other = draft.add("Transpose", [other], perm=[0, 2, 1])
    y = draft.add("FusedMatMul", [x, other], transA=left, transB=right, alpha=0.5, **OWN)
    assert_exact(draft.model(summed(draft, y)), BUCKET, ROWS)


def test_fused_convolution() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 3, "T", 5]))
    y = draft.add("FusedConv", [x, draft.weights(4, 3, 3, 3), draft.weights(4)], pads=[1] * 4, activation="Relu", **OWN)
    y = draft.add("Conv", [y, draft.weights(2, 4, 3, 3)], pads=[1] * 4)
    assert_exact(draft.model(y), BUCKET, ROWS)


@pytest.mark.parametrize("form", ["positions", "angles", "contributed", "offset"])
def test_rotation(form: str) -> None:
    draft = Draft(23)
    x = draft.shifted(draft.input("x", ["N", 2, "T", 8]))
    places = draft.add(
        "Range",
        [
            draft.constant(0),
            draft.add("Gather", [draft.add("Shape", [x]), draft.constant(2)]),
            draft.constant(1),
        ],
    )
    tables = [draft.weights(20, 4), draft.weights(20, 4, seed=1)]
    batch = draft.add("Concat", [draft.add("Shape", [x], end=1), draft.constant([1])], axis=0)
    rows = draft.add("Expand", [draft.add("Unsqueeze", [places, draft.constant([0])]), batch])
    if form == "positions":
        y = draft.add("RotaryEmbedding", [x, *tables, rows])
    elif form == "angles":
        y = draft.add("RotaryEmbedding", [x, *(draft.add("Gather", [table, rows]) for table in tables)])
    else:
        where = rows if form == "contributed" else draft.constant([0])
        y = draft.add("RotaryEmbedding", [x, where, *tables], **OWN)
    y = draft.add("ReduceSum", [y, draft.constant([2])])
    assert_exact(draft.model(y), BUCKET, ROWS, refusable=False)


@pytest.mark.parametrize("offset", [0, 3])
def test_rotation_by_the_number_of_the_first_position_tells_positions_apart(offset: int) -> None:
    draft = Draft(17)
    x = draft.input("x", [1, "T", 16])
    tables = [draft.weights(20, 4), draft.weights(20, 4, seed=1)]
    y = draft.add("RotaryEmbedding", [x, draft.constant([offset]), *tables], num_heads=2, **OWN)
    assert assert_exact(draft.model(y), {"T": 9}, [{"T": 4}]).behaviour.rows is None


def test_embedding_counts_positions_from_the_start() -> None:
    draft = Draft(17)
    x = draft.input("x", [1, "T"], np.int32)
    parts = [
        x,
        "",
        draft.weights(4, 16),
        draft.weights(30, 16, seed=1),
        "",
        draft.weights(16),
        draft.weights(16, seed=3),
    ]
    y, _ = draft.add("EmbedLayerNormalization", parts, outputs=2, **OWN)
    assert assert_exact(draft.model(y), {"T": 9}, [{"T": 4}]).behaviour.rows is None


def test_quantised_embedding() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "T"], np.int32)
    tables = [draft.constant(np.arange(rows * 8).reshape(rows, 8) * 7 % 251, np.uint8) for rows in (4, 30)]
    factors = [draft.constant(np.arange(8) * seed % 11 + 5, np.uint8) for seed in (3, 5)]
    scales = [draft.constant(0.02, np.float32)] * 2
    points = [draft.constant(3, np.uint8)] * 2
    parts = [x, "", *tables, "", *factors, "", *scales, "", *scales, *points, "", *points]
    y, _ = draft.add("QEmbedLayerNormalization", parts, outputs=2, **OWN)
    assert assert_exact(draft.model(y), BUCKET, ROWS).behaviour.rows == "N"


@pytest.mark.parametrize("zero", [0, 7])
@pytest.mark.parametrize("kind", ["QLinearConv", "QLinearMatMul", "dequantised", "dynamic", "dynamic convolution"])
def test_quantised(kind: str, zero: int) -> None:
    draft = Draft(13)
    x = draft.shifted(draft.input("x", ["N", 3, "T"]))
    scale, point = draft.constant(0.05, np.float32), draft.constant(zero, np.uint8)
    y = draft.add("QuantizeLinear", [x, scale, point])
    weights = draft.constant(np.arange(36).reshape(4, 3, 3) % 11 - 5, np.int8)
    if kind == "QLinearConv":
        w_point, big = draft.constant(0, np.int8), draft.constant(0.5, np.float32)
        y = draft.add("QLinearConv", [y, scale, point, weights, scale, w_point, big, point], pads=[1, 1])
        y = draft.add("DequantizeLinear", [y, big, point])
    elif kind == "QLinearMatMul":
        turned = draft.add("Transpose", [y], perm=[0, 2, 1])
        big = draft.constant(0.5, np.float32)
        y = draft.add("QLinearMatMul", [y, scale, point, turned, scale, point, big, point])
        y = draft.add("DequantizeLinear", [y, big, point])
    elif kind == "dequantised":
        y = draft.add("DequantizeLinear", [y, scale, point])
        y = draft.add("Conv", [y, draft.weights(4, 3, 3)], pads=[1, 1])
    elif kind == "dynamic convolution":
        y, factor, own = draft.add("DynamicQuantizeLinear", [x], outputs=3)
        y = draft.add("ConvInteger", [y, weights, own], pads=[1, 1])
        y = draft.add("Mul", [draft.add("Cast", [y], to=1), factor])
    else:
        y, factor, own = draft.add("DynamicQuantizeLinear", [x], outputs=3)
        y = draft.add("Transpose", [y], perm=[0, 2, 1])
        y = draft.add("MatMulInteger", [y, draft.constant(np.arange(12).reshape(3, 4), np.uint8), own])
        y = draft.add("Mul", [draft.add("Cast", [y], to=1), factor])
    assert_exact(draft.model(y), BUCKET, ROWS)


@given(st.data())
@thorough
def test_grid_sample(data: Draw) -> None:
    draft = Draft(20)
    high = data.draw(st.sampled_from(["H", 5]), label="height")
    x = draft.shifted(draft.input("x", ["N", 2, high, "W"]))
    places = draft.add("Tanh", [draft.shifted(draft.input("grid", ["N", "P", 3, 2]))])
    places = draft.add("Mul", [places, draft.constant(data.draw(st.sampled_from([1.0, 1.4])), np.float32)])
    attributes = {
        "mode": data.draw(st.sampled_from(["linear", "cubic", "nearest"]), label="mode"),
        "padding_mode": data.draw(st.sampled_from(["zeros", "border", "reflection"]), label="beyond"),
        "align_corners": data.draw(st.integers(0, 1), label="corners"),
    }
    y = draft.add("GridSample", [x, places], **attributes)
    bucket, rows = requests(data, 1, 7, H=1, W=1, P=1)
    hard = attributes["mode"] == "nearest" or attributes["padding_mode"] == "reflection"
    assert_exact(draft.model(y), bucket, rows, refusable=hard, tolerance=1e-3)


def test_compress() -> None:
    draft = Draft(17)
    x = draft.input("x", ["T", 3])
    chosen = draft.add("Greater", [draft.add("ReduceMax", [x], axes=[1], keepdims=0), draft.constant(-9.0, np.float32)])
    assert_exact(draft.model(draft.add("Compress", [x, chosen], axis=0)), {"T": 9}, [{"T": 5}])


@pytest.mark.parametrize("kind", ["Unique", "Bernoulli", "RandomNormalLike", "DFT", "SequenceConstruct"])
def test_what_is_refused_says_why(kind: str) -> None:
    draft = Draft(18)
    x = draft.input("x", ["N", "T", 1])
    y = draft.add(kind, [x])
    refusals = analyse_model(draft.model(y)).behaviour.refusals
    assert refusals
    assert all(each.operator == kind and "not among" not in each.reason for each in refusals)


def test_random_numbers_are_refused_even_where_no_size_reaches() -> None:
    draft = Draft(18)
    x = draft.input("x", ["N", "T"])
    noise = draft.add("RandomNormal", [], shape=[1, 1])
    assert analyse_model(draft.model(draft.add("Add", [x, noise]))).behaviour.refusals


def test_operators_that_nobody_knows_are_refused() -> None:
    draft = Draft(18)
    y = draft.add("Mystery", [draft.input("x", ["N", "T"])], domain="example")
    (refusal, *_) = analyse_model(draft.model(y)).behaviour.refusals
    assert refusal.operator == "Mystery"


def test_unknown_operators_that_no_size_reaches_are_refused() -> None:
    draft = Draft(18)
    mystery = draft.add("Mystery", [draft.constant([[1.0]], np.float32)], domain="example")
    assert analyse_model(draft.model(draft.add("Add", [draft.input("x", ["N", "T"]), mystery]))).behaviour.refusals


def quantised(draft: Draft, x: str, scale: float = 0.05, point: int = 7) -> tuple[str, str, str]:
    scales = draft.constant(scale, np.float32), draft.constant(point, np.uint8)
    return (str(draft.add("QuantizeLinear", [x, *scales])), *scales)


def test_dequantised_numbers_are_cleaned_before_they_are_dequantised() -> None:
    draft = Draft(17)
    q, *scales = quantised(draft, draft.shifted(draft.input("x", ["N", 3, "T"])))
    y = draft.add("Conv", [draft.add("DequantizeLinear", [q, *scales]), draft.weights(4, 3, 3)], pads=[1, 1])
    analysis = assert_exact(draft.model(y), BUCKET, ROWS)
    producers = {node.output[0]: node.op_type for node in analysis.cleaned.graph.node}
    (conv,) = (node for node in analysis.cleaned.graph.node if node.op_type == "Conv")
    assert producers[conv.input[0]] == "DequantizeLinear"


@pytest.mark.parametrize("kind", ["QLinearSigmoid", "QLinearAdd", "QLinearMul", "QLinearConcat"])
def test_quantised_operators_of_single_positions(kind: str) -> None:
    draft = Draft(17)
    x = quantised(draft, draft.shifted(draft.input("x", ["N", "T", 3])))
    other = quantised(draft, draft.add("Tanh", [draft.add("DequantizeLinear", [*x])]), 0.01, 100)
    result = other[1:]
    if kind == "QLinearConcat":
        y = draft.add(kind, [*result, *x, *other], axis=1, **OWN)
    else:
        y = draft.add(kind, [*x, *result] if kind == "QLinearSigmoid" else [*x, *other, *result], **OWN)
    summed_up = draft.add("ReduceSum", [draft.add("DequantizeLinear", [y, *result]), draft.constant([1])])
    assert_exact(draft.model(summed_up), BUCKET, ROWS)


def test_quantised_softmax_over_padding_is_refused_and_over_channels_followed() -> None:
    for axis, refused in ((-1, False), (1, True)):
        draft = Draft(17)
        x = quantised(draft, draft.shifted(draft.input("x", ["N", "T", 3])))
        y = draft.add("QLinearSoftmax", [*x, *x[1:]], axis=axis, opset=13, **OWN)
        analysis = analyse_model(draft.model(draft.add("DequantizeLinear", [y, *x[1:]])))
        assert bool(analysis.behaviour.refusals) == refused


def test_nodes_in_any_order_are_followed() -> None:
    draft = Draft(17)
    y = draft.add("ReduceMean", [draft.shifted(draft.input("x", ["N", "T"]))], axes=[1])
    draft.nodes.reverse()
    model = draft.model(y)
    assert_exact(model, BUCKET, ROWS)


@pytest.mark.parametrize("kind", ["Pad", "Trilu", "ExpandDims", "TransposeMatMul", "Range", "GridSample", "Inverse"])
def test_operators_that_the_default_domain_took_up_later(kind: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 4, 4]))
    if kind == "Pad":
        y = draft.add(kind, [x, draft.constant([0, 1, 0, 0, 0, 2, 0, 0])], mode="reflect", **OWN)
    elif kind == "Trilu":
        y = draft.add(kind, [draft.add("Transpose", [x], perm=[0, 2, 3, 1])], upper=0, **OWN)
    elif kind == "ExpandDims":
        y = draft.add(kind, [x, draft.constant(3, np.int32)], **OWN)
    elif kind == "TransposeMatMul":
        turned = draft.add("Transpose", [x], perm=[0, 2, 1, 3])
        y = draft.add(kind, [turned, turned], transA=1, **OWN)
    elif kind == "Range":
        size = draft.add("Squeeze", [draft.add("Shape", [x], start=1, end=2)])
        count = draft.add("Cast", [draft.add(kind, [draft.constant(0), size], **OWN)], to=1)
        y = draft.add("Mul", [draft.add("Transpose", [x], perm=[0, 2, 3, 1]), count])
    elif kind == "GridSample":
        places = draft.add("Tanh", [draft.input("places", ["N", 3, 3, 2])])
        y = draft.add(kind, [draft.add("Transpose", [x], perm=[0, 2, 1, 3]), places], **OWN)
    else:
        y = draft.add(kind, [draft.add("Add", [x, draft.constant(9 * np.eye(4), np.float32)])], **OWN)
    total = draft.add("ReduceSum", [y, draft.constant([1])])
    assert_exact(draft.model(total), BUCKET, ROWS, tolerance=1e-3)


def test_means_and_choices_of_quantised_numbers() -> None:
    draft = Draft(17)
    x = quantised(draft, draft.shifted(draft.input("x", ["N", 2, "T", 8])))
    other = quantised(draft, draft.add("DequantizeLinear", [*x]), 0.02, 100)
    hard = draft.add("Greater", [draft.add("DequantizeLinear", [*x]), draft.constant(0.4, np.float32)])
    chosen = draft.add("QLinearWhere", [hard, *x, *other, *x[1:]], **OWN)
    mean = draft.add("QLinearAveragePool", [chosen, *x[1:], *x[1:]], kernel_shape=[2, 3], strides=[2, 1], **OWN)
    assert_exact(draft.model(draft.add("DequantizeLinear", [mean, *x[1:]])), BUCKET, ROWS)


def test_means_of_windows_at_the_end_are_refused_of_quantised_numbers() -> None:
    draft = Draft(17)
    x = quantised(draft, draft.shifted(draft.input("x", ["N", 2, "T", 8])))
    known = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    mean = draft.add("QLinearAveragePool", [*x, *x[1:]], **known, **OWN)
    assert analyse_model(draft.model(mean)).behaviour.refusals
    mean = draft.add("QLinearAveragePool", [*x, *x[1:]], count_include_pad=1, **known, **OWN)
    assert_exact(draft.model(draft.add("DequantizeLinear", [mean, *x[1:]])), BUCKET, ROWS)


def test_experts_are_chosen_by_row() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 8]))
    line = draft.add("Reshape", [draft.add("MatMul", [x, draft.weights(8, 4)]), draft.constant([-1, 4])])
    parts = [x, draft.add("Softmax", [line]), draft.weights(4, 16, 8), "", draft.weights(4, 8, 16, seed=1)]
    y = draft.add("MoE", parts, k=2, activation_type="relu", **OWN)
    assert_exact(draft.model(draft.add("ReduceSum", [y, draft.constant([1])])), BUCKET, ROWS, tolerance=1e-3)


def test_experts_of_few_bits_are_chosen_by_row() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 32]))
    line = draft.add("Reshape", [draft.add("MatMul", [x, draft.weights(32, 4)]), draft.constant([-1, 4])])
    first = draft.constant(np.arange(4 * 64 * 16).reshape(4, 64, 16) * 37 % 256, np.uint8)
    second = draft.constant(np.arange(4 * 32 * 32).reshape(4, 32, 32) * 41 % 256, np.uint8)
    scales = [draft.constant(np.full((4, rows), 0.02), np.float32) for rows in (64, 32)]
    parts = [x, draft.add("Softmax", [line]), first, scales[0], "", second, scales[1]]
    y = draft.add("QMoE", parts, k=2, activation_type="relu", expert_weight_bits=4, **OWN)
    assert_exact(draft.model(draft.add("ReduceSum", [y, draft.constant([1])])), BUCKET, ROWS, tolerance=1e-3)


@given(st.data())
@thorough
def test_the_middle_of_an_axis(data: Draw) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 5, "W"]))
    wanted = [data.draw(st.integers(1, 9), label=f"length {axis}") for axis in (1, 2, 3)]
    y = draft.add("CenterCropPad", [x, draft.constant(wanted)], axes=[1, 2, -1])
    y = draft.add("ReduceSum", [draft.shifted(y), draft.constant([3])])
    bucket, rows = requests(data, 1, 9, T=1, W=1)
    assert_exact(draft.model(y), bucket, rows)


def test_the_middle_as_long_as_another_axis() -> None:
    draft = Draft(18)
    x, z = (draft.shifted(draft.input(name, ["N", 2, name])) for name in ("X", "Z"))
    y = draft.add("CenterCropPad", [x, draft.add("Shape", [z], start=2)], axes=[2])
    assert_exact(draft.model(draft.add("Add", [y, z])), {"N": 1, "X": 12, "Z": 9}, [{"N": 1, "X": 5, "Z": 8}])
    assert_exact(draft.model(draft.add("Add", [y, z])), {"N": 1, "X": 12, "Z": 9}, [{"N": 1, "X": 9, "Z": 2}])


@given(st.data())
@thorough
def test_means_of_all_quantised_numbers_are_rounded_alike(data: Draw) -> None:
    draft = Draft(17)
    last = data.draw(st.integers(0, 1), label="channels last")
    shape = ["N", "H", "W", 3] if last else ["N", 3, "H", "W"]
    x = quantised(draft, draft.shifted(draft.input("x", shape)), 0.02, data.draw(st.sampled_from([0, 7, 128])))
    result = draft.constant(0.013, np.float32), draft.constant(data.draw(st.sampled_from([0, 99])), np.uint8)
    y = draft.add("QLinearGlobalAveragePool", [*x, *result], channels_last=last, **OWN)
    bucket, rows = requests(data, 1, 9, H=1, W=1)
    assert_exact(draft.model(draft.add("DequantizeLinear", [y, *result])), bucket, rows)
