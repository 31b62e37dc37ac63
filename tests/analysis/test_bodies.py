"""Graphs inside of operators: loops that take as many turns as at the exact size, and branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def body(
    inputs: Sequence[tuple[str, int]], write: Callable[[Draft], Sequence[tuple[str, int]]], *, first: int = 1000
) -> Any:
    """Return a graph; its own names begin at ``first``."""
    inner = Draft(18, number=first)
    outputs = write(inner)
    values = [helper.make_tensor_value_info(name, kind, [] if kind != FLOAT else None) for name, kind in inputs]
    results = [helper.make_tensor_value_info(name, kind, [] if kind != FLOAT else None) for name, kind in outputs]
    return helper.make_graph(inner.nodes, "body", values, results, inner.constants)


def length(draft: Draft, x: str, axis: int = 1) -> str:
    return str(draft.add("Gather", [draft.add("Shape", [x]), draft.constant(axis, np.int64)]))


def steps(read: str) -> Any:
    """Return a loop's body that reads one position of ``read`` each turn, adds it to a state, and keeps what it has."""

    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        row = inner.add("Gather", [read, "turn"], axis=1)
        state = inner.add("Add", [inner.add("Mul", ["state", inner.constant(0.5, np.float32)]), row])
        kept = inner.add("Tanh", [state])
        return [(inner.add("Identity", ["on"]), BOOL), (state, FLOAT), (kept, FLOAT)]

    return body([("turn", INT64), ("on", BOOL), ("state", FLOAT)], write)


@pytest.mark.parametrize("turns", [3, None])
def test_loop_over_positions(turns: int | None) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    count = length(draft, x) if turns is None else draft.constant(turns, np.int64)
    state = draft.add("ReduceMax", [x, draft.constant([1], np.int64)], keepdims=0)
    last, kept = draft.add("Loop", [count, draft.constant(True), state], body=steps(x), outputs=2)
    summed = draft.add("ReduceSum", [kept, draft.constant([0], np.int64)])
    assert_exact(draft.model(last, kept, summed), BUCKET, [{"N": 1, "T": 4}, {"N": 1, "T": 4}])


def test_a_loop_collects_nothing_at_no_size() -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    count = draft.add("Sub", [length(draft, x), draft.constant(1)])
    state = draft.add("ReduceMax", [x, draft.constant([1], np.int64)], keepdims=0)
    _, kept = draft.add("Loop", [count, draft.constant(True), state], body=steps(x), outputs=2)
    analysis = assert_exact(draft.model(kept), BUCKET, [{"N": 1, "T": 4}, {"N": 1, "T": 4}])
    assert [analysis.behaviour.runs_at({"N": 1, "T": size}) for size in (1, 2)] == [False, True]


@pytest.mark.parametrize("kept", [True, False])
def test_a_state_that_no_turn_changes_is_known_in_the_body(kept: bool) -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        row = inner.add("Slice", [x, "turns", inner.add("Add", ["turns", inner.constant([1])]), "axis"])
        changed = "axis" if kept else inner.add("Mul", ["axis", inner.constant([1])])
        state = inner.add("Add", ["state", inner.add("Squeeze", [row, inner.constant([1])])])
        turns = inner.add("Add", ["turns", inner.constant([1])])
        return [(inner.add("Identity", ["on"]), BOOL), (turns, INT64), (state, FLOAT), (changed, INT64)]

    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    first = draft.add("Gather", [x, draft.constant(0, np.int64)], axis=1)
    names = [("turn", INT64), ("on", BOOL), ("turns", INT64), ("state", FLOAT), ("axis", INT64)]
    inner = body(names, write)
    for at in (2, 4):
        inner.input[at].type.tensor_type.shape.dim.add().dim_value = 1
        inner.output[at - 1].type.tensor_type.ClearField("shape")
    given = [draft.constant([0]), first, draft.constant([1])]
    _, last, _ = draft.add("Loop", [length(draft, x), draft.constant(True), *given], body=inner, outputs=3)
    analysis = assert_exact(draft.model(last), BUCKET, [{"N": 1, "T": 4}], refusable=not kept)
    assert bool(analysis.behaviour.refusals) != kept


def test_what_a_loop_has_at_its_end_hangs_on_how_many_turns_it_takes() -> None:
    draft = Draft(18)
    x = draft.input("x", ["N", "T", 3])
    first = draft.add("Gather", [x, draft.constant(0, np.int64)], axis=1)
    last, _ = draft.add("Loop", [length(draft, x), draft.constant(True), first], body=steps(x), outputs=2)
    behaviour = assert_exact(draft.model(last), BUCKET, [{"N": 1, "T": 4}]).behaviour
    assert [verdict.kind for verdict in behaviour.verdicts] == ["exact", "cleaned"]


