"""Recurrent layers, gathering and writing by number, selections, and running sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@given(st.data())
@thorough
def test_recurrent(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 14, 22]), label="opset"))
    kind = data.draw(st.sampled_from(sorted(_GATES)), label="kind")
    direction = data.draw(st.sampled_from(["forward", "reverse", "bidirectional"]), label="direction")
    shape = data.draw(st.sampled_from([["T", "N", 3], ["T", 1, 3], ["T", "B", 3], ["N", 3, "T"]]), label="shape")
    x = draft.shifted(draft.input("x", shape))
    if shape[0] == "N":
        x = draft.add("Transpose", [x], perm=[2, 0, 1])
    count, gates = 2 if direction == "bidirectional" else 1, _GATES[kind]
    parts = [x, draft.weights(count, gates * 4, 3), draft.weights(count, gates * 4, 4)]
    if data.draw(st.booleans(), label="bias"):
        parts.append(draft.weights(count, 2 * gates * 4))
    extra = {"linear_before_reset": data.draw(st.integers(0, 1))} if kind == "GRU" else {}
    states = 3 if kind == "LSTM" else 2
    names = draft.add(kind, parts, outputs=states, hidden_size=4, direction=direction, **extra)
    used = data.draw(st.sampled_from(["all", "sequence", "states"]), label="used")
    outputs = {"all": names, "sequence": names[:1], "states": names[1:]}[used]
    if used == "sequence":
        for name in names[1:]:
            draft.nodes[-1].output[names.index(name)] = ""
        if data.draw(st.booleans(), label="second"):
            turned = draft.add("Transpose", [names[0]], perm=[2, 1, 0, 3])
            axes = draft.constant([2])
            outputs = [
                draft.add("ReduceSum", [turned, axes])
                if draft.opset >= 13
                else draft.add("ReduceSum", [turned], axes=[2])
            ]
    bucket, rows = requests(data, 1, 6, T=1, B=1)
    kept = {dim for dim in shape if isinstance(dim, str)}
    assert_exact(
        draft.model(*outputs),
        {name: value for name, value in bucket.items() if name in kept},
        [{name: value for name, value in row.items() if name in kept} for row in rows],
    )


@pytest.mark.parametrize("used", [[0], [0, 1], [0, 1, 2]])
def test_layers_are_written_without_told_lengths(used: list[int]) -> None:
    """Compilers lack a fast form of layers that are told them; states that nobody takes need nothing."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T", "N", 3]))
    parts = [x, draft.weights(2, 16, 3), draft.weights(2, 16, 4), draft.weights(2, 32)]
    names = draft.add("LSTM", parts, outputs=3, hidden_size=4, direction="bidirectional")
    rows = [{"N": 1, "T": size} for size in (1, 4, 7)]
    analysis = assert_exact(draft.model(*(names[at] for at in used)), {"N": 3, "T": 7}, rows)
    layers = [node for node in analysis.cleaned.graph.node if node.op_type == "LSTM"]
    assert len(layers) == 2
    assert all(len(node.input) <= 4 or not node.input[4] for node in layers)
    assert not analysis.behaviour.uniform


