"""Reshape, slice, split, pad, concatenate, tile and transpose: where valid positions lie, and what is beyond them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption

from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough
from tests.analysis.test_reductions import reduced


def consumed(data: Draw, draft: Draft, y: str, rank: int) -> str:
    """Add an operator that would notice padding in the wrong place."""
    kind = data.draw(st.sampled_from(["none", "softmax", "sum", "mean", "max", "gram", "running"]), label="consumer")
    axis = data.draw(st.integers(1, rank - 1), label="consumer's axis")
    if kind == "softmax":
        return str(draft.add("Softmax", [y], axis=axis))
    if kind in ("sum", "mean", "max"):
        name = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[kind]
        return reduced(draft, name, y, [axis], keepdims=0)
    if kind == "gram" and rank > 2:
        order = [*range(rank - 2), rank - 1, rank - 2]
        return str(draft.add("MatMul", [y, draft.add("Transpose", [y], perm=order)]))
    if kind == "running":
        return str(draft.add("CumSum", [y, draft.constant(axis)], reverse=data.draw(st.integers(0, 1))))
    return y


SHAPES = {
    # From [N, C=6, H, W]: dimensions that a Reshape is given, and their number.
    "flatten positions": [0, 0, -1],
    "flatten all": [0, -1],
    "heads": [0, 2, 3, -1],
    "heads and positions": [0, 2, -1, "W"],
    "rows into batch": [-1, "W"],
    "channels into batch": [-1, "H", "W"],
    "split channels": ["N", 3, 2, "H", "W"],
    "windows": ["N", 6, "H/2", 2, "W/2", 2],
    "pairs": [0, 0, "H/2", "2W"],
    "last first": [0, "W", "H", 6],
    "nothing": [0, 0, 0, 0],
    "joined channels": [0, "6H", "W"],
    "merged across": [0, "H", "6W"],
}


def shape_of(draft: Draft, x: str, entries: list[int | str]) -> str:
    """Return a shape tensor whose texts are computed from the input's own shape."""
    size = draft.add("Shape", [x])
    parts = []
    for entry in entries:
        if isinstance(entry, int):
            parts.append(draft.constant([entry], np.int64))
            continue
        letter = next(each for each in "NHW" if each in entry)
        own = draft.add("Gather", [size, draft.constant(["N", "C", "H", "W"].index(letter))])
        if entry.endswith("/2"):
            own = draft.add("Div", [own, draft.constant(2)])
        elif entry[0].isdigit():
            own = draft.add("Mul", [own, draft.constant(int(entry[0]))])
        parts.append(draft.add("Unsqueeze", [own, draft.constant([0])]))
    return str(draft.add("Concat", parts, axis=0))


@given(st.data())
@thorough
def test_reshape(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 6, "H", "W"]))
    if data.draw(st.booleans(), label="conv first"):
        x = draft.add("Conv", [x, draft.weights(6, 6, 3, 3)], pads=[1, 1, 1, 1])
    name = data.draw(st.sampled_from(sorted(SHAPES)), label="shape")
    entries = SHAPES[name]
    y = draft.add("Reshape", [x, shape_of(draft, x, entries)])
    rank = len(entries)
    back = data.draw(st.booleans(), label="back")
    if data.draw(st.booleans(), label="turn"):
        order = [0, *data.draw(st.permutations(range(1, rank)), label="order")]
        y = draft.add("Transpose", [y], perm=order)
    y = consumed(data, draft, y, rank)
    if back and len(draft.nodes) and draft.nodes[-1].op_type == "Softmax":
        y = draft.add("Reshape", [y, shape_of(draft, x, [0, -1])])
    bucket, rows = requests(data, 1, 4, H=2, W=2)
    hard = name in ("rows into batch", "channels into batch", "last first", "merged across", "pairs", "windows")
    assert_exact(draft.model(y), bucket, rows, refusable=hard)


