"""Operators that treat every position on its own: what is believed of padding, bounds and finiteness is true."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough

_UNARY = (
    *("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Floor", "Ceil", "Round", "Identity", "Atan", "Asinh"),
    *("Sinh", "Exp", "Sign", "Abs", "Neg", "Sin", "Cos", "Sqrt", "LeakyRelu", "Elu", "Selu", "Celu", "HardSwish"),
    *("HardSigmoid", "Gelu", "Mish", "ThresholdedRelu", "Shrink", "Reciprocal", "Log", "Cosh", "Tan", "Acos", "Atanh"),
)
_BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mean", "Sum", "PRelu")
_COMPARE = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


@given(st.data())
@thorough
def test_chain_of_unary(data: Draw) -> None:
    draft = Draft(20)
    x = draft.input("x", ["N", 2, "H", "W"])
    y = draft.shifted(x, data.draw(st.sampled_from([1.0, 2.0])), data.draw(st.sampled_from([0.0, 0.75, -1.0])))
    y = x if data.draw(st.booleans()) else y
    for _ in range(data.draw(st.integers(1, 3))):
        y = draft.add(data.draw(st.sampled_from(_UNARY)), [y])
    bucket, rows = requests(data, 1, 4, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_tree_of_binary(data: Draw) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", 2, "W"])
    leaves = [
        x,
        draft.shifted(x),
        draft.add("Relu", [draft.shifted(x)]),
        draft.constant(np.zeros((1, 2, 1)), np.float32),
        draft.constant(2.0, np.float32),
        draft.weights(2, 1),
        draft.add("Softmax", [x], axis=2),
        draft.add("ReduceMax", [x], axes=[2]),
        draft.constant(-np.inf, np.float32),
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        left, right = data.draw(st.sampled_from(leaves)), data.draw(st.sampled_from(leaves))
        kind = data.draw(st.sampled_from([*_BINARY, "Where"]))
        if kind == "PRelu":
            right = leaves[5]
        if kind == "Where":
            asked = draft.add(data.draw(st.sampled_from(_COMPARE)), [left, right])
            left, right = data.draw(st.sampled_from(leaves)), data.draw(st.sampled_from(leaves))
            leaves.append(draft.add("Where", [asked, left, right]))
        else:
            leaves.append(draft.add(kind, [left, right]))
    y = draft.add("Add", [leaves[-1], x])
    if data.draw(st.booleans(), label="conv"):
        y = draft.add("Conv", [y, draft.weights(2, 2, 3)], pads=[1, 1])
    bucket, rows = requests(data, 1, 5, W=1)
    assert_exact(draft.model(y), bucket, rows, tolerance=1e-3)


@pytest.mark.parametrize("kind", ["And", "Or", "Xor", "Not"])
@pytest.mark.parametrize("reduce", ["ReduceMax", "ReduceMin"])
def test_truth_values(kind: str, reduce: str) -> None:
    draft = Draft(20)
    x, z = draft.input("x", ["N", "W"], np.bool_), draft.input("z", ["N", "W"], np.bool_)
    y = draft.add(kind, [x] if kind == "Not" else [x, draft.add("Not", [z])])
    w = draft.add("Cast", [draft.add(reduce, [y, draft.constant([1])])], to=1)
    assert_exact(draft.model(w, y), {"N": 2, "W": 6}, [{"N": 1, "W": 3}, {"N": 1, "W": 5}])


_TYPES = (np.float16, np.float64, np.int32, np.int64, np.uint8, np.int8)
_REDUCTIONS = ("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ArgMax", "TopK")


@pytest.mark.parametrize(
    ("dtype", "reduce"),
    # ONNX defines no sums and products of small whole numbers.
    [
        (dtype, kind)
        for dtype in _TYPES
        for kind in _REDUCTIONS
        if np.dtype(dtype).itemsize > 1 or kind[6:] not in ("Sum", "Prod")
    ],
)
def test_element_types(dtype: type, reduce: str) -> None:
    draft = Draft(18)
    x = draft.input("x", ["N", "W"], dtype)
    y = draft.add("Cast", [draft.shifted(draft.add("Cast", [x], to=1), 1.0, 1.0)], to=int(_onnx(dtype)))
    whole = np.dtype(dtype).kind in "iu"
    axis, size = draft.constant([1]), draft.constant([1])
    if reduce == "ArgMax":
        z = draft.add("ArgMax", [y], axis=1)
    elif reduce == "TopK":
        z = draft.add("TopK", [y, size], outputs=2)[0]
    else:
        z = draft.add(reduce, [y, axis])
    assert_exact(
        draft.model(z, y),
        {"N": 2, "W": 6},
        [{"N": 1, "W": 3}, {"N": 1, "W": 5}],
        refusable=reduce == "ReduceMean" and whole,
        tolerance=2e-3 if dtype == np.float16 else 1e-6,
    )


def _onnx(dtype: type) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def test_dropout_in_training_is_refused() -> None:
    draft = Draft()
    x = draft.input("x", ["N", "W"])
    y = draft.add("Dropout", [x, draft.constant(0.5, np.float32), draft.constant(True)])
    from scaling_tasks.analysis.analyse import analyse_model

    assert [each.operator for each in analyse_model(draft.model(y)).behaviour.refusals] == ["Dropout", "Dropout"]


@pytest.mark.parametrize("kind", ["floor of a float", "cast to unsigned", "difference of unsigned", "Shrink"])
def test_padding_holds_what_its_element_type_makes_of_a_number(kind: str) -> None:
    draft = Draft(17)
    dtype = {"cast to unsigned": np.int32, "difference of unsigned": np.uint8}.get(kind, np.float32)
    x = draft.input("x", ["N", "L"], dtype)
    if kind == "floor of a float":
        # Seven in single precision, a little less in double precision.
        tenths = draft.add("Mul", [draft.add("Add", [x, draft.constant(0.7, np.float32)]), draft.constant(10.0, dtype)])
        y = draft.add("Sub", [draft.add("Floor", [tenths]), draft.constant(6.0, np.float32)])
    elif kind == "Shrink":
        y = draft.add("Shrink", [x], lambd=-1.0, bias=0.5)
    else:
        less = draft.add("Sub", [x, draft.constant(5, dtype)])
        bits = draft.add("Cast", [draft.add("Cast", [less], to=2)], to=1)
        y = draft.add("Add", [bits, draft.constant(5.0, np.float32)])
    y = draft.add("ReduceSum", [y, draft.constant([1])])
    assert_exact(draft.model(y), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}])


def test_what_padding_makes_infinite_is_not_taken_for_finite() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    y = draft.add(
        "Clip", [draft.shifted(x, -1.0, 100.0), draft.constant(0.0, np.float32), draft.constant(200.0, np.float32)]
    )
    y = draft.add("ReduceSum", [draft.add("Exp", [y]), draft.constant([1])])
    data = {"x": lambda shape, generator: generator.uniform(60, 90, shape).astype(np.float32)}
    assert_exact(draft.model(y), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}], data=data)


@pytest.mark.parametrize("kind", ["Div", "Mod"])
def test_whole_numbers_are_not_divided_by_zeros_that_padding_holds(kind: str) -> None:
    draft = Draft(17)
    x, z = draft.input("x", ["N", "L"], np.int64), draft.input("z", ["N", "L"], np.int64)
    given = {"z": lambda shape, generator: generator.integers(1, 5, shape)}
    model = draft.model(draft.add(kind, [x, z]))
    assert_exact(model, {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}], data=given)


@pytest.mark.parametrize("kind", ["square", "Abs", "Add"])
def test_whole_numbers_that_go_on_at_the_other_end_have_no_bounds(kind: str) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"], np.int8)
    y = draft.add("Mul", [x, x]) if kind == "square" else draft.add("Abs", [x])
    if kind == "Add":
        y = draft.add("Add", [draft.add("Clip", [x, draft.constant(0, np.int8)]), draft.constant(5, np.int8)])
    # What holds no negative numbers is cleaned with zeros.
    y = draft.add("ReduceMax", [y], axes=[1])
    data = {"x": lambda shape, generator: np.full(shape, {"square": 15, "Abs": -128, "Add": 127}[kind], np.int8)}
    assert_exact(draft.model(y), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}], data=data)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_sizes_that_a_narrow_type_does_not_hold(dtype: type) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    narrow = draft.add(
        "Cast", [draft.add("Shape", [x], start=1)], to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    )
    y = draft.add("Add", [x, draft.add("Cast", [narrow], to=1)])
    assert_exact(draft.model(y), {"N": 2, "L": 400}, [{"N": 1, "L": 300}, {"N": 1, "L": 260}])


def test_what_is_divided_by_zero_is_infinite_with_either_sign() -> None:
    draft = Draft(17)
    x, z = draft.input("x", ["N", "L"]), draft.input("z", ["N", "L"])
    y = draft.add("Mul", [x, draft.add("Sub", [z, draft.constant(1.0, np.float32)])])
    y = draft.add("Atan", [draft.add("Div", [draft.constant(1.0, np.float32), y])])
    y = draft.add("Sub", [y, draft.constant(np.pi / 2, np.float32)])
    y = draft.add("ReduceSum", [y, draft.constant([1])])
    assert_exact(draft.model(y), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}])


def test_bounds_are_rounded_as_numbers_are() -> None:
    """Six over a tenth is sixty in single precision, and a little less of the tenth that this holds."""
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    least = draft.add("Clip", [x, draft.constant(0.0, np.float32), draft.constant(6.0, np.float32)])
    y = draft.add("Cast", [draft.add("Div", [least, draft.constant(0.1, np.float32)])], to=7)
    data = {"x": lambda shape, generator: np.full(shape, 7, np.float32)}
    assert_exact(draft.model(y), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}], data=data)


def test_sizes_that_are_chosen_are_of_the_type_that_is_chosen_from() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    size = draft.add("Shape", [x], start=1)
    chosen = draft.add("Where", [draft.add("Equal", [size, draft.constant([-1])]), draft.constant([1]), size])
    y = draft.add("Mul", [chosen, draft.add("Cast", [x], to=7)])
    assert_exact(draft.model(y, draft.add("Identity", [x])), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}])


@pytest.mark.parametrize(("factor", "refused"), [(0.3, True), (0.5, False)])
def test_a_part_of_a_size_is_not_rounded_where_single_precision_rounds_it_before(factor: float, refused: bool) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    size = draft.add("Cast", [draft.add("Shape", [x], start=1)], to=1)
    y = draft.add("Add", [x, draft.add("Round", [draft.add("Mul", [size, draft.constant(factor, np.float32)])])])
    rows = [{"N": 1, "L": 95}, {"N": 1, "L": 175}]
    analysis = assert_exact(draft.model(y), {"N": 2, "L": 200}, rows, refusable=True)
    assert bool(analysis.behaviour.refusals) == refused


@pytest.mark.parametrize(("end", "number"), [("min", 1.5), ("max", -1.5)])
def test_what_is_clipped_at_an_end_that_data_decides_may_lie_beyond_its_own_bounds(end: str, number: float) -> None:
    """What was not negative becomes so, and a maximum of that needs more than zeros beyond the end."""
    draft = Draft(17)
    x, bound = draft.input("x", ["N", 2, "L"]), draft.input("bound", [])
    x = draft.add("Sigmoid", [draft.shifted(x)])
    y = draft.add("Clip", [x, bound] if end == "min" else [x, "", bound])
    y = draft.add("MaxPool", [y], kernel_shape=[3], pads=[1, 1])
    data = {"bound": lambda shape, generator: np.full(shape, number, np.float32)}
    assert_exact(draft.model(y), {"N": 1, "L": 9}, [{"N": 1, "L": 4}], data=data)