@given(st.data())
@thorough
def test_gather(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    kind = data.draw(st.sampled_from(["one", "several", "computed", "largest", "elements", "nd", "size"]), label="kind")
    number = st.integers(-3, 2)
    if kind == "one":
        y = draft.add("Gather", [x, draft.constant(data.draw(number))], axis=2)
    elif kind == "several":
        numbers = data.draw(st.lists(number, min_size=2, max_size=3), label="numbers")
        y = draft.add("Gather", [x, draft.constant(numbers)], axis=-1)
    elif kind == "computed":
        scores = draft.add("ArgMax", [x], axis=2, keepdims=0)
        low = draft.add("Sub", [scores, draft.constant(1)])
        table = draft.weights(20, 3)
        y = draft.add("Gather", [table, draft.add("Max", [low, draft.constant(0)])], axis=0)
    elif kind == "largest":
        y = draft.add("TopK", [x, draft.constant([2])], outputs=2, axis=2)[1]
    elif kind == "elements":
        best = draft.add("TopK", [draft.add("Neg", [x]), draft.constant([2])], outputs=2, axis=2)[1]
        shift = draft.constant(data.draw(st.sampled_from([0, -3])))
        y = draft.add(
            "GatherElements", [x, draft.add("Max", [draft.add("Add", [best, shift]), draft.constant(-3)])], axis=2
        )
    elif kind == "nd":
        where = draft.constant([[0, 1], [1, 2]])
        y = draft.add("GatherND", [draft.add("Transpose", [x], perm=[1, 2, 0]), where])
        y = draft.add("Transpose", [y], perm=[1, 0])
    else:
        size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant(2)])
        y = draft.add("Gather", [x, draft.add("Sub", [size, draft.constant(2)])], axis=2)
    bucket, rows = requests(data, 3, 8, W=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_write(data: Draw) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "W", 3]))
    kind = data.draw(st.sampled_from(["nd", "elements", "flat"]), label="kind")
    at = data.draw(st.integers(-2, 2), label="at")
    if kind == "nd":
        turned = draft.add("Transpose", [x], perm=[1, 0, 2])
        new = draft.add("ReduceMax", [turned, draft.constant([0])])
        y = draft.add("ScatterND", [turned, draft.constant([[at]]), new])
        y = draft.add("ReduceSum", [y, draft.constant([0])])
    elif kind == "flat":
        flat = draft.add("Reshape", [x, draft.constant([0, -1])])
        one = draft.add("ReduceMax", [flat, draft.constant([1])])
        y = draft.add("ScatterElements", [flat, draft.constant([[4]]), one], axis=1)
    else:
        one = draft.constant([[[at, 0, 1]]])
        y = draft.add("ScatterElements", [x, one, draft.weights(1, 1, 3)], axis=1)
    bucket, rows = requests(data, 3, 8, W=1)
    # An index that is the same for all rows names a row of the batch.
    assert_exact(draft.model(y), bucket, rows, refusable=kind == "flat" or (kind == "nd" and at < 0))


@given(st.data())
@thorough
def test_selection(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 13, 17]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    kind = data.draw(st.sampled_from(["ArgMax", "ArgMin", "TopK", "CumSum"]), label="kind")
    axis = data.draw(st.sampled_from([1, 2, -1, -2]), label="axis")
    if kind == "TopK":
        largest = data.draw(st.integers(0, 1), label="largest")
        size = draft.constant([2])
        if axis in (2, -1) and data.draw(st.booleans(), label="by size"):
            size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant([2])])
            size = draft.add("Min", [size, draft.constant([4])]) if draft.opset >= 12 else size
        outputs = draft.add("TopK", [x, size], outputs=2, axis=axis, largest=largest)
    elif kind == "CumSum":
        flags = {name: data.draw(st.integers(0, 1), label=name) for name in ("exclusive", "reverse")}
        outputs = [draft.add("CumSum", [x, draft.constant(axis)], **flags)]
    else:
        keep = data.draw(st.integers(0, 1), label="keepdims")
        last = {"select_last_index": data.draw(st.integers(0, 1), label="last")} if draft.opset >= 12 else {}
        if data.draw(st.booleans(), label="ties"):
            x = draft.add("Where", [draft.constant(True), draft.constant(-np.inf, np.float32), x])
        outputs = [draft.add(kind, [x], axis=axis, keepdims=keep, **last)]
    bucket, rows = requests(data, 2, 8, W=1)
    assert_exact(draft.model(*outputs), bucket, rows)


def test_numbers_of_what_is_not_zero_are_those_of_the_exact_size() -> None:
    draft = Draft(17)
    x = draft.add("Relu", [draft.shifted(draft.input("x", ["H", "W"]))])
    assert_exact(draft.model(draft.add("NonZero", [x])), {"H": 8, "W": 9}, [{"H": 5, "W": 6}])