def test_what_a_body_mixes_is_cleaned_each_turn() -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        y = inner.add("Conv", ["state", inner.weights(3, 3, 3)], pads=[1, 1])
        return [(inner.add("Identity", ["on"]), BOOL), (inner.shifted(inner.add("Tanh", [y])), FLOAT)]

    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", 3, "T"]))
    inner = body([("turn", INT64), ("on", BOOL), ("state", FLOAT)], write)
    y = draft.add("Loop", [draft.constant(3), draft.constant(True), x], body=inner)
    analysis = assert_exact(draft.model(y), BUCKET, ROWS)
    assert (analysis.places, analysis.behaviour.rows) == (1, "N")


def test_loop_that_data_ends() -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        state = inner.add("Mul", ["state", inner.constant(0.5, np.float32)])
        most = inner.add("ReduceMax", [state], keepdims=0)
        return [(inner.add("Greater", [most, inner.constant(0.3, np.float32)]), BOOL), (state, FLOAT)]

    draft = Draft(18)
    x = draft.add("Exp", [draft.input("x", ["T"])])
    inner = body([("turn", INT64), ("on", BOOL), ("state", FLOAT)], write)
    y = draft.add("Loop", ["", draft.constant(True), draft.shifted(x)], body=inner)
    assert_exact(draft.model(y), {"T": 9}, [{"T": 4}])


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_counter_that_ends_a_loop_as_tensorflow_writes_it(inside: bool, both: bool) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    limit = length(draft, x)

    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        row = inner.add("Gather", [x, "counter"], axis=1)
        counter = inner.add("Add", ["counter", inner.constant(1, np.int64)])
        end = limit if inside else "limit"
        on = inner.add("Less", [counter, inner.add("Cast", [end], to=INT64)])
        if both:
            on = inner.add("And", [inner.add("Less", ["turn", limit]), on])
        passed = [] if inside else [(inner.add("Identity", ["limit"]), INT64)]
        return [(on, BOOL), (counter, INT64), *passed, (row, FLOAT)]

    zero = draft.constant(0, np.int64)
    names = [("turn", INT64), ("on", BOOL), ("counter", INT64), *([] if inside else [("limit", INT64)])]
    given = [limit if both else "", draft.add("Less", [zero, limit]), zero, *([] if inside else [limit])]
    *_, kept = draft.add("Loop", given, body=body(names, write), outputs=2 if inside else 3)
    y = draft.add("ReduceSum", [draft.add("Mul", [draft.add("Transpose", [kept], perm=[1, 0, 2]), x])], keepdims=0)
    analysis = assert_exact(draft.model(kept), BUCKET, [{"N": 1, "T": 4}, {"N": 1, "T": 4}])
    assert [len(axis) for axis in analysis.behaviour.layouts[kept] or ()] == [1, 1, 1]
    assert_exact(draft.model(y), {"N": 2, "T": 9}, [{"N": 2, "T": 4}])


@pytest.mark.parametrize("backwards", [0, 1])
def test_scan(backwards: int) -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        state = inner.add("Add", [inner.add("Mul", ["state", inner.constant(0.5, np.float32)]), "row"])
        return [(state, FLOAT), (inner.add("Tanh", [state]), FLOAT)]

    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["T", "N", 3]))
    state = draft.add("ReduceMin", [x, draft.constant([0], np.int64)], keepdims=0)
    inner = body([("state", FLOAT), ("row", FLOAT)], write)
    known = {"num_scan_inputs": 1, "scan_input_directions": [backwards]}
    found = draft.add("Scan", [state, x], body=inner, outputs=2, **known)
    assert_exact(draft.model(*found), BUCKET, [{"N": 1, "T": 4}, {"N": 1, "T": 4}])


def test_loop_whose_state_grows_is_refused_by_name() -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        return [(inner.add("Identity", ["on"]), BOOL), (inner.add("Concat", ["state", "state"], axis=1), FLOAT)]

    draft = Draft(18)
    inner = body([("turn", INT64), ("on", BOOL), ("state", FLOAT)], write)
    y = draft.add("Loop", [draft.constant(2), draft.constant(True), draft.input("x", ["N", "T"])], body=inner)
    refusals = analyse_model(draft.model(y)).behaviour.refusals
    assert all(each.operator == "Loop" and "it gives the shape" in each.reason for each in refusals)
    assert refusals


