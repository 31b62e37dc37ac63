"""How much is taken or made is told by data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, thorough


@given(st.data())
@thorough
def test_slice_between_bounds_of_data(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T", 3]))
    kind = data.draw(st.sampled_from([np.int64, np.int32]), label="kind")
    bounds, content = [], {}
    for name in ("start", "end"):
        number = data.draw(st.sampled_from([0, 1, 3, 20, -1, -4, -20]), label=name)
        if data.draw(st.booleans(), label=f"{name} is data") or (name == "end" and not content):
            bounds.append(draft.input(name, [1], kind))
            content[name] = lambda shape, generator, number=number: np.full(shape, number, kind)
        else:
            bounds.append(draft.constant([number], kind))
    y = draft.add("Slice", [x, *bounds, draft.constant([0], kind)])
    mean = draft.add("ReduceSum", [y, draft.constant([0])])
    sizes = {"T": data.draw(st.integers(1, 8), label="T")}
    bucket = {"T": sizes["T"] + data.draw(st.integers(0, 6), label="room")}
    assert_exact(draft.model(y, mean), bucket, [sizes], data=content)


@given(st.data())
@thorough
def test_slice_of_several_axes_of_which_data_bounds_one(data: Draw) -> None:
    """TensorFlow's strided slices say of all axes where they begin and end, and put masks over that."""
    draft, far = Draft(17), 1_000_000_000
    kind = data.draw(st.sampled_from([np.int64, np.int32]), label="kind")
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    number = data.draw(st.sampled_from([0, 1, 3, 20, -1, -4]), label="start")
    start = draft.input("start", [1], kind)
    starts = draft.add("Concat", [draft.constant([0], kind), start], axis=0)
    after = draft.add("Add", [start, draft.constant(data.draw(st.sampled_from([1, 2])), kind)])
    ends = draft.add("Concat", [draft.constant([0], kind), after], axis=0)
    step = data.draw(st.sampled_from([1, 2, far]), label="step")
    if step == far or data.draw(st.booleans(), label="to the end"):
        floats = draft.add("Cast", [ends], to=1)
        ends = draft.add("Max", [floats, draft.constant([far, far], np.float32)])
        ends = draft.add("Cast", [ends], to=7 if kind == np.int64 else 6)
    else:
        ends = draft.add("Where", [draft.constant([True, False]), draft.constant(far, kind), ends])
    backwards = draft.add("Less", [draft.constant([1, step], kind), draft.constant([0], kind)])
    starts = draft.add("Where", [backwards, draft.constant(far, kind), starts])
    last = draft.add("And", [draft.add("Equal", [ends, draft.constant(far, kind)]), backwards])
    ends = draft.add("Where", [last, draft.constant(-far, kind), ends])
    y = draft.add("Slice", [x, starts, ends, draft.constant([0, 1], kind), draft.constant([1, step], kind)])
    total = draft.add("ReduceSum", [y, draft.constant([1])])
    sizes = {"N": 1, "T": data.draw(st.integers(1, 8), label="T")}
    bucket = {"N": 2, "T": sizes["T"] + data.draw(st.integers(0, 6), label="room")}
    content = {"start": lambda shape, generator: np.full(shape, number, kind)}
    analysis = assert_exact(draft.model(y, total), bucket, [sizes], data=content)
    assert analysis.behaviour.refusals == ()


@pytest.mark.parametrize("other", [[0, -1], [1, 9], [0, 3]])
def test_slice_that_cuts_beside_what_data_bounds_is_refused(other: list[int]) -> None:
    draft = Draft(17)
    x, start = draft.input("x", ["H", "W"]), draft.input("start", [1], np.int64)
    bounds = [draft.add("Concat", [draft.constant([each]), start], axis=0) for each in other]
    y = draft.add("Slice", [x, *bounds, draft.constant([0, 1])])
    (refusal,) = {each.reason for each in analyse_model(draft.model(y)).behaviour.refusals}
    assert refusal == "its input 1 depends on data, so that the size of the result does"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_shape_of_which_data_decides_a_part(count: int) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T", 3]))
    number = draft.input("count", [1], np.int64)
    shape = draft.add("Concat", [number, draft.add("Shape", [x])], axis=0)
    made = draft.add("ConstantOfShape", [shape])
    copies = draft.add("Expand", [draft.add("Unsqueeze", [x, draft.constant([0])]), shape])
    total = draft.add("ReduceSum", [draft.add("Cos", [made]), draft.constant([1])])
    line = draft.add("ConstantOfShape", [number])
    content = {"count": lambda shape, generator: np.full(shape, count, np.int64)}
    assert_exact(draft.model(made, copies, total, line), {"T": 9}, [{"T": 4}], data=content)


def test_bounds_of_data_in_other_forms_are_refused() -> None:
    draft = Draft(17)
    x, bounds = draft.input("x", ["T", "T"]), draft.input("bounds", [2], np.int64)
    y = draft.add("Slice", [x, bounds, draft.constant([9, 9]), draft.constant([0, 1])])
    z = draft.add("Expand", [x, bounds])
    refusals = analyse_model(draft.model(y, z)).behaviour.refusals
    assert {each.reason for each in refusals} == {"its input 1 depends on data, so that the size of the result does"}