@pytest.mark.parametrize("opset", [9, 17])
def test_positions_of_ones_count_as_a_range_does(opset: int) -> None:
    """As torch exports ``arange`` for operator sets that have no Range: places of a table, and a causal mask."""
    draft = Draft(opset)
    ids = draft.input("ids", ["N", "T"], np.int64)

    def moved(kind: str, name: str, axes: list[int]) -> str:
        return str(draft.add(kind, [name, draft.constant(axes)]) if opset > 12 else draft.add(kind, [name], axes=axes))

    length = moved("Unsqueeze", draft.add("Gather", [draft.add("Shape", [ids]), draft.constant(1)]), [0])
    ones = helper.make_tensor("value", TensorProto.INT64, [1], [1])
    listed = draft.add("NonZero", [draft.add("ConstantOfShape", [length], value=ones)])
    places = moved("Squeeze", draft.add("Transpose", [listed], perm=[1, 0]), [1])
    x = draft.add("Add", [draft.add("Gather", [draft.weights(4, 8), ids]), draft.weights(8)])
    x = draft.add("Add", [x, draft.add("Gather", [draft.weights(20, 8), places])])
    later = draft.add("Greater", [moved("Unsqueeze", places, [0]), moved("Unsqueeze", places, [1])])
    scores = draft.add("MatMul", [x, draft.add("Transpose", [x], perm=[0, 2, 1])])
    scores = draft.add("Where", [later, draft.constant(-np.inf, np.float32), scores])
    y = draft.add("MatMul", [draft.add("Softmax", [scores], axis=2), x])
    analysis = assert_exact(draft.model(y), {"N": 2, "T": 12}, [{"N": 1, "T": 5}, {"N": 1, "T": 5}])
    assert analysis.behaviour.limits == ((("min", "T", 20), "T"),)


def test_what_depends_on_data_beside_what_follows_sizes() -> None:
    draft = Draft(17)
    x = draft.add("Relu", [draft.shifted(draft.input("x", ["W"]))])
    chosen = draft.add("Squeeze", [draft.add("NonZero", [x]), draft.constant([0])])
    both = draft.add("Concat", [draft.add("Gather", [x, chosen]), x], axis=0)
    total = draft.add("ReduceSum", [both, draft.constant([0])])
    assert_exact(draft.model(total, chosen, both), {"W": 9}, [{"W": 5}])


def test_positions_that_data_chooses_in_one_line_with_those_of_a_size() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["H", "W"]))
    best = draft.add("ReduceMax", [x], axes=[1], keepdims=0)
    chosen = draft.add("Compress", [x, draft.add("Greater", [best, draft.add("ReduceMean", [best])])], axis=0)
    line = draft.add("Reshape", [chosen, draft.constant([-1])])
    behind = draft.add("Concat", [x, chosen, x], axis=0)
    assert_exact(draft.model(line, behind), {"H": 9, "W": 7}, [{"H": 5, "W": 4}])


def test_a_length_that_data_and_sizes_decide_unevenly_is_refused() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["W"]))
    chosen = draft.add("Compress", [x, draft.add("Greater", [x, draft.constant(0.0, np.float32)])], axis=0)
    steps = [draft.constant([number]) for number in (0, 2**62, 0, 2)]
    half = draft.add("Slice", [chosen, *steps])
    y = draft.add("Concat", [half, x], axis=0)
    found = analyse_model(draft.model(y)).behaviour.refusals
    assert [each.variable for each in found] == ["W"]
    assert "data and sizes decide together" in found[0].reason


@pytest.mark.parametrize("threshold", [None, 0.1])
def test_suppression(threshold: float | None) -> None:
    draft = Draft(17)
    boxes = draft.add("Abs", [draft.shifted(draft.input("boxes", [1, "P", 4]))])
    scores = draft.add("Sigmoid", [draft.shifted(draft.input("scores", [1, 2, "P"]))])
    limits = [draft.constant([3]), draft.constant([0.5], np.float32)]
    if threshold is not None:
        limits.append(draft.constant([threshold], np.float32))
    y = draft.add("NonMaxSuppression", [boxes, scores, *limits])
    chosen = draft.add("Gather", [y, draft.constant(2)], axis=1)
    kept = draft.add("Gather", [boxes, chosen], axis=1)
    assert_exact(draft.model(y, kept), {"P": 20}, [{"P": 11}], refusable=threshold is None)


