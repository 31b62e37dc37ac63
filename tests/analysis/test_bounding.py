"""Lengths that data decides, fixed to the most that they can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from numpy.typing import NDArray
from onnx import helper

from scaling_tasks.analysis.fixed_lengths import bound_lengths
from scaling_tasks.errors import CompileError, RequestError
from scaling_tasks.onnx_model.fixing import fix_dimensions
from tests.analysis.bounded import assert_bounded
from tests.analysis.drafts import Draft
from tests.analysis.drawing import thorough
from tests.analysis.random_graphs import RandomModel, random_models


def _noise(*shape: int, count: int = 6) -> list[dict[str, NDArray[Any]]]:
    generator = np.random.default_rng(3)
    several = [generator.standard_normal(shape).astype(np.float32) for _ in range(count)]
    return [{"x": array} for array in (*several, np.ones(shape, np.float32), -np.ones(shape, np.float32))]


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (1, 3, 211, 307)])
def test_non_zero_of_any_rank(shape: tuple[int, ...]) -> None:
    draft = Draft()
    x = draft.input("x", [None] * len(shape))
    places = draft.add("NonZero", [draft.add("Relu", [x])])
    bounded = assert_bounded(draft.model(places), _noise(*shape))
    assert bounded.lengths.bounds(places) == [None, int(np.prod(shape))]
    assert "NonZero" not in {node.op_type for node in bounded.model.graph.node}


def test_more_positions_than_floats_tell_apart_are_refused() -> None:
    draft = Draft()
    x = draft.input("x", [4096, 4097])
    places = draft.add("NonZero", [draft.add("Relu", [x])])
    with pytest.raises(CompileError, match="16777216 are told apart"):
        bound_lengths(draft.model(places), {draft.nodes[-1].name: 100})


def test_what_follows_chosen_rows_is_cleaned() -> None:
    """A mean, a softmax and a product along chosen rows need to know how many there are."""
    draft = Draft()
    x = draft.input("x", [12, 4])
    high = draft.add("Greater", [draft.add("ReduceMax", [x], axes=[1], keepdims=0), draft.constant(0.8, np.float32)])
    rows = draft.add("Compress", [x, high], axis=0)
    mean = draft.add("ReduceSum", [rows, draft.constant([0])])
    weights = draft.add("Softmax", [draft.shifted(rows)], axis=0)
    mixed = draft.add("MatMul", [draft.add("Transpose", [rows], perm=[1, 0]), draft.shifted(rows)])
    count = draft.add("Shape", [rows])
    twice = draft.add("Concat", [rows, x, draft.shifted(rows)], axis=0)
    assert_bounded(draft.model(rows, mean, weights, mixed, count, twice), _noise(12, 4))


def test_the_last_states_of_nothing_are_zero() -> None:
    draft = Draft()
    x = draft.input("x", [None, 4])
    first = draft.add("Gather", [x, draft.constant(0)], axis=1)
    chosen = draft.add("Greater", [first, draft.constant(0.0, np.float32)])
    steps = draft.add("Unsqueeze", [draft.add("Compress", [x, chosen], axis=0), draft.constant([1])])
    weights = draft.weights(2, 12, 4), draft.weights(2, 12, 3), draft.weights(2, 24)
    _, state = draft.add("LSTM", [steps, *weights], outputs=2, hidden_size=3, direction="bidirectional")
    assert_bounded(draft.model(state), _noise(7, 4))


def test_choosing_among_what_was_chosen() -> None:
    draft = Draft()
    x = draft.input("x", [10, 3])
    first = draft.add("Greater", [draft.add("ReduceMax", [x], axes=[1], keepdims=0), draft.constant(0.2, np.float32)])
    rows = draft.add("Compress", [x, first], axis=0)
    again = draft.add("Less", [draft.add("ReduceMin", [rows], axes=[1], keepdims=0), draft.constant(-0.1, np.float32)])
    least = draft.add("Compress", [rows, again], axis=0)
    places = draft.add("NonZero", [draft.add("Relu", [draft.shifted(rows, shift=-0.3)])])
    assert_bounded(draft.model(least, places, draft.add("Flatten", [least], axis=0)), _noise(10, 3))


def test_slices_up_to_what_data_says() -> None:
    draft = Draft()
    x = draft.input("x", [9, 4])
    count = draft.add("ReduceSum", [draft.add("Cast", [draft.add("Relu", [x])], to=7), draft.constant([0, 1])])
    zero, one, axis = draft.constant([0]), draft.constant([1]), draft.constant([0])
    start = draft.add("Reshape", [draft.add("Sub", [draft.constant([[4]]), count]), one])
    end = draft.add("Reshape", [count, one])
    outputs = [
        draft.add("Slice", [x, zero, end, axis]),
        draft.add("Slice", [x, start, draft.constant([2**62]), axis, draft.constant([2])]),
        draft.add("Slice", [x, draft.constant([-6]), end, axis]),
    ]
    bounded = assert_bounded(draft.model(*outputs), _noise(9, 4, count=20))
    assert [bounded.lengths.bounds(each)[0] for each in outputs] == [9, 5, 9]


def _counting(draft: Draft, x: str) -> tuple[str, str]:
    """Count up to what data says; return the numbers and the node's name."""
    total = draft.add("Cast", [draft.add("ReduceSum", [draft.add("Relu", [x])], keepdims=0)], to=7)
    numbers = draft.add("Range", [draft.constant(0), total, draft.constant(1)])
    return numbers, draft.nodes[-1].name


