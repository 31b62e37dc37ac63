"""Reductions, softmax and normalisations over axes that follow the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough

_REDUCTIONS = (
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
)


def reduced(draft: Draft, kind: str, x: str, axes: list[int] | None, **attributes: int) -> str:
    """Add a reduction, whose axes are an attribute or an input by version."""
    if axes is None:
        return str(draft.add(kind, [x], **attributes))
    if draft.opset >= (13 if kind == "ReduceSum" else 18):
        return str(draft.add(kind, [x, draft.constant(axes, np.int64)], **attributes))
    return str(draft.add(kind, [x], axes=axes, **attributes))


@given(st.data())
@thorough
def test_reduction(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([9, 11, 13, 18, 20, 23]), label="opset"))
    kind = data.draw(st.sampled_from(_REDUCTIONS), label="kind")
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]), shift=data.draw(st.sampled_from([0.75, -2.0])))
    if kind == "ReduceLogSum" or data.draw(st.booleans(), label="positive"):
        x = draft.add("Abs", [x])
    axes = data.draw(st.one_of(st.none(), st.lists(st.sampled_from([1, 2, 3]), min_size=1, unique=True)), label="axes")
    if axes and draft.opset >= 11:
        axes = [axis - 4 * data.draw(st.integers(0, 1), label="from the end") for axis in axes]
    keep = data.draw(st.integers(0, 1), label="keepdims")
    y = reduced(draft, kind, x, axes, keepdims=keep)
    if keep and axes is not None and data.draw(st.booleans(), label="second"):
        y = draft.add("Sub", [x, y])
        y = reduced(draft, data.draw(st.sampled_from(_REDUCTIONS[:7])), y, [3], keepdims=0)
    bucket, rows = requests(data, 1, 6, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, tolerance=1e-3)


@pytest.mark.parametrize("noop", [0, 1])
def test_reduction_over_no_named_axes(noop: int) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "W"]))
    y = draft.add("ReduceSum", [x, draft.constant([], np.int64)], noop_with_empty_axes=noop)
    assert_exact(draft.model(y), {"N": 4, "W": 6}, [{"N": 3, "W": 5}])


@given(st.data())
@thorough
def test_softmax(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([9, 11, 13, 17, 22]), label="opset"))
    kind = data.draw(st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), label="kind")
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    masked = data.draw(st.sampled_from([None, -1e4, -np.inf, float(np.finfo(np.float32).min)]), label="masked")
    if masked is not None:
        asked = draft.add("Greater", [x, draft.constant(data.draw(st.sampled_from([0.0, 9.0])), np.float32)])
        x = draft.add("Where", [asked, x, draft.constant(masked, np.float32)])
    axis = data.draw(st.sampled_from([1, 2, 3, -1, -2] if draft.opset >= 11 else [1, 2, 3]), label="axis")
    y = draft.add(kind, [x], axis=axis)
    if data.draw(st.booleans(), label="second"):
        y = reduced(draft, "ReduceSum", y, [3], keepdims=0)
    bucket, rows = requests(data, 1, 6, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_layer_normalisation(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([17, 23]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", "H", "W", 3]))
    axis = data.draw(st.sampled_from([-1, -2, -3, 3, 2, 1]), label="axis")
    positive = axis % 4
    shape = {3: [3], 2: [1, 3], 1: [1, 1, 3]}[positive]
    kind = (
        "LayerNormalization"
        if draft.opset < 23
        else data.draw(st.sampled_from(["LayerNormalization", "RMSNormalization"]))
    )
    factors = [draft.weights(*shape)] + ([draft.weights(*shape, seed=1)] if kind[0] == "L" else [])
    y = draft.add(kind, [x, *factors], axis=axis)
    y = draft.add("Softmax", [y], axis=2)
    bucket, rows = requests(data, 1, 6, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_normalisation_over_positions(data: Draw) -> None:
    kind = data.draw(st.sampled_from(["Instance", "Group18", "Group21", "MeanVariance"]), label="kind")
    draft = Draft({"Group21": 21}.get(kind, 18))
    shape = data.draw(st.sampled_from([["N", 4, "H", "W"], ["N", 4, "W"], ["N", 4, "H", 3]]), label="shape")
    x = draft.shifted(draft.input("x", shape))
    if kind == "Instance":
        y = draft.add("InstanceNormalization", [x, draft.weights(4), draft.weights(4, seed=1)], epsilon=1e-3)
    elif kind == "MeanVariance":
        y = draft.add("MeanVarianceNormalization", [x], axes=[2, 3][: len(shape) - 2])
    else:
        size = 4 if kind == "Group21" else 2
        factors = [draft.weights(size), draft.weights(size, seed=1)]
        y = draft.add("GroupNormalization", [x, *factors], num_groups=2, epsilon=1e-3)
    y = draft.add("Conv", [y, draft.weights(2, 4, *[3] * (len(shape) - 2))])
    bucket, rows = requests(data, 3, 8, H=1, W=1)
    names = {dim for dim in shape if isinstance(dim, str)}
    assert_exact(
        draft.model(y),
        {name: bucket[name] for name in names},
        [{name: row[name] for name in names} for row in rows],
        tolerance=1e-3,
    )


@given(st.data())
@thorough
def test_statistics_written_out(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 3, "W"]))
    mean = draft.add("ReduceMean", [x], axes=[2])
    away = draft.add("Sub", [x, mean])
    square = (
        draft.add("Mul", [away, away])
        if data.draw(st.booleans())
        else draft.add("Pow", [away, draft.constant(2.0, np.float32)])
    )
    variance = draft.add("ReduceMean", [square], axes=[2])
    deviation = draft.add("Sqrt", [draft.add("Add", [variance, draft.constant(1e-5, np.float32)])])
    y = draft.add("Div", [away, deviation])
    bucket, rows = requests(data, 1, 9, W=1)
    assert_exact(draft.model(draft.add("ReduceSum", [y, draft.constant([2])])), bucket, rows, tolerance=1e-3)


@given(st.data())
@thorough
def test_lrn_and_lp_normalisation(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 4, "H", "W"]))
    if data.draw(st.booleans()):
        y = draft.add("LRN", [x], size=3)
    else:
        y = draft.add("LpNormalization", [x], axis=data.draw(st.sampled_from([1, 2, 3, -1])), p=2)
    bucket, rows = requests(data, 1, 6, H=1, W=1)
    assert_exact(draft.model(draft.add("Conv", [y, draft.weights(2, 4, 3, 3)], pads=[1, 1, 1, 1])), bucket, rows)


@pytest.mark.parametrize("kind", ["InstanceNormalization", "LayerNormalization", "MeanVarianceNormalization"])
def test_half_precision_is_normalised_over_sizes_in_single_precision(kind: str) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", 3, "T"])
    half = draft.add("Cast", [draft.shifted(x)], to=10)
    factors = [draft.constant([1.5, 0.5, 2.0], np.float16), draft.constant([0.5, 0.0, -1.0], np.float16)]
    if kind == "InstanceNormalization":
        y = draft.add(kind, [half, *factors])
    elif kind == "LayerNormalization":
        turned = draft.add("Transpose", [half], perm=[0, 2, 1])
        y = draft.add(kind, [turned, draft.constant([[1.0] * 3], np.float16)], axis=1)
    else:
        y = draft.add(kind, [half], axes=[2])
    rows = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
    assert_exact(draft.model(draft.add("Cast", [y], to=1)), {"N": 2, "T": 9}, rows, tolerance=3e-3)


@pytest.mark.parametrize("kind", ["InstanceNormalization", "LayerNormalization"])
def test_half_precision_that_is_normalised_stays_so_beside_it(kind: str) -> None:
    draft = Draft(17)
    x = draft.add("Cast", [draft.shifted(draft.input("x", ["N", 3, "L"]))], to=10)
    factors = [draft.constant([1.5, 0.5, 2.0][: 3 if kind[0] == "I" else 1], np.float16)]
    factors.append(draft.constant([0.5, 0.0, -1.0][: 3 if kind[0] == "I" else 1], np.float16))
    y = draft.add("Add", [x, draft.add(kind, [x, *factors])])
    highest = draft.add("ReduceMax", [x], axes=[2])
    assert_exact(draft.model(y, highest), {"N": 2, "L": 9}, [{"N": 1, "L": 4}, {"N": 1, "L": 7}], tolerance=5e-3)


@pytest.mark.parametrize("length", [0, 3])
def test_the_largest_of_what_may_be_nothing(length: int) -> None:
    draft = Draft(13)
    x = draft.add("Abs", [draft.shifted(draft.input("x", ["N", 2, "W"]))])
    end = draft.add("Sub", [draft.add("Shape", [x]), draft.constant([0, 0, 4])])
    end = draft.add("Max", [draft.add("Slice", [end, *map(draft.constant, ([2], [3], [0]))]), draft.constant([0])])
    some = draft.add("Slice", [x, draft.constant([0]), end, draft.constant([2])])
    most = draft.add("ReduceMax", [some], axes=[2])
    y = draft.add("ReduceMax", [draft.add("Concat", [most, draft.add("Neg", [x])], axis=2)], axes=[2])
    assert_exact(draft.model(most, y), {"N": 2, "W": 9}, [{"N": 1, "W": 4 + length}, {"N": 1, "W": 8}])


def test_the_largest_of_nothing_is_no_zero_beyond_the_end_of_another_axis() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L", "W"])
    none = draft.add("Slice", [x, *(draft.constant([each]) for each in (1, 9, 2))])
    y = draft.add("ReduceSum", [draft.add("ReduceMax", [none], axes=[2]), draft.constant([1])])
    analysis = analyse_model(draft.model(y))
    assert {each.kind for each in analysis.behaviour.verdicts if each.variable == "L"} == {"cleaned"}


def test_zeros_beside_each_other_are_divided_by_a_bias_alone() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", 3, "H", "W"])
    y = draft.add("ReduceSum", [draft.add("LRN", [x], size=3, bias=0.0), draft.constant([3])])
    assert_exact(draft.model(y), {"N": 2, "H": 4, "W": 6}, [{"N": 1, "H": 3, "W": 3}, {"N": 1, "H": 4, "W": 5}])


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
def test_of_equal_numbers_nothing_is_left_without_their_mean(opset: int, keepdims: int) -> None:
    draft = Draft(opset)
    x = draft.input("x", ["N", 3, "T"])
    mean = reduced(draft, "ReduceMean", x, [2], keepdims=keepdims)
    if not keepdims:
        mean = draft.add("Unsqueeze", [mean, draft.constant([2])])
    away = draft.add("Sub", [x, mean])
    variance = reduced(draft, "ReduceMean", draft.add("Mul", [away, away]), [2], keepdims=1)
    deviation = draft.add("Add", [draft.add("Sqrt", [variance]), draft.constant(1e-8, np.float32)])
    model = draft.model(draft.add("Div", [away, deviation]))
    data = {"x": lambda shape, _: np.full(shape, 0.1, np.float32)}
    for length in (1, 2, 4):
        assert_exact(model, {"N": 1, "T": 49}, [{"N": 1, "T": length}], data=data)


@pytest.mark.parametrize("kind", ["Softmax", "ReduceMax", "ReduceMean"])
def test_padded_lines_beside_those_of_a_row_are_no_lines_of_infinities(kind: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "H", "W"]))
    lines = draft.add("Concat", [draft.constant([-1]), draft.add("Shape", [x], start=2)], axis=0)
    y = draft.add("Reshape", [x, lines])
    y = draft.add(kind, [y], axis=1) if kind == "Softmax" else draft.add(kind, [y], axes=[1])
    last = draft.constant([1 if kind != "Softmax" else -1])
    y = draft.add("Reshape", [y, draft.add("Concat", [draft.add("Shape", [x], end=2), last], axis=0)])
    y = draft.add("ReduceSum", [y, draft.constant([1])])
    assert_exact(draft.model(y), {"N": 2, "H": 6, "W": 9}, [{"N": 1, "H": 4, "W": 5}, {"N": 1, "H": 6, "W": 7}])
