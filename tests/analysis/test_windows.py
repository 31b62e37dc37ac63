"""Operators with windows: convolutions and pools with any kernel, stride, dilation, pads and rounding."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough


def window(data: Draw, axes: int, *, dilations: bool = True) -> dict[str, Any]:
    """Draw the attributes of windows."""
    small = st.integers(1, 3)
    kernel = data.draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes), label="kernel")
    chosen: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": data.draw(st.lists(small, min_size=axes, max_size=axes), label="strides"),
    }
    if dilations:
        chosen["dilations"] = data.draw(st.lists(small, min_size=axes, max_size=axes), label="dilations")
    mode = data.draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]), label="auto_pad")
    if mode == "NOTSET":
        chosen["pads"] = [data.draw(st.integers(0, kernel[at % axes] - 1), label="pad") for at in range(2 * axes)]
    else:
        chosen["auto_pad"] = mode
        if mode.startswith("SAME"):
            chosen.pop("dilations", None)
    return chosen


def refusable(chosen: dict[str, Any]) -> bool:
    """SAME pads: kernels below the stride have no agreed pads."""
    return str(chosen.get("auto_pad", "")).startswith("SAME") and any(stride > 1 for stride in chosen["strides"])


@given(st.data())
@thorough
def test_conv(data: Draw) -> None:
    draft = Draft()
    kind = data.draw(st.sampled_from(["plain", "depthwise", "grouped"]))
    group = {"plain": 1, "depthwise": 4, "grouped": 2}[kind]
    chosen = window(data, 2)
    x = draft.shifted(draft.input("x", ["N", 4, "H", "W"]))
    weights = draft.weights(4, 4 // group, *chosen["kernel_shape"])
    bias = [draft.weights(4)] if data.draw(st.booleans()) else []
    y = draft.add("Conv", [x, weights, *bias], group=group, **chosen)
    if data.draw(st.booleans(), label="second"):
        y = draft.add("Conv", [draft.add("Sigmoid", [y]), draft.weights(2, 4, 3, 3)], pads=[1, 1, 1, 1])
    bucket, rows = requests(data, H=data.draw(st.integers(1, 4)), W=1)
    sparse = any(size + 1 < stride for size, stride in zip(chosen["kernel_shape"], chosen["strides"], strict=True))
    assert_exact(draft.model(y), bucket, rows, refusable=sparse and refusable(chosen))


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("kernel", "stride", "least"), [(3, 8, 1), (1, 3, 1), (2, 5, 5), (1, 2, 1), (3, 8, 8)])
def test_automatic_pads_of_a_kernel_below_its_stride(mode: str, kernel: int, stride: int, least: int) -> None:
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", 1, "W"]))
    if least > 1:
        x = draft.add("Reshape", [x, draft.constant([0, -1, least])])
        x = draft.add("Reshape", [x, draft.constant([0, 1, -1])])
    y = draft.add("Conv", [x, draft.weights(2, 1, kernel)], auto_pad=mode, strides=[stride])
    for size in (least, least * 2, least * 3):
        bucket, rows = {"N": 2, "W": least * 4}, [{"N": 1, "W": size}, {"N": 1, "W": least}]
        assert_exact(draft.model(y), bucket, rows, refusable=least == 1 and kernel + 1 < stride)


@given(st.data())
@thorough
def test_conv_transpose(data: Draw) -> None:
    draft = Draft()
    chosen = window(data, 2)
    same = chosen.get("auto_pad", "NOTSET").startswith("SAME")
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    if "pads" in chosen:
        chosen["output_padding"] = [data.draw(st.integers(0, stride - 1)) for stride in chosen["strides"]]
    y = draft.add("ConvTranspose", [x, draft.weights(2, 3, *chosen["kernel_shape"]), draft.weights(3)], **chosen)
    bucket, rows = requests(data, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, refusable=same)


@given(st.data())
@thorough
def test_pool(data: Draw) -> None:
    opset = data.draw(st.sampled_from([10, 11, 13, 18, 19, 22]), label="opset")
    kind = data.draw(st.sampled_from(["MaxPool", "AveragePool"]), label="kind")
    draft = Draft(opset)
    chosen = window(data, 2, dilations=kind == "MaxPool" or opset >= 19)
    chosen["ceil_mode"] = data.draw(st.integers(0, 1), label="ceil")
    if kind == "AveragePool":
        chosen["count_include_pad"] = data.draw(st.integers(0, 1), label="count")
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]), shift=data.draw(st.sampled_from([0.75, -5.0])))
    if data.draw(st.booleans(), label="positive"):
        x = draft.add("Relu", [x])
    y = draft.add(kind, [x], **chosen)
    if data.draw(st.booleans(), label="second"):
        y = draft.add("Conv", [y, draft.weights(2, 2, 3, 3)], pads=[1, 1, 1, 1])
    bucket, rows = requests(data, H=1, W=1)
    sparse = any(size < stride for size, stride in zip(chosen["kernel_shape"], chosen["strides"], strict=True))
    assert_exact(draft.model(y), bucket, rows, refusable=sparse and refusable(chosen))


@given(st.data())
@thorough
def test_lp_pool(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 18, 22]), label="opset"))
    chosen = window(data, 2, dilations=draft.opset >= 18)
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    y = draft.add("LpPool", [x], p=data.draw(st.sampled_from([1, 2])), **chosen)
    bucket, rows = requests(data, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, refusable=refusable(chosen))


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
def test_global_pool(kind: str) -> None:
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]), shift=-3.0)
    rows = [{"N": 1, "H": 3, "W": 7}, {"N": 1, "H": 5, "W": 1}]
    assert_exact(draft.model(draft.add(kind, [x])), {"N": 2, "H": 6, "W": 9}, rows)


def test_spatial_pyramid_of_pools_leaves_numbers() -> None:
    draft = Draft()
    x = draft.input("x", ["N", 2, "H", "W"])
    pools = [draft.shifted(x)]
    for _ in range(3):
        pools.append(draft.add("MaxPool", [pools[-1]], kernel_shape=[5, 5], pads=[2, 2, 2, 2]))
    y = draft.add("Conv", [draft.add("Concat", pools, axis=1), draft.weights(4, 8, 1, 1)])
    y = draft.add("Mul", [y, draft.add("Sigmoid", [y])])
    y = draft.add("Conv", [y, draft.weights(4, 4, 3, 3)], pads=[1, 1, 1, 1])
    rows = [{"N": 1, "H": 3, "W": 7}, {"N": 1, "H": 5, "W": 1}]
    assert_exact(draft.model(y), {"N": 2, "H": 16, "W": 20}, rows)


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (5, 3), (7, 4)])
def test_automatic_pads_differ_by_row(group: int, mode: str, kernel: int, stride: int) -> None:
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", 4, "H", "W"]))
    weights, bias = draft.weights(4, 4 // group, kernel, kernel), draft.weights(4)
    y = draft.add("Conv", [x, weights, bias], group=group, auto_pad=mode, strides=[stride, stride])
    rows = [{"N": 1, "H": 9 + at, "W": 15 - at} for at in range(5)]
    analysis = assert_exact(draft.model(y), {"N": 5, "H": 16, "W": 18}, rows)
    assert not analysis.behaviour.uniform


@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (5, 3)])
@pytest.mark.parametrize("width", ["W", 14])
def test_averages_with_automatic_pads_differ_by_row(
    counted: int, mode: str, kernel: int, stride: int, width: int | str
) -> None:
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", 4, "H", width]))
    chosen = {"kernel_shape": [kernel, 3], "strides": [stride, 2], "auto_pad": mode, "count_include_pad": counted}
    y = draft.add("AveragePool", [x], **chosen)
    rows = [{"N": 1, "H": 9 + at, "W": 15 - at} for at in range(5)]
    analysis = assert_exact(draft.model(y), {"N": 5, "H": 16, "W": 18}, rows)
    assert not analysis.behaviour.uniform


def test_positions_of_the_largest_that_nobody_takes_do_no_harm() -> None:
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    largest, places = draft.add("MaxPool", [x], outputs=2, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    draft.add("Mul", [places, draft.constant(2)])
    rows = [{"N": 1, "H": 3, "W": 7}, {"N": 1, "H": 5, "W": 1}]
    assert_exact(draft.model(largest), {"N": 2, "H": 6, "W": 9}, rows)
    (refusal,) = {each.reason for each in analyse_model(draft.model(largest, places)).behaviour.refusals}
    assert refusal == "its second output numbers positions of the padded tensor"


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize(("kernel", "stride", "pads"), [(3, 2, 0), (4, 3, 0), (4, 4, 0), (5, 3, 1)])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5])
def test_a_kernel_that_is_larger_than_the_axis_where_lengths_are_rounded_up(
    kind: str, kernel: int, stride: int, pads: int, height: int
) -> None:
    draft = Draft(19)
    x = draft.shifted(draft.input("x", [1, 2, "H", "W"]))
    shape = {"kernel_shape": [kernel, 1], "strides": [stride, 1], "pads": [pads, 0, pads, 0]}
    model = draft.model(draft.add(kind, [x], ceil_mode=1, **shape))
    room = height + 2 * pads - kernel
    behaviour = analyse_model(model).behaviour
    assert behaviour.runs_at({"H": height, "W": 3}) == (room > -stride)
    if room > -stride:
        assert_exact(model, {"H": 9, "W": 4}, [{"H": height, "W": 3}])


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "LpPool"])
def test_automatic_padding_of_dilated_pools_is_refused(kind: str) -> None:
    draft = Draft(22)
    x = draft.input("x", ["N", 2, "W"])
    y = draft.add(kind, [x], kernel_shape=[4], strides=[3], dilations=[2], auto_pad="SAME_UPPER")
    assert analyse_model(draft.model(y)).behaviour.refusals