@given(st.data())
@thorough
def test_ranges(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant(2)])
    half = draft.add("Div", [size, draft.constant(2)])
    kind = data.draw(st.sampled_from(["up", "down", "from half", "steps", "float"]), label="kind")
    bounds = {
        "up": (draft.constant(0), size, draft.constant(1)),
        "down": (draft.add("Sub", [size, draft.constant(1)]), draft.constant(-1), draft.constant(-1)),
        "from half": (half, size, draft.constant(1)),
        "steps": (draft.constant(1), size, draft.constant(2)),
    }
    if kind == "float":
        end = draft.add("Cast", [size], to=1)
        y = draft.add("Range", [draft.constant(0.0, np.float32), end, draft.constant(0.5, np.float32)])
    else:
        y = draft.add("Cast", [draft.add("Range", bounds[kind])], to=1)
    z = draft.add("Softmax", [draft.add("Add", [y, draft.add("ReduceMax", [x], axes=[1, 2])])], axis=2)
    bucket, rows = requests(data, 2, 8, W=1)
    assert_exact(draft.model(z), bucket, rows)


def test_states_and_lengths_of_rows_that_are_positions_of_an_image_lie_as_these_do() -> None:
    draft = Draft(17)
    x, before = draft.input("x", ["L", "H", "W", 3]), draft.input("before", [1, "P", 4])
    lengths = draft.add("Expand", [draft.add("Shape", [x], end=1), draft.add("Shape", [before], start=1, end=2)])
    rows = draft.add("Reshape", [x, draft.constant([0, -1, 3])])
    weights = [draft.weights(1, 12, 3), draft.weights(1, 12, 4)]
    layer = draft.add("GRU", [rows, *weights, "", draft.add("Cast", [lengths], to=6), before], hidden_size=4)
    turned = draft.add("ReverseSequence", [rows, lengths])
    model = draft.model(layer, turned)
    assert_exact(model, {"L": 8, "H": 3, "W": 4, "P": 12}, [{"L": 5, "H": 2, "W": 3, "P": 6}])


@pytest.mark.parametrize("exclusive", [0, 1])
def test_running_products_of_zeros_are_not_all_zeros(exclusive: int) -> None:
    draft = Draft(26)
    x = draft.input("x", ["N", "L", 3])
    y = draft.add("CumProd", [x, draft.constant(2)], exclusive=exclusive)
    total = draft.add("ReduceSum", [y, draft.constant([1])])
    analysis = analyse_model(draft.model(total))
    assert {v.kind for v in analysis.behaviour.verdicts if v.variable == "L"} == {"cleaned" if exclusive else "exact"}


@pytest.mark.parametrize(("opset", "kind"), [(7, "TopK"), (8, "Gather")])
def test_what_old_operators_cannot_clean_is_refused(opset: int, kind: str) -> None:
    draft = Draft(opset)
    x = draft.shifted(draft.input("x", ["N", "W"]))
    y = draft.add("Gather", [x, draft.constant([0, -1])], axis=1)
    if kind == "TopK":
        y = draft.add("TopK", [x], outputs=2, k=1)[0]
    (refusal, *_) = analyse_model(draft.model(y)).behaviour.refusals
    assert "opset" in refusal.fix


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("state", [False, True])
def test_states_that_grow_with_every_position_are_infinite_in_padding_alone(direction: str, state: bool) -> None:
    draft = Draft(17)
    count = 2 if direction == "bidirectional" else 1
    x = draft.shifted(draft.input("x", ["L", "N", 3]))
    growing = draft.constant(np.broadcast_to(1.6 * np.eye(4), (count, 4, 4)), np.float32)
    known = {"hidden_size": 4, "direction": direction, "activations": ["Relu"] * count}
    line, last = draft.add("RNN", [x, draft.weights(count, 4, 3), growing], outputs=2, **known)
    y = last if state else draft.add("ReduceSum", [line, draft.constant([0])])
    assert_exact(draft.model(y), {"N": 2, "L": 400}, [{"N": 1, "L": 5}, {"N": 1, "L": 7}])


@pytest.mark.parametrize(("factor", "refused"), [(0.3, True), (0.5, False)])
def test_a_range_whose_end_is_rounded_to_another_number_is_refused(factor: float, refused: bool) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    length = draft.add("Cast", [draft.add("Gather", [draft.add("Shape", [x]), draft.constant(1)])], to=1)
    end = draft.add("Mul", [length, draft.constant(factor, np.float32)])
    counted = draft.add("Range", [draft.constant(0.0, np.float32), end, draft.constant(1.0, np.float32)])
    model = draft.model(counted, draft.add("Identity", [x]))
    analysis = assert_exact(model, {"N": 2, "L": 200}, [{"N": 1, "L": 170}], refusable=True)
    assert bool(analysis.behaviour.refusals) == refused