def test_what_nothing_bounds_is_as_long_as_the_user_says() -> None:
    draft = Draft()
    x = draft.input("x", [4, 4])
    numbers, name = _counting(draft, x)
    model = draft.model(draft.add("Mul", [draft.add("Cast", [numbers], to=1), draft.constant(0.5, np.float32)]))
    with pytest.raises(CompileError, match="nothing bounds it") as error:
        bound_lengths(model, {})
    assert f"longest: {{'{name}': 1000}}" in error.value.fix
    bounded = assert_bounded(model, _noise(4, 4), longest={name: 16})
    with pytest.raises(RequestError, match=r"makes 17 positions .*, where 16 fit"):
        bounded.lengths.cut({bounded.lengths.counts[name]: np.array([17.0])})
    with pytest.raises(CompileError, match="'Rang' is no node"):
        bound_lengths(model, {name: 16, "Rang": 3})


def test_a_count_that_may_be_exceeded_is_told_where_no_output_is_as_long() -> None:
    draft = Draft()
    x = draft.input("x", [4, 4])
    numbers, name = _counting(draft, x)
    mean = draft.add("ReduceSum", [draft.add("Cast", [numbers], to=1)], keepdims=0)
    bounded = assert_bounded(draft.model(mean), _noise(4, 4), longest={name: 16})
    assert list(bounded.lengths.longest.values()) == [16]


def test_a_range_is_as_long_as_its_end_can_be() -> None:
    draft = Draft()
    x = draft.input("x", [4, 4])
    total = draft.add("ReduceSum", [draft.add("Relu", [x])], keepdims=0)
    end = draft.add(
        "Cast", [draft.add("Clip", [total, draft.constant(0, np.float32), draft.constant(6, np.float32)])], to=7
    )
    numbers = draft.add("Range", [draft.constant(1), end, draft.constant(2)])
    assert assert_bounded(draft.model(numbers), _noise(4, 4)).lengths.bounds(numbers) == [3]


def _suppression(images: int, classes: int, boxes: int, limits: list[Any], **attributes: Any) -> onnx.ModelProto:
    draft = Draft()
    corners = draft.input("boxes", [images, boxes, 4])
    scores = draft.input("scores", [images, classes, boxes])
    kept = draft.add("NonMaxSuppression", [corners, scores, *map(draft.constant, limits)], **attributes)
    return draft.model(kept)