@given(st.data())
@thorough
def test_flatten(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    y = draft.add("Flatten", [x], axis=data.draw(st.sampled_from([1, 2, 3, -1, -2, 0]), label="axis"))
    y = consumed(data, draft, y, 2)
    bucket, rows = requests(data, 1, 4, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, refusable=False)


@given(st.data())
@thorough
def test_slice(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([9, 10, 13, 17]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    if draft.opset >= 11 and data.draw(st.booleans(), label="positive"):
        x = draft.add("Relu", [x])
    bound = st.sampled_from([0, 1, 2, 5, -1, -2, -5, 1 << 40, -(1 << 40)])
    start, end = data.draw(bound, label="start"), data.draw(bound, label="end")
    axis = data.draw(st.sampled_from([2, -1]) if draft.opset >= 10 else st.just(2), label="axis")
    step, follow = 1, "constant"
    if draft.opset < 10:
        y = draft.add("Slice", [x], starts=[start], ends=[end], axes=[axis])
    else:
        step = data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]), label="step")
        follow = data.draw(st.sampled_from(["constant", "half", "less"]), label="end follows")
        ends = draft.constant([end])
        if follow != "constant":
            size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant([2])])
            half = draft.add("Div", [size, draft.constant([2])])
            ends = half if follow == "half" else draft.add("Sub", [size, draft.constant([1])])
        y = draft.add("Slice", [x, draft.constant([start]), ends, draft.constant([axis]), draft.constant([step])])
    if draft.opset >= 13:
        y = consumed(data, draft, y, 3)
    bucket, rows = requests(data, 1, 9, W=1)
    # Of what lies between a place counted from the start and one counted from the end, larger sizes may have less.
    mixed = (start < 0) != (end < 0) or follow != "constant" or step < 0
    assert_exact(draft.model(y), bucket, rows, refusable=(start < 0 and (draft.opset < 10 or mixed)) or step < 0)


@given(st.data())
@thorough
def test_split(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 13, 18]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", 4, "W"]))
    axis = data.draw(st.sampled_from([1, 2, -1, -2]), label="axis")
    kind = data.draw(st.sampled_from(["even", "fixed first", "halves"]), label="kind")
    extra = {"num_outputs": 2} if draft.opset >= 18 and kind == "even" else {}
    inputs = [x]
    if kind != "even" and draft.opset >= 13:
        size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant([axis])])
        first = draft.constant([1]) if kind == "fixed first" else draft.add("Div", [size, draft.constant([3])])
        inputs.append(draft.add("Concat", [first, draft.add("Sub", [size, first])], axis=0))
    one, two = draft.add("Split", inputs, outputs=2, axis=axis, **extra)
    one, two = consumed(data, draft, one, 3), consumed(data, draft, two, 3)
    bucket, rows = requests(data, 1, 5, W=data.draw(st.sampled_from([1, 2])))
    assert_exact(draft.model(one, two), bucket, rows)