def branches(draft: Draft, x: str, condition: str) -> str:
    """Return an If of two branches that mix positions and use the same names."""

    def pooled(inner: Draft) -> Sequence[tuple[str, int]]:
        return [(inner.add("ReduceMean", [x, inner.constant([1], np.int64)]), FLOAT)]

    def weighed(inner: Draft) -> Sequence[tuple[str, int]]:
        most = inner.add("ReduceMax", [x, inner.constant([1], np.int64)])
        return [(inner.add("Mul", [most, inner.constant(3.0, np.float32)]), FLOAT)]

    both = {"then_branch": body([], pooled), "else_branch": body([], weighed)}
    return str(draft.add("If", [condition], **both))


@pytest.mark.parametrize("size", [4, 7])
def test_branch_by_size(size: int) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    y = branches(draft, x, draft.add("Less", [length(draft, x), draft.constant(6, np.int64)]))
    analysis = assert_exact(draft.model(y), BUCKET, [{"N": 1, "T": size}, {"N": 1, "T": size}])
    assert analysis.behaviour.uniform == ("T",)


@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_branch_by_data(shift: float) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["T", 2, 3]), shift=shift)
    most = draft.add("ReduceMax", [x], keepdims=0)
    y = branches(draft, x, draft.add("Less", [most, draft.constant(0.0, np.float32)]))
    assert_exact(draft.model(draft.add("ReduceSum", [y], keepdims=0)), {"T": 9}, [{"T": 4}])


def test_branches_that_are_always_taken_may_use_the_same_names() -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    one, other = (branches(draft, x, draft.constant(taken)) for taken in (True, False))
    assert_exact(draft.model(draft.add("Add", [one, other])), BUCKET, ROWS)


def test_branches_of_different_shapes_are_refused() -> None:
    draft = Draft(18)
    x = draft.input("x", ["N", "T"])
    condition = draft.add("Less", [length(draft, x), draft.constant(6, np.int64)])
    both = {
        "then_branch": body([], lambda inner: [(inner.add("Identity", [x]), FLOAT)]),
        "else_branch": body([], lambda inner: [(inner.add("Concat", [x, x], axis=1), FLOAT)], first=2000),
    }
    (refusal, *_) = analyse_model(draft.model(draft.add("If", [condition], **both))).behaviour.refusals
    assert (refusal.operator, "[N, T] or [N, T + T]" in refusal.reason) == ("If", True)


@pytest.mark.parametrize("shift", [-50.0, 0.0])
def test_branches_whose_lengths_data_decides(shift: float) -> None:
    """As detectors keep boxes: none where none passed, else the best."""
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["T"]), shift=shift)
    passed = draft.add("NonZero", [draft.add("Greater", [x, draft.constant(0.1, np.float32)])])
    found = draft.add("Gather", [x, draft.add("Squeeze", [passed, draft.constant([0], np.int64)])])

    def kept(inner: Draft) -> Sequence[tuple[str, int]]:
        one = inner.constant([1], np.int64)
        count = inner.add("Min", [inner.constant([4], np.int64), inner.add("Shape", [found])])
        return [
            (name, FLOAT) for name in (inner.add("TopK", [found, count], outputs=2)[0], inner.add("Tile", [found, one]))
        ]

    def none(inner: Draft) -> Sequence[tuple[str, int]]:
        return [(inner.constant([], np.float32), FLOAT), (inner.constant([0.5], np.float32), FLOAT)]

    both = {"then_branch": body([], none), "else_branch": body([], kept, first=2000)}
    best, every = draft.add(
        "If", [draft.add("Equal", [draft.add("Size", [found]), draft.constant(0)])], outputs=2, **both
    )
    assert_exact(draft.model(draft.add("Concat", [best, every], axis=0)), {"T": 12}, [{"T": 7}])


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("ends", ["turns", "data", "never"])
def test_loop_that_puts_a_position_behind_a_state_each_turn(ends: str, copied: bool, axis: int) -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        row = inner.add("Tanh", [inner.add("Add", [inner.add("Gather", [x, "turn"], axis=1), "state"])])
        on = inner.add("Less", [inner.add("ReduceMax", [row], keepdims=0), inner.constant(0.9, np.float32)])
        whole = inner.add("Concat", ["grown", inner.add("Unsqueeze", [row, inner.constant([axis])])], axis=axis)
        whole = inner.add("Identity", [whole]) if copied else whole
        return [(on if ends == "data" else inner.add("Identity", ["on"]), BOOL), (row, FLOAT), (whole, FLOAT)]

    draft = Draft(18)
    x = draft.add("Mul", [draft.shifted(draft.input("x", ["N", "T", 3])), draft.constant(0.4, np.float32)])
    count = length(draft, x)
    start = draft.add("ReduceMin", [x, draft.constant([1], np.int64)], keepdims=0)
    grown = draft.add("Unsqueeze", [start, draft.constant([axis])])
    inner = body([("turn", INT64), ("on", BOOL), ("state", FLOAT), ("grown", FLOAT)], write)
    turns = draft.constant(2) if ends == "never" else count
    last, kept = draft.add("Loop", [turns, draft.constant(True), start, grown], body=inner, outputs=2)
    y = draft.add("ReduceSum", [kept, draft.constant([axis])], keepdims=0)
    rows = [{"N": 1, "T": 4}, {"N": 1, "T": 4}]
    assert_exact(draft.model(last, kept, y), BUCKET, rows[:1] if ends == "data" else rows)