def _boxes(images: int, classes: int, boxes: int, *, seed: int, ties: bool) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 4, (images, boxes, 4)).astype(np.float32)
    scores = generator.uniform(0, 1, (images, classes, boxes)).astype(np.float32)
    if ties:
        corners, scores = np.round(corners), np.round(scores, 1)
    return {"boxes": corners, "scores": scores}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize(("images", "classes"), [(1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("pairs", [1 << 24, 0])
def test_suppression_in_any_form(
    images: int, classes: int, center: int, ties: bool, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling_tasks.analysis.bounding.suppression._MOST_PAIRS", pairs)
    limits = [np.int64([5]), np.float32([0.3]), np.float32([0.2])]
    model = _suppression(images, classes, 14, limits, center_point_box=center)
    inputs = [_boxes(images, classes, 14, seed=seed, ties=ties) for seed in range(6)]
    inputs.append({**inputs[0], "scores": inputs[0]["scores"] * 0})
    bounded = assert_bounded(model, inputs)
    assert bounded.lengths.bounds(model.graph.output[0].name) == [images * classes * 5, None]


@pytest.mark.parametrize(("images", "classes"), [(1, 1), (2, 3)])
def test_fewer_than_there_could_be_are_enough_where_the_user_says_so(images: int, classes: int) -> None:
    draft = Draft()
    boxes, scores = draft.input("boxes", [images, 30, 4]), draft.input("scores", [images, classes, 30])
    limits = (draft.constant(each) for each in (np.int64([20]), np.float32([0.0]), np.float32([0.5])))
    kept = draft.add("NonMaxSuppression", [boxes, scores, *limits])
    places = draft.add("NonZero", [draft.add("Relu", [draft.add("Sub", [scores, draft.constant(0.97, np.float32)])])])
    rows = draft.add(
        "Slice",
        [
            boxes,
            draft.constant([0]),
            draft.add("Slice", [draft.add("Shape", [places]), *(draft.constant([at]) for at in (1, 2))]),
            draft.constant([1]),
        ],
    )
    names = {node.op_type: node.name for node in draft.nodes}
    longest = {names["NonMaxSuppression"]: 10 * images * classes, names["NonZero"]: 11}
    inputs = [_boxes(images, classes, 30, seed=seed, ties=False) for seed in range(8)]
    bounded = assert_bounded(draft.model(kept, places, rows), inputs, longest=longest)
    assert bounded.lengths.bounds(kept) == [10 * images * classes, None]
    assert bounded.lengths.bounds(places) == [None, 11]


def test_suppression_without_a_threshold_and_of_more_than_there_are() -> None:
    inputs = [_boxes(1, 2, 6, seed=seed, ties=False) for seed in range(4)]
    assert_bounded(_suppression(1, 2, 6, [np.int64([9]), np.float32([0.6])]), inputs)
    with pytest.raises(CompileError, match="1200 boxes of a class"):
        bound_lengths(_suppression(1, 1, 1200, [np.int64([1 << 40])]), {})


def test_a_loop_that_data_ends_has_no_fixed_length() -> None:
    draft = Draft()
    x = draft.input("x", [4, 4])
    total = draft.add("Cast", [draft.add("ReduceSum", [draft.add("Relu", [x])], keepdims=0)], to=7)
    turn = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Identity", ["at"], ["number"])],
        "turn",
        [helper.make_tensor_value_info("at", 7, []), helper.make_tensor_value_info("going", 9, [])],
        [helper.make_tensor_value_info("goes", 9, []), helper.make_tensor_value_info("number", 7, [])],
    )
    collected = draft.add("Loop", [total, ""], body=turn)
    with pytest.raises(CompileError, match=r"Loop .*has no form of a fixed length"):
        bound_lengths(draft.model(collected), {})


def test_a_model_without_such_lengths_is_left_alone() -> None:
    draft = Draft()
    x = draft.input("x", [4, 4])
    assert bound_lengths(draft.model(draft.add("Relu", [x])), {}) is None


@settings(thorough, max_examples=60, suppress_health_check=list(HealthCheck))
@given(random_models(first=("Compress", "NonZero")))
def test_random_graphs_answer_with_fixed_lengths(random: RandomModel) -> None:
    assume("MeanVarianceNorm" not in random.operators)  # Of equal numbers onnxruntime makes 0 / 0, ONNX 0.
    inputs = [random.inputs(random.limits, seed) for seed in range(3)]
    fixed = fix_dimensions(random.model, {name: array.shape for name, array in inputs[0].items()})
    try:
        bounded = bound_lengths(fixed, {})
    except CompileError as error:
        event(f"refused: {error.what.partition(': ')[0]}")
        return
    if bounded is None:
        event("all lengths are fixed")
        return
    event("bounded")
    assert_bounded(random.model, inputs)


def test_a_loop_beside_such_lengths_is_left_as_it_is() -> None:
    draft = Draft()
    x = draft.input("x", [4, 4])
    values = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("at", 7), ("going", 9), ("goes", 9))]
    state = [helper.make_tensor_value_info(name, 1, [4, 4]) for name in ("before", "after")]
    turn = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Tanh", ["before"], ["after"])],
        "turn",
        [*values[:2], state[0]],
        [values[2], state[1]],
    )
    again = draft.add("Loop", [draft.constant(3), "", x], body=turn)
    chosen = draft.add("NonZero", [draft.add("Relu", [again])])
    bounded = assert_bounded(draft.model(again, chosen), _noise(4, 4))
    assert "Loop" in {node.op_type for node in bounded.model.graph.node}