@given(st.data())
@thorough
def test_pad(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([9, 11, 13, 18, 19]), label="opset"))
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    modes = ["constant", "reflect", "edge"] + (["wrap"] if draft.opset >= 19 else [])
    mode = data.draw(st.sampled_from(modes), label="mode")
    least = -1 if mode == "constant" else 0
    amount = st.integers(least, 2)
    pads = [0, data.draw(st.integers(0, 1)), *(data.draw(amount) for _ in range(2))]
    pads += [0, 0, *(data.draw(amount) for _ in range(2))]
    value = data.draw(st.sampled_from([0.0, 0.7]), label="value")
    if draft.opset < 11:
        y = draft.add("Pad", [x], mode=mode, pads=pads, value=value)
    else:
        amounts = draft.constant(pads, np.int64)
        if mode == "constant" and data.draw(st.booleans(), label="to a multiple of four"):
            size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant([3])])
            room = draft.add("Mod", [draft.add("Neg", [size]), draft.constant([4])])
            amounts = draft.add("Concat", [draft.constant([0] * 7), room], axis=0)
        y = draft.add("Pad", [x, amounts, draft.constant(value, np.float32)], mode=mode)
    if draft.opset >= 13:
        y = consumed(data, draft, y, 4)
    bucket, rows = requests(data, 3, 7, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_concat(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    parts = [x]
    for _ in range(data.draw(st.integers(1, 2))):
        kind = data.draw(st.sampled_from(["same", "half", "pooled", "constant", "tail"]), label="piece")
        if kind == "same":
            parts.append(draft.add("Tanh", [x]))
        elif kind == "half":
            parts.append(draft.add("Slice", [x, draft.constant([0]), draft.constant([2]), draft.constant([2])]))
        elif kind == "tail":
            parts.append(draft.add("Slice", [x, draft.constant([-2]), draft.constant([1 << 40]), draft.constant([2])]))
        elif kind == "pooled":
            parts.append(draft.add("MaxPool", [x], kernel_shape=[2], strides=[2]))
        else:
            parts.append(draft.add("ReduceMax", [x], axes=[2]))
    parts = data.draw(st.permutations(parts))
    y = draft.add("Concat", parts, axis=2)
    kind = data.draw(st.sampled_from(["consumed", "conv", "reshape", "slice"]), label="then")
    if kind == "consumed":
        y = consumed(data, draft, y, 3)
    elif kind == "conv":
        y = draft.add("Conv", [y, draft.weights(3, 2, 3)], pads=[1, 1])
    elif kind == "reshape":
        y = draft.add("Reshape", [y, draft.constant([0, -1])])
        y = draft.add("Softmax", [y], axis=1)
    else:
        y = draft.add("Slice", [y, draft.constant([-3]), draft.constant([1 << 40]), draft.constant([2])])
    bucket, rows = requests(data, 2, 8, W=1)
    assert_exact(draft.model(y), bucket, rows)


@given(st.data())
@thorough
def test_tile_and_expand(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    size = draft.add("Gather", [draft.add("Shape", [x]), draft.constant([2])])
    kind = data.draw(st.sampled_from(["tile", "tile by size", "expand", "expand by size", "repeat"]), label="kind")
    if kind == "tile":
        y, rank = draft.add("Tile", [x, draft.constant([1, 2, 3])]), 3
    elif kind == "tile by size":
        y, rank = draft.add("Tile", [x, draft.add("Concat", [draft.constant([1, 1]), size], axis=0)]), 3
    elif kind == "expand":
        wide = draft.add("Unsqueeze", [x, draft.constant([2])])
        y, rank = draft.add("Expand", [wide, draft.constant([1, 1, 3, 1])]), 4
    elif kind == "expand by size":
        wide = draft.add("Unsqueeze", [x, draft.constant([3])])
        y, rank = draft.add("Expand", [wide, draft.add("Concat", [draft.constant([1, 1, 1]), size], axis=0)]), 4
    else:
        wide = draft.add("Expand", [draft.add("Unsqueeze", [x, draft.constant([3])]), draft.constant([1, 1, 1, 2])])
        y, rank = draft.add("Reshape", [wide, draft.constant([0, 2, -1])]), 3
    y = consumed(data, draft, y, rank)
    bucket, rows = requests(data, 1, 6, W=1)
    assert_exact(draft.model(y), bucket, rows)


@pytest.mark.parametrize("kind", ["DepthToSpace", "SpaceToDepth"])
@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_and_depth(kind: str, mode: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 8, "H", "W"]))
    y = draft.add(kind, [x], blocksize=2, **({"mode": mode} if kind == "DepthToSpace" else {}))
    y = draft.add("Conv", [y, draft.weights(3, 2 if kind == "DepthToSpace" else 32, 3, 3)], pads=[1, 1, 1, 1])
    assert_exact(draft.model(y), {"N": 2, "H": 8, "W": 12}, [{"N": 1, "H": 4, "W": 6}, {"N": 1, "H": 8, "W": 2}])


def test_squeeze_without_axes_is_refused_where_a_size_may_be_one() -> None:
    draft = Draft(17)
    y = draft.add("Squeeze", [draft.input("x", ["N", 1, "W"])])
    analysis = assert_exact(draft.model(y), {"N": 2, "W": 4}, [{"N": 1, "W": 4}], refusable=True)
    assert analysis.behaviour.refusals[0].operator == "Squeeze"


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("shift", [-1, 0, 2])
def test_triangle(upper: int, shift: int) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    square = draft.add("MatMul", [x, draft.add("Transpose", [x], perm=[0, 2, 1])])
    y = draft.add("Trilu", [square, draft.constant(shift)], upper=upper)
    y = draft.add("MatMul", [y, x])
    assert_exact(draft.model(y), {"N": 2, "T": 9}, [{"N": 1, "T": 5}, {"N": 1, "T": 8}])


def test_a_triangle_from_a_diagonal_that_a_size_tells() -> None:
    draft = Draft(17)
    x, past = draft.shifted(draft.input("x", ["N", "T", 3])), draft.input("past", ["N", "P", 3])
    keys = draft.add("Concat", [past, x], axis=1)
    scores = draft.add("MatMul", [x, draft.add("Transpose", [keys], perm=[0, 2, 1])])
    size = draft.add("Slice", [draft.add("Shape", [scores]), draft.constant([1]), draft.constant([3])])
    lowest = draft.add("Expand", [draft.constant(-3e38, np.float32), size])
    before = draft.add("Squeeze", [draft.add("Shape", [past], start=1, end=2)])
    later = draft.add("Trilu", [lowest, draft.add("Add", [before, draft.constant(1)])], upper=1)
    y = draft.add("MatMul", [draft.add("Softmax", [draft.add("Add", [scores, later])]), keys])
    rows = [{"N": 1, "T": 5, "P": 2}, {"N": 1, "T": 5, "P": 2}]
    assert_exact(draft.model(y), {"N": 2, "T": 9, "P": 4}, rows)


def test_positions_as_many_as_data_says() -> None:
    draft = Draft(17)
    durations = draft.add("Ceil", [draft.add("Exp", [draft.input("x", ["T"])])])
    ends = draft.add("CumSum", [durations, draft.constant(0)])
    most = draft.add("Cast", [draft.add("ReduceSum", [durations], keepdims=0)], to=7)
    frames = draft.add("Cast", [draft.add("Range", [draft.constant(0), most, draft.constant(1)])], to=1)
    before = draft.add("Less", [frames, draft.add("Unsqueeze", [ends, draft.constant([1])])])
    spread = draft.add("ReduceSum", [draft.add("Cast", [before], to=1), draft.constant([0])], keepdims=0)
    assert_exact(draft.model(spread), {"T": 9}, [{"T": 4}])


def test_channels_put_together_are_cut_otherwise() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 4, "H", "W"]))
    whole = draft.add("Concat", [x, draft.add("Tanh", [x])], axis=1)
    y = draft.add("Reshape", [whole, draft.constant([0, 2, 4, -1])])
    assert_exact(draft.model(draft.add("Softmax", [y], axis=3)), {"N": 2, "H": 6, "W": 5}, [{"N": 1, "H": 4, "W": 3}])


