"""Tables that end: numbers of positions beyond have no answer, while a bucket may be larger than any request."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as some

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import thorough


def _embedded(draft: Draft, table: int, *, scale: int = 1, branch: bool = False) -> str:
    """Return vectors of positions that follow a past, averaged together with what was given."""
    past, x = draft.input("past", [2, "past"]), draft.input("x", ["seq", 4])
    start = draft.add("Squeeze", [draft.add("Shape", [past], start=1)])
    length = draft.add("Squeeze", [draft.add("Shape", [x], end=1)])
    numbers = draft.add("Range", [start, draft.add("Add", [start, length]), draft.constant(1)])
    if scale != 1:
        numbers = draft.add("Mul", [numbers, draft.constant(scale)])
    kept = draft.add("Min", [numbers, draft.constant(table - 1)]) if branch else numbers
    vectors = draft.add("Add", [draft.shifted(x), draft.add("Gather", [draft.weights(table, 4), kept])])
    mean = draft.add("ReduceMean", [vectors], axes=[0])
    return draft.add("Add", [mean, draft.add("ReduceSum", [draft.shifted(past)], keepdims=0)])


@given(some.data())
@thorough
def test_positions_beyond_a_table(data: some.DataObject) -> None:
    table, scale = data.draw(some.integers(4, 12)), data.draw(some.integers(1, 2))
    draft = Draft(17)
    model = draft.model(_embedded(draft, table, scale=scale))
    bucket = {"past": data.draw(some.integers(1, 9)), "seq": data.draw(some.integers(1, 9))}
    sizes = {name: data.draw(some.integers(int(name != "past"), size)) for name, size in bucket.items()}
    behaviour = analyse_model(model).behaviour
    assert behaviour.runs_at(sizes) == (scale * (sizes["past"] + sizes["seq"] - 1) < table)
    assert behaviour.takes(bucket)
    assert behaviour.most_of("past", 1 << 20) == (table - 1) // scale
    assert behaviour.most_of("seq", 1 << 20) == (table - 1) // scale + 1
    if behaviour.runs_at(sizes):
        assert_exact(model, bucket, [sizes])
    else:
        options = onnxruntime.SessionOptions()
        # Optimised, Range and Gather are one Slice, which reads less where there is no more.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        original = onnxruntime.InferenceSession(model.SerializeToString(), options)
        zeros = {"past": np.zeros((2, sizes["past"]), np.float32), "x": np.zeros((sizes["seq"], 4), np.float32)}
        with pytest.raises(Exception, match="out of data bounds"):
            original.run(None, zeros)


def test_numbers_that_the_model_keeps_within_the_table_end_nothing() -> None:
    draft = Draft(17)
    behaviour = analyse_model(draft.model(_embedded(draft, 6, branch=True))).behaviour
    assert behaviour.limits == ()
    assert behaviour.most_of("seq", 1 << 20) is None


def test_sizes_that_must_go_together_end_nothing() -> None:
    draft = Draft(17)
    audio, frames = draft.input("audio", ["samples"]), draft.input("frames", ["count", 8])
    blocks = draft.add("Reshape", [audio, draft.constant([-1, 8])])
    behaviour = analyse_model(draft.model(draft.add("Add", [blocks, frames]))).behaviour
    assert behaviour.runs_at({"samples": 24, "count": 3})
    assert not behaviour.runs_at({"samples": 24, "count": 4})
    assert behaviour.tied_at({"samples": 24, "count": 4}) == ("count", "samples")
    assert behaviour.most_of("samples", 1 << 20) is behaviour.most_of("count", 1 << 20) is None


@given(some.data())
@thorough
def test_a_part_of_a_table_that_begins_where_sizes_say(data: some.DataObject) -> None:
    draft = Draft(17)
    past, x = draft.input("past", [2, "past"]), draft.input("x", ["seq", 4])
    start, length = draft.add("Shape", [past], start=1), draft.add("Shape", [x], end=1)
    table = data.draw(some.integers(4, 12))
    part = draft.add("Slice", [draft.weights(table, 4), start, draft.add("Add", [start, length]), draft.constant([0])])
    mean = draft.add("ReduceMean", [draft.add("Add", [draft.shifted(x), part])], axes=[0])
    model = draft.model(draft.add("Add", [mean, draft.add("ReduceSum", [draft.shifted(past)], keepdims=0)]))
    behaviour = analyse_model(model).behaviour
    assert behaviour.limited_sums() == {"seq+past": table}
    seq = data.draw(some.integers(1, table - 1))
    bucket = {"past": data.draw(some.integers(1, table - seq)), "seq": seq}
    sizes = {name: data.draw(some.integers(int(name != "past"), size)) for name, size in bucket.items()}
    assert behaviour.takes(bucket)
    assert not behaviour.takes({"past": table, "seq": 1})
    assert_exact(model, bucket, [sizes])


def test_what_is_accepted_is_compiled_as_it_is_and_has_to_run_at_its_buckets() -> None:
    draft = Draft(17)
    behaviour = analyse_model(draft.model(_embedded(draft, 6))).behaviour
    bucket = {"past": 5, "seq": 5}
    assert behaviour.takes(bucket)
    assert not behaviour.accepted().takes(bucket)
    assert behaviour.next_running(bucket, step=-1) in ({"past": 1, "seq": 5}, {"past": 5, "seq": 1})


def test_the_largest_sizes_that_go_together_where_one_smaller_size_is_not_enough() -> None:
    draft = Draft(17)
    parts = [draft.input(name, [name, 4]) for name in "abc"]
    joined = draft.add("Concat", parts, axis=0)
    length = draft.add("Squeeze", [draft.add("Shape", [joined], end=1)])
    numbers = draft.add("Range", [draft.constant(0), length, draft.constant(1)])
    vectors = draft.add("Add", [joined, draft.add("Gather", [draft.weights(24, 4), numbers])])
    behaviour = analyse_model(draft.model(draft.add("ReduceMean", [vectors], axes=[0]))).behaviour
    sizes = {"a": 20, "b": 20, "c": 20}
    assert behaviour.next_running(sizes, step=-1) == {"a": 1, "b": 3, "c": 20}


def test_an_empty_past_stays_empty_beside_another_size_that_does_not_run() -> None:
    draft = Draft(17)
    past, x = draft.input("past", [1, "past", 4]), draft.input("x", [1, "seq", 4])
    length = draft.add("Squeeze", [draft.add("Shape", [past], start=1, end=2)])
    numbers = draft.add("Range", [draft.constant(0), length, draft.constant(1)])
    placed = draft.add("Add", [past, draft.add("Gather", [draft.weights(9, 4), numbers])])
    blocks = draft.add("Reshape", [x, draft.constant([1, -1, 4, 4])])
    joined = draft.add("Concat", [placed, draft.add("Reshape", [blocks, draft.constant([1, -1, 4])])], axis=1)
    behaviour = analyse_model(draft.model(joined)).behaviour
    assert behaviour.empty == ("past",)
    assert behaviour.next_running({"past": 0, "seq": 5}) == {"past": 0, "seq": 8}
    assert behaviour.next_running({"past": 12, "seq": 5}, step=-1) == {"past": 9, "seq": 4}


def test_positions_that_a_larger_past_makes_fewer() -> None:
    draft = Draft(17)
    old, x = draft.input("old", ["kept", 4]), draft.input("x", ["seq", 4])
    start = draft.add("Sub", [draft.constant(24), draft.add("Squeeze", [draft.add("Shape", [old], end=1)])])
    first = draft.add("Max", [start, draft.constant(0)])
    length = draft.add("Squeeze", [draft.add("Shape", [x], end=1)])
    numbers = draft.add("Range", [first, draft.add("Add", [first, length]), draft.constant(1)])
    vectors = draft.add("Add", [draft.shifted(x), draft.add("Gather", [draft.weights(24, 4), numbers])])
    behaviour = analyse_model(draft.model(vectors, draft.add("ReduceSum", [draft.shifted(old)], keepdims=0))).behaviour
    assert behaviour.most_of("kept", 1 << 20) is None
    assert behaviour.most_of("seq", 1 << 20) == 24
    assert behaviour.next_running({"kept": 10, "seq": 11}, step=-1) == {"kept": 10, "seq": 10}


@pytest.mark.parametrize("step", [1, 2])
def test_the_end_of_a_table_that_is_as_long_as_a_request(step: int) -> None:
    """As of relative positions: from ``20 - length`` on, which would count from the end where requests are longer."""
    draft = Draft(17)
    x = draft.input("x", ["N", "L", 4])
    length = draft.add("Mul", [draft.add("Shape", [x], start=1, end=2), draft.constant([step])])
    start = draft.add("Sub", [draft.constant([20]), length])
    part = draft.add("Slice", [draft.weights(20, 4), start, draft.constant([20]), draft.constant([0])])
    scores = draft.add("MatMul", [draft.shifted(x), draft.add("Transpose", [part], perm=[1, 0])])
    y = draft.add("ReduceMax", [draft.add("Softmax", [scores], axis=1)], axes=[2])
    model = draft.model(y)
    analysis = assert_exact(model, {"N": 2, "L": 20 // step}, [{"N": 1, "L": 3}, {"N": 1, "L": 3}])
    assert [analysis.behaviour.runs_at({"N": 1, "L": size}) for size in (1, 20 // step, 20 // step + 1)] == [1, 1, 0]


def test_the_end_of_a_table_that_is_as_long_as_a_past_that_may_be_empty() -> None:
    draft = Draft(17)
    past = draft.input("past", ["N", "past", 4])
    start = draft.add("Neg", [draft.add("Shape", [past], start=1, end=2)])
    ends = draft.constant([1 << 40]), draft.constant([0])
    y = draft.add("ReduceSum", [draft.add("Slice", [draft.weights(20, 4), start, *ends]), draft.constant([0])])
    y = draft.add("Add", [y, draft.add("ReduceSum", [draft.shifted(past), draft.constant([1])], keepdims=0)])
    assert_exact(draft.model(y), {"N": 2, "past": 20}, [{"N": 1, "past": 3}, {"N": 1, "past": 3}])
