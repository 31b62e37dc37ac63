"""Resize in all modes, by steady factors and by sizes whose factor differs from size to size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.shapes.behaviour import BEHIND
from scaling_tasks.shapes.interpolation import Interpolation, nearest_positions, source_coordinates
from scaling_tasks.shapes.size_inputs import SizeInput
from tests.analysis.drafts import Draft, assert_exact, session
from tests.analysis.drawing import Draw, requests, thorough

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@given(st.data())
@thorough
def test_resize(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 13, 18, 19]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    if data.draw(st.booleans(), label="conv first"):
        x = draft.add("Conv", [x, draft.weights(2, 2, 3, 3)], pads=[1, 1, 1, 1])
    coordinates = list(_COORDINATES)
    mode = data.draw(st.sampled_from(["nearest", "linear", "cubic"]), label="mode")
    if draft.opset >= 19:
        coordinates.append("half_pixel_symmetric")
    if mode == "nearest" and draft.opset < 13:
        coordinates.append("tf_half_pixel_for_nn")
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": data.draw(st.sampled_from(coordinates), label="coordinates"),
    }
    if mode == "nearest":
        attributes["nearest_mode"] = data.draw(st.sampled_from(_ROUNDINGS), label="rounding")
    if mode == "cubic":
        attributes["exclude_outside"] = data.draw(st.integers(0, 1), label="exclude")
    empty = draft.constant(np.zeros(0), np.float32)
    if data.draw(st.booleans(), label="by scales"):
        scale = st.sampled_from([1.0, 2.0, 3.0, 1.5, 0.5, 0.75])
        scales = [1.0, 1.0, data.draw(scale, label="scale of H"), data.draw(scale, label="scale of W")]
        y = draft.add("Resize", [x, empty, draft.constant(scales, np.float32)], **attributes)
    else:
        size = draft.add("Shape", [x])
        parts = [draft.add("Gather", [size, draft.constant([0, 1])])]
        for at in (2, 3):
            own = draft.add("Gather", [size, draft.constant([at])])
            kind = data.draw(st.sampled_from(["double", "half", "one less", "fixed", "same"]), label=f"size {at}")
            if kind == "double":
                own = draft.add("Mul", [own, draft.constant([2])])
            elif kind == "half":
                own = draft.add("Div", [draft.add("Add", [own, draft.constant([1])]), draft.constant([2])])
            elif kind == "one less":
                own = draft.add("Sub", [draft.add("Mul", [own, draft.constant([2])]), draft.constant([1])])
            elif kind == "fixed":
                own = draft.constant([5])
            parts.append(own)
        y = draft.add("Resize", [x, "", "", draft.add("Concat", parts, axis=0)], **attributes)
    y = draft.add("Conv", [y, draft.weights(2, 2, 3, 3)], pads=[1, 1, 1, 1])
    bucket, rows = requests(data, 1, 7, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, tolerance=1e-3)


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.5])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("opset", [9, 10])
def test_older_forms(opset: int, mode: str, factor: float) -> None:
    draft = Draft(opset)
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    scales = draft.constant([1.0, 1.0, factor, factor], np.float32)
    if opset == 9 and factor < 1:
        return  # Upsample only makes larger.
    y = draft.add("Upsample" if opset == 9 else "Resize", [x, scales], mode=mode)
    y = draft.add("Conv", [y, draft.weights(2, 2, 3, 3)], pads=[1, 1, 1, 1])
    assert_exact(draft.model(y), {"N": 2, "H": 8, "W": 9}, [{"N": 1, "H": 4, "W": 5}, {"N": 1, "H": 7, "W": 2}])


def by_how_much(draft: Draft, x: str, y: str, axes: list[int]) -> list[str]:
    """Return by how much a tensor is to become larger, as torch writes ``size=`` up to opset 10."""
    found = []
    for axis in axes:
        sizes = [draft.add("Gather", [draft.add("Shape", [each]), draft.constant(axis)]) for each in (x, y)]
        quotient = draft.add("Div", [draft.add("Cast", [each], to=1) for each in sizes])
        found.append(draft.add("Unsqueeze", [quotient], axes=[0]))
    return found


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("opset", [9, 10, 12])
def test_scales_that_are_quotients_of_sizes(opset: int, mode: str) -> None:
    draft = Draft(opset)
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    small = draft.add("Conv", [x, draft.weights(2, 2, 3, 3)], strides=[2, 2], pads=[1, 1, 1, 1])
    ones = draft.constant([1.0, 1.0], np.float32)
    scales = draft.add("Concat", [ones, *by_how_much(draft, x, small, [2, 3])], axis=0)
    given = [small, scales] if opset < 11 else [small, draft.constant([], np.float32), scales]
    y = draft.add("Upsample" if opset == 9 else "Resize", given, mode=mode)
    y = draft.add("Add", [x, y])
    assert_exact(draft.model(y), {"N": 2, "H": 8, "W": 9}, [{"N": 1, "H": 4, "W": 5}, {"N": 1, "H": 7, "W": 2}])


def test_scales_of_another_tensor_are_refused() -> None:
    draft = Draft(10)
    x, y = (draft.input(name, ["N", 2, name]) for name in ("V", "W"))
    scales = draft.add("Concat", [draft.constant([1.0, 1.0], np.float32), *by_how_much(draft, x, y, [2])], axis=0)
    refusals = analyse_model(draft.model(draft.add("Resize", [x, scales]))).behaviour.refusals
    blamed = {each.reason for each in refusals if not each.reason.endswith(BEHIND)}
    assert blamed == {"its scale (V)/(W), of V positions, is rounded"}


def test_positions_that_repeat_the_edge_are_no_zeros() -> None:
    draft = Draft(13)
    x = draft.add("Relu", [draft.input("x", ["N", 3, "L"])])
    scales = draft.constant([1.0, 1.0, 2.0], np.float32)
    y = draft.add("Resize", [x, "", scales], mode="nearest", nearest_mode="floor")
    assert_exact(draft.model(draft.add("GlobalAveragePool", [y])), {"N": 1, "L": 9}, [{"N": 1, "L": 5}])


def test_scale_that_single_precision_rounds_otherwise_is_refused() -> None:
    draft = Draft(13)
    x = draft.input("x", ["N", 3, "L"])
    y = draft.add("Resize", [x, "", draft.constant([1.0, 1.0, 1.3], np.float32)], mode="nearest")
    analysis = assert_exact(draft.model(y), {"N": 1, "L": 9}, [{"N": 1, "L": 5}], refusable=True)
    assert analysis.behaviour.refusals[0].operator == "Resize"


def test_a_matrix_survives_its_document() -> None:
    how = Interpolation("linear", "align_corners")
    spec = SizeInput("m", "matrix", "float32", ((("H",),), (("W",),)), ("H", "W"), resize=how, turned=True)
    assert SizeInput.from_payload(spec.to_payload()) == spec


def test_padding_that_is_no_number_stays_out_of_what_is_interpolated() -> None:
    """Along an axis that keeps its length an engine still adds the neighbour, times zero."""
    draft = Draft(13)
    x = draft.input("x", ["N", 1, "L", 4])
    hidden = draft.add("LogSoftmax", [draft.add("Squeeze", [x, draft.constant([1], np.int64)])], axis=1)
    scales = draft.constant([1.0, 1.0, 2.0], np.float32)
    empty = draft.constant(np.zeros(0), np.float32)
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    y = draft.add("Resize", [hidden, empty, scales], **attributes)
    assert_exact(draft.model(y), {"N": 3, "L": 17}, [{"N": 1, "L": 9}, {"N": 1, "L": 17}, {"N": 1, "L": 1}])


@pytest.mark.parametrize("rows", ["N", 1])
def test_the_edge_of_a_flattened_axis_is_repeated(rows: str | int) -> None:
    draft = Draft(13)
    x = draft.input("x", [rows, 2, "L", 4])
    flat = draft.add("Reshape", [x, draft.constant([0, 2, 1, -1], np.int64)])
    scales = draft.constant([1.0, 1.0, 1.0, 2.0], np.float32)
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "ceil"}
    y = draft.add("Resize", [flat, draft.constant(np.zeros(0), np.float32), scales], **attributes)
    count = {"N": 1} if rows == "N" else {}
    assert_exact(draft.model(y), {"L": 17} | ({"N": 3} if count else {}), [{"L": 9} | count, {"L": 17} | count])


SIZES = """
<ir_version: 8, opset_import: ["": 17]>
g (float[1,1,H,W] x, float[2] given) => (float[a,b,c,d] y)
<int64[1] zero={0}, int64[1] two={2}, int64[1] four={4}, float[1] most={64.0}>
{
  shape = Shape(x)
  channels = Slice(shape, zero, two)
  sides = Slice(shape, two, four)
  numbers = Cast<to=1>(sides)
  longest = ReduceMax<keepdims=1>(numbers)
  scale = Div(most, longest)
  scaled = Mul(NUMBERS, scale)
  whole = Cast<to=7>(scaled)
  sizes = Concat<axis=0>(channels, whole)
  y = Resize<mode="linear">(x, , , sizes)
}
"""


@pytest.mark.parametrize(
    ("numbers", "said"),
    [("numbers", "computed from the request's sizes by Div 'scale'"), ("given", "its input 3 depends on data")],
)
def test_what_the_sizes_come_of_is_named(numbers: str, said: str) -> None:
    model = onnx.parser.parse_model(SIZES.replace("NUMBERS", numbers))
    reasons = {verdict.reason for verdict in analyse_model(model).behaviour.refusals}
    assert reasons
    assert all(said in reason for reason in reasons)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_an_axis_that_is_scaled_by_less_than_makes_it_longer(mode: str) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", 1, 4, "W"])
    y = draft.add("Resize", [x, "", draft.constant([1, 1, 2, 1.01], np.float32)], mode=mode)
    total = draft.add("ReduceSum", [y, draft.constant([3])])
    model = draft.model(y, total)
    assert_exact(model, {"N": 2, "W": 9}, [{"N": 1, "W": 5}, {"N": 1, "W": 7}], tolerance=1e-5, bucket_limits={"W": 64})


def test_a_cubic_curve_has_other_bounds_than_its_points_on_the_way_too() -> None:
    draft = Draft(13)
    x = draft.add("Exp", [draft.shifted(draft.input("x", ["N", 1, "H", "W"]))])
    known = {"mode": "cubic", "coordinate_transformation_mode": "asymmetric", "exclude_outside": 1}
    y = draft.add("Resize", [x, "", draft.constant([1, 1, 2, 0.6], np.float32)], **known)
    bucket = {"N": 2, "H": 4, "W": 15}
    assert_exact(draft.model(y), bucket, [{"N": 1, "H": 4, "W": 5}, {"N": 1, "H": 2, "W": 6}], bucket_limits={"W": 200})


@pytest.mark.parametrize("rounding", _ROUNDINGS)
@pytest.mark.parametrize("scale", [0.6, 1.5, 2.3])
def test_nearest_positions_around_a_steady_centre_are_those_of_onnxruntime(scale: float, rounding: str) -> None:
    draft = Draft(19)
    x = draft.input("x", [1, 1, "H", 2])
    known = {"coordinate_transformation_mode": "half_pixel_symmetric", "nearest_mode": rounding, "axes": [2]}
    resized = session(draft.model(draft.add("Resize", [x, "", draft.constant([scale], np.float32)], **known)))
    how = Interpolation("nearest", "half_pixel_symmetric", rounding, scale)
    for length in range(4, 80):
        (found,) = resized.run(None, {"x": np.arange(length, dtype=np.float32)[None, None, :, None].repeat(2, 3)})
        places = source_coordinates(how, np.arange(found.shape[2]), length, found.shape[2])
        np.testing.assert_array_equal(nearest_positions(how, places, length), found[0, 0, :, 0])


@pytest.mark.parametrize(("scale", "refused"), [(1.25, True), (1.5, False), (2.0, False)])
def test_scales_at_which_short_axes_are_copied_are_refused(scale: float, refused: bool) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 1, 4, "W"]))
    model = draft.model(draft.add("Resize", [x, "", draft.constant([1, 1, 1, scale], np.float32)], mode="linear"))
    analysis = assert_exact(model, {"N": 2, "W": 9}, [{"N": 1, "W": 3}, {"N": 1, "W": 1}], refusable=True)
    assert bool(analysis.behaviour.refusals) == refused