def test_a_newer_opset_is_asked_for_where_bounds_of_data_need_it() -> None:
    draft = Draft(11)
    x, start = draft.input("x", ["T"]), draft.input("start", [1], np.int64)
    y = draft.add("Slice", [x, start, draft.constant([9])])
    assert {each.fix for each in analyse_model(draft.model(y)).behaviour.refusals} == {
        "Export the model with opset 12 or newer."
    }


def test_an_axis_is_not_expanded_to_as_many_as_data_says() -> None:
    draft = Draft(17)
    x, count = draft.input("x", ["T"]), draft.input("count", [1], np.int64)
    (refusal,) = analyse_model(draft.model(draft.add("Expand", [x, count]))).behaviour.refusals
    assert refusal.reason == "T is expanded to as many as data says"


@pytest.mark.parametrize("wanted", [-1, 0])
def test_how_many_data_chose_is_no_negative_number(wanted: int) -> None:
    """Exporters look for -1 in the shape of an expand: torchvision's pools of regions, by level."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T"]))
    found = draft.add("NonZero", [draft.add("Relu", [x])])
    column = draft.add("Reshape", [found, draft.constant([-1, 1])])
    shape = draft.add("Concat", [draft.add("Shape", [column], end=1), draft.constant([3])], axis=0)
    ones = draft.add("ConstantOfShape", [draft.add("Shape", [shape])], value=numpy_helper.from_array(np.array([1])))
    open_ones = draft.add("Equal", [shape, draft.add("Mul", [ones, draft.constant(wanted)])])
    copies = draft.add("Expand", [column, draft.add("Where", [open_ones, ones, shape])])
    analysis = assert_exact(draft.model(copies), {"T": 9}, [{"T": 4}], refusable=wanted == 0)
    assert bool(analysis.behaviour.refusals) == (wanted == 0)


def test_two_lengths_that_data_decides_are_not_taken_for_equal() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T"]))
    found = [draft.add("NonZero", [draft.add("Relu", [each])]) for each in (x, draft.add("Sub", [x, x]))]
    more = draft.add("Sub", [draft.add("Size", [each]) for each in found])
    made = draft.add("ConstantOfShape", [draft.add("Reshape", [draft.add("Abs", [more]), draft.constant([1])])])
    alike = draft.add("Where", [draft.add("Equal", [more, draft.constant(0)]), draft.constant(1), draft.constant(2)])
    ones = draft.add("Expand", [draft.constant(1.0, np.float32), draft.add("Reshape", [alike, draft.constant([1])])])
    assert_exact(draft.model(made, ones), {"T": 9}, [{"T": 4}], refusable=True)


def test_what_data_has_to_decide_leaves_other_claims_as_they_are() -> None:
    """An axis of data that has to have one position says nothing of the sizes."""
    draft = Draft(17)
    x, count = draft.shifted(draft.input("x", ["H", "W"])), draft.input("count", [1], np.int64)
    line = draft.add("Squeeze", [draft.add("ConstantOfShape", [count]), draft.constant([0])])
    turned = draft.add("Add", [draft.add("Transpose", [x], perm=[1, 0]), line])
    y = draft.add("Concat", [draft.add("Reshape", [turned, draft.constant([-1])])], axis=0)
    y = draft.add("Softmax", [draft.add("Reshape", [y, draft.add("Shape", [x])])], axis=1)
    content = {"count": lambda shape, generator: np.ones(shape, np.int64)}
    assert_exact(draft.model(y), {"H": 8, "W": 9}, [{"H": 3, "W": 5}], data=content, refusable=True)


@pytest.mark.parametrize("shift", [-50.0, 50.0])
@pytest.mark.parametrize("kind", ["Greater", "Less"])
def test_what_data_makes_none_of_is_guarded_as_the_model_does(kind: str, shift: float) -> None:
    draft = Draft(17)
    x = draft.add("Add", [draft.input("x", ["T"]), draft.constant(shift, np.float32)])
    count = draft.add("Size", [draft.add("NonZero", [draft.add("Relu", [x])])])
    chosen = draft.add("Cast", [draft.add(kind, [count, draft.constant(1)])], to=7)
    y = draft.add("Gather", [draft.constant([1.0, 2.0], np.float32), chosen])
    ones = draft.add("Expand", [draft.constant(1.0, np.float32), draft.add("Reshape", [chosen, draft.constant([1])])])
    assert_exact(draft.model(y, ones), {"T": 9}, [{"T": 4}])


@pytest.mark.parametrize("operator", ["Max", "Min"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_extreme_of_any_number_of_small_vectors(operator: str, count: int) -> None:
    draft = Draft()
    x = draft.input("x", ["T", 4])
    total = draft.add("Cast", [draft.add("ReduceSum", [draft.add("Relu", [x])], keepdims=0)], to=7)
    known = [draft.constant([at + 2]) for at in range(count - 1)]
    ends = draft.add(operator, [draft.add("Reshape", [total, draft.constant([1])]), *known])
    y = draft.add("Slice", [x, draft.constant([0]), ends, draft.constant([0])])
    assert_exact(draft.model(y), {"T": 9}, [{"T": 5}])