@pytest.mark.parametrize("first", [0, -1])
def test_one_hot_numbers_of_as_many_places_as_a_size(first: int) -> None:
    draft = Draft(17)
    x, at = draft.shifted(draft.input("x", ["N", "T", 3])), draft.input("at", ["N", 2], np.int64)
    depth = draft.add("Shape", [x], start=1, end=2)
    at = draft.add("Add", [at, draft.constant(first)])
    chosen = draft.add("OneHot", [at, depth, draft.constant([0.0, 1.0], np.float32)])
    y = draft.add("MatMul", [chosen, x])
    assert_exact(draft.model(y), {"N": 2, "T": 9}, [{"N": 1, "T": 4}, {"N": 1, "T": 7}])


@pytest.mark.parametrize("start", [-5, 0, 2])
@pytest.mark.parametrize("end", [-3, 0, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_bounds_that_are_counted_from_either_end(start: int, end: int, turned: bool) -> None:
    for width in range(1, 8):
        draft = Draft()
        x = draft.shifted(draft.input("x", ["N", 2, "W"]))
        size = draft.add("Slice", [draft.add("Shape", [x]), draft.constant([2]), draft.constant([3])])
        bounds = [draft.add("Add", [size, draft.constant([each])]) for each in (start, end)]
        bounds = [draft.add("Neg", [each]) for each in bounds] if turned else bounds
        y = draft.add("Slice", [x, *bounds, draft.constant([2])])
        try:
            assert_exact(draft.model(y), {"N": 2, "W": 12}, [{"N": 1, "W": width}] * 2, refusable=True)
        except UnsatisfiedAssumption:
            continue  # Nothing is left at this size.


def test_one_hot_numbers_that_lie_before_the_first_place_are_none() -> None:
    draft = Draft(17)
    x, at = draft.input("x", ["N", "T"]), draft.input("at", ["N", 3], np.int64)
    depth = draft.add("Shape", [x], start=1, end=2)
    y = draft.add("OneHot", [at, depth, draft.constant([0.0, 1.0], np.float32)])
    given = {"at": lambda shape, generator: np.array([[-6, -1, 7]])}
    assert_exact(draft.model(y), {"N": 2, "T": 5}, [{"N": 1, "T": 5}] * 2, data=given)


@pytest.mark.parametrize("kind", ["Slice", "Pad", "TopK", "Resize", "Expand"])
def test_a_table_of_as_many_lines_as_there_are_rows_tells_which_row_is_which(kind: str) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", 3])
    rows, table = draft.add("Shape", [x], end=1), draft.weights(8, 3)
    if kind == "Slice":
        lines = draft.add("Slice", [table, draft.constant([0]), rows, draft.constant([0])])
    elif kind == "Pad":
        more = draft.add("Sub", [rows, draft.constant([1])])
        pads = draft.add("Concat", [draft.constant([0, 0]), more, draft.constant([0])], axis=0)
        lines = draft.add("Pad", [draft.weights(1, 3), pads])
    elif kind == "TopK":
        largest, _ = draft.add("TopK", [draft.weights(8), rows], outputs=2)
        lines = draft.add("Unsqueeze", [largest, draft.constant([1])])
    else:
        size = draft.add("Concat", [rows, draft.constant([3])], axis=0)
        given = {"Resize": [table, "", "", size], "Expand": [draft.weights(1, 3), size]}[kind]
        lines = draft.add(kind, given)
    model = draft.model(draft.add("Add", [x, lines]))
    analysis = assert_exact(model, {"N": 3}, [{"N": 1}] * 3, bucket_limits={"N": 8})
    assert analysis.behaviour.rows == ("N" if kind == "Expand" else None)
