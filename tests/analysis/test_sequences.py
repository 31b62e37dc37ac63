"""Sequences of tensors: lists of known length, slices along an axis, and what loops put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough

ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}


def summed(draft: Draft, x: str, axis: int) -> str:
    return str(draft.add("ReduceSum", [x, draft.constant([axis])], keepdims=1))


@given(st.data())
@thorough
def test_parts_of_an_axis_of_fixed_length(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 17]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", "T", 7]))
    kind = data.draw(st.sampled_from(["each", "chunks", "lengths"]), label="parts")
    keep = data.draw(st.integers(0, 1), label="keep")
    told = {"each": [], "chunks": [draft.constant(3)], "lengths": [draft.constant([2, 4, 1])]}[kind]
    parts = draft.add("SplitToSequence", [x, *told], axis=-1, keepdims=keep)
    if data.draw(st.booleans(), label="inserted"):
        place = [draft.constant(data.draw(st.integers(-2, 2), label="place"))] if data.draw(st.booleans()) else []
        again = draft.add("SequenceAt", [parts, draft.constant(0)])
        parts = draft.add("SequenceInsert", [parts, again, *place])
    if data.draw(st.booleans(), label="erased"):
        parts = draft.add("SequenceErase", [parts, draft.constant(data.draw(st.integers(-2, 1), label="which"))])
    if data.draw(st.booleans(), label="put together") and not (kind != "each" and draft.opset == 11):
        new = int(kind == "each")
        y = draft.add("ConcatFromSequence", [parts], axis=-1, new_axis=new)
    else:
        y = draft.add("SequenceAt", [parts, draft.constant(data.draw(st.integers(-2, 1), label="read"))])
    count = draft.add("Cast", [draft.add("SequenceLength", [parts])], to=1)
    y = draft.add("Mul", [draft.add("CumSum", [y, draft.constant(1)], reverse=1), count])
    bucket, rows = requests(data, 1, 9, T=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_parts_of_an_axis_that_follows_the_sizes(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    chunked = data.draw(st.booleans(), label="chunks")
    keep = data.draw(st.integers(0, 1), label="keep")
    parts = draft.add("SplitToSequence", [x, *([draft.constant(2)] if chunked else [])], axis=1, keepdims=keep)
    kept = chunked or bool(keep)
    if data.draw(st.booleans(), label="put together"):
        if kept:
            y = draft.add("ConcatFromSequence", [parts], axis=-2)
        else:
            new = data.draw(st.integers(0, 1), label="new axis")
            y = draft.add("ConcatFromSequence", [parts], axis=data.draw(st.integers(0, 1 + new)), new_axis=new)
    else:
        y = draft.add("SequenceAt", [parts, draft.constant(data.draw(st.integers(-1, 1), label="read"))])
    count = draft.add("Cast", [draft.add("SequenceLength", [parts])], to=1)
    bucket, rows = requests(data, 4, 9, T=1)
    assert_exact(draft.model(draft.add("Mul", [y, count])), bucket, rows, refusable=chunked)


def test_sizes_and_tensors_in_lists() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 4]))
    sizes = [draft.add("Gather", [draft.add("Shape", [x]), draft.constant(at)]) for at in (0, 1)]
    shape = draft.add("SequenceConstruct", [*sizes, draft.constant(2), draft.constant(2)])
    y = draft.add("Reshape", [x, draft.add("ConcatFromSequence", [shape], axis=0, new_axis=1)])
    parts = draft.add("SequenceInsert", [draft.add("SequenceEmpty", []), y])
    parts = draft.add("SequenceInsert", [parts, draft.add("Tanh", [y]), draft.constant(0)])
    z = draft.add("ConcatFromSequence", [draft.add("Identity", [parts])], axis=1)
    assert_exact(draft.model(summed(draft, z, 1)), BUCKET, ROWS)


def turn(draft: Draft, *, place: bool = False) -> Any:
    """Return a body that reads one slice, keeps a sum, and puts that at the end of a sequence."""
    nodes = [
        helper.make_node("SequenceAt", ["parts", "turn"], ["row"]),
        helper.make_node("Add", ["state", "row"], ["sum"]),
        helper.make_node("SequenceInsert", ["kept", "sum", *(["turn"] if place else [])], ["more"]),
        helper.make_node("Identity", ["again"], ["still"]),
    ]
    tensors = {name: helper.make_tensor_value_info(name, 1, None) for name in ("state", "sum")}
    lists = {name: helper.make_tensor_sequence_value_info(name, 1, None) for name in ("kept", "more")}
    flags = [helper.make_tensor_value_info(name, 9, []) for name in ("again", "still")]
    inputs = [helper.make_tensor_value_info("turn", 7, []), flags[0], lists["kept"], tensors["state"]]
    return helper.make_graph(nodes, "turns", inputs, [flags[1], lists["more"], tensors["sum"]])


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("place", [False, True])
def test_loops_put_sequences_together(new: int, place: bool) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 4]))
    parts = draft.add("SplitToSequence", [x], axis=1, keepdims=0)
    draft.nodes[-1].output[0] = "parts"
    begin = draft.add("Gather", [draft.add("Mul", [x, draft.constant(0.0, np.float32)]), draft.constant(0)], axis=1)
    count = draft.add("SequenceLength", ["parts"])
    kept, last = draft.add(
        "Loop",
        [count, draft.constant(True), draft.add("SequenceEmpty", []), begin],
        outputs=2,
        body=turn(draft, place=place),
    )
    del parts
    y = draft.add("ConcatFromSequence", [kept], axis=1, new_axis=new)
    if not new:
        y = draft.add("Reshape", [y, draft.constant([0, -1, 4])])
    y = draft.add("Mul", [y, draft.constant(2.0, np.float32)])
    model = draft.model(y, last)
    if place:  # Where it puts it is not known to be the end.
        assert analyse_model(model).behaviour.refusals
    else:
        assert_exact(model, BUCKET, ROWS)


def test_what_is_there_is_known_to_be() -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T"]))
    there = draft.add("Cast", [draft.add("OptionalHasElement", [x])], to=1)
    y = draft.add("Mul", [draft.add("OptionalGetElement", [x]), there])
    assert_exact(draft.model(summed(draft, y, 1)), BUCKET, ROWS)


def test_an_operator_without_inputs_is_refused():
    """Found by fuzzing: no graph that runs."""
    nodes = [helper.make_node("Identity", [], ["s"]), helper.make_node("Add", ["x", "s"], ["y"])]
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["L"]) for name in "xy")
    graph = helper.make_graph(nodes, "forged", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (verdict,) = analyse_model(model).behaviour.verdicts
    assert verdict.kind == "refused"