def test_loop_whose_state_grows_by_as_much_as_data_says() -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        row = inner.add("Gather", [x, "turn"], axis=0)
        least = inner.add("Cast", [inner.add("Abs", [inner.add("ReduceMax", [row])])], to=INT64)
        one, zero = inner.constant(1), inner.constant(0)
        count = inner.add("Range", [zero, inner.add("Add", [least, one]), one])
        repeated = inner.add("Mul", [count, zero])
        more = inner.add("Gather", [inner.add("Unsqueeze", [row, inner.constant([0])]), repeated], axis=0)
        return [(inner.add("Identity", ["on"]), BOOL), (inner.add("Concat", ["grown", more], axis=0), FLOAT)]

    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["T", 3]))
    inner = body([("turn", INT64), ("on", BOOL), ("grown", FLOAT)], write)
    none = draft.constant(np.zeros((0, 3)), np.float32)
    y = draft.add("Loop", [length(draft, x, 0), draft.constant(True), none], body=inner)
    mean = draft.add("ReduceMean", [y, draft.constant([0])])
    assert_exact(draft.model(y, mean), {"T": 9}, [{"T": 4}])


@pytest.mark.parametrize("again", ["whole", "grown"])
def test_loop_whose_growing_state_is_given_twice(again: str) -> None:
    def write(inner: Draft) -> Sequence[tuple[str, int]]:
        row = inner.add("Unsqueeze", [inner.add("Gather", [x, "turn"], axis=0), inner.constant([0])])
        whole = inner.add("Concat", ["grown", row], axis=0)
        second = whole if again == "whole" else again
        return [(inner.add("Identity", ["on"]), BOOL), (whole, FLOAT), (second, FLOAT)]

    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["T", 3]))
    inner = body([("turn", INT64), ("on", BOOL), ("grown", FLOAT), ("second", FLOAT)], write)
    none = draft.constant(np.zeros((0, 3)), np.float32)
    found = draft.add("Loop", [length(draft, x, 0), draft.constant(True), none, none], body=inner, outputs=2)
    mean = draft.add("ReduceMean", [found[1], draft.constant([0])])
    assert_exact(draft.model(*found, mean), {"T": 9}, [{"T": 4}])


@pytest.mark.parametrize("always", [True, False])
def test_nodes_of_one_name_in_several_branches_make_lengths_of_their_own(always: bool) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T"]))
    above = draft.add("Greater", [draft.add("ReduceMax", [x], keepdims=0), draft.constant(-9.0, np.float32)])
    parts = []
    for each in (x, draft.add("Sub", [x, x])):

        def write(inner: Draft, given: str = each) -> Sequence[tuple[str, int]]:
            return [(inner.add("NonZero", [inner.add("Relu", [given])]), INT64)]

        both = {name: body([], write) for name in ("then_branch", "else_branch")}
        for graph in both.values():
            graph.output[0].type.tensor_type.ClearField("shape")
        parts.append(draft.add("If", [draft.constant(True) if always else above], **both))
    alike = draft.add("Equal", [draft.add("Size", [each]) for each in parts])
    either = {
        name: body(
            [],
            lambda inner, each=each: [(inner.add("Mul", [x, inner.constant(each, np.float32)]), FLOAT)],
            first=2000,
        )
        for name, each in (("then_branch", 1.0), ("else_branch", 2.0))
    }
    assert_exact(draft.model(draft.add("If", [alike], **either)), {"T": 9}, [{"T": 4}])
