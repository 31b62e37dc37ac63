"""Writing by computed number, and numbers that tell positions or rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import numpy_helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}
SUMMED = {"keepdims": 0}


def sizes(draft: Draft, x: str, *axes: int) -> list[str]:
    shape = draft.add("Shape", [x])
    return [draft.add("Gather", [shape, draft.constant(axis, np.int64)]) for axis in axes]


def counted(draft: Draft, end: str) -> str:
    return str(draft.add("Range", [draft.constant(0, np.int64), end, draft.constant(1, np.int64)]))


def unsqueezed(draft: Draft, x: str, *axes: int) -> str:
    return str(draft.add("Unsqueeze", [x, draft.constant(axes, np.int64)]))


@pytest.mark.parametrize("reduction", ["none", "add", "max"])
@pytest.mark.parametrize("first", [0, -3])
@pytest.mark.parametrize("length", ["T", 6])
def test_padding_writes_nowhere_in_scatter_nd(reduction: str, first: int, length: int | str) -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", [length, 3]))
    numbers = draft.add("Add", [draft.input("at", ["S", 1], np.int64), draft.constant(first, np.int64)])
    updates = draft.shifted(draft.input("new", ["S", 3]))
    y = draft.add("ScatterND", [x, numbers, updates], reduction=reduction)
    data = {"at": lambda shape, generator: generator.permutation(5)[: shape[0]].reshape(shape)}
    sizes = {"T": 6} if length == "T" else {}
    assert_exact(draft.model(y), {**dict.fromkeys(sizes, 9), "S": 5}, [{**sizes, "S": 3}], data=data)


@pytest.mark.parametrize("axis", [1, 2])
def test_padding_writes_nowhere_in_scatter_elements(axis: int) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 5]))
    numbers = draft.add("Cast", [draft.add("Abs", [draft.input("at", ["N", "T" if axis == 2 else "S", 5])])], to=7)
    numbers = draft.add("Mod", [numbers, draft.constant(4, np.int64)])
    y = draft.add("ScatterElements", [x, numbers, draft.shifted(draft.add("Cast", [numbers], to=1))], axis=axis)
    if axis == 2:
        assert_exact(draft.model(y), {"N": 2, "T": 9}, ROWS)
    else:
        data = {"at": lambda shape, generator: np.broadcast_to(np.arange(shape[1])[:, None], shape).astype(np.float32)}
        rows = [{"N": 1, "T": 4, "S": 3}, {"N": 1, "T": 7, "S": 2}]
        assert_exact(draft.model(y), {"N": 2, "T": 9, "S": 4}, rows, data=data)


def test_slices_are_written_by_computed_places_as_torch_exports_an_assignment() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "T", 4])
    (length,) = sizes(draft, x, 1)
    end, one = draft.constant([np.iinfo(np.int64).max], np.int64), unsqueezed(draft, length, 0)
    mask = draft.add("ConstantOfShape", [one])
    for number, (start, stop) in enumerate([(0, -3), (-3, -1), (-1, None)]):
        bounds = draft.constant([start], np.int64), end if stop is None else draft.constant([stop], np.int64)
        places = draft.add("Slice", [counted(draft, length), *bounds, draft.constant([0], np.int64)])
        filled = draft.add("Expand", [draft.constant([float(number + 1)], np.float32), draft.add("Shape", [places])])
        mask = draft.add("ScatterND", [mask, unsqueezed(draft, places, 1), filled])
    y = draft.add("ReduceSum", [draft.add("Mul", [x, unsqueezed(draft, mask, 1)]), draft.constant([1], np.int64)])
    analysis = assert_exact(draft.model(y), BUCKET, ROWS)
    assert analysis.behaviour.rows == "N"


def test_order_undone_by_scatter_elements_as_packed_sequences_are_exported() -> None:
    draft = Draft(17)
    x, lengths = draft.input("x", ["N", "T", 3]), draft.input("lengths", ["N"], np.int64)
    count = draft.add("Shape", [lengths])
    _, order = draft.add("TopK", [lengths, count], outputs=2)
    numbers = counted(draft, draft.add("Squeeze", [count]))
    zeros = draft.add("ConstantOfShape", [count], value=numpy_helper.from_array(np.zeros(1, np.int64)))
    back = draft.add("ScatterElements", [zeros, order, numbers], axis=0)
    y = draft.add("Gather", [draft.shifted(draft.add("Gather", [x, order], axis=0)), back], axis=0)
    assert_exact(draft.model(y), {"N": 5, "T": 9}, [{"N": 3, "T": 4}])


def flattened(draft: Draft, mask: str) -> str:
    """Read ``mask[n, t]`` as torch exports it: at ``n · T + t`` of the flattened mask."""
    rows, length = sizes(draft, mask, 0, 1)
    left = draft.add("Mul", [unsqueezed(draft, counted(draft, rows), 1, 2, 3), length])
    numbers = draft.add("Add", [unsqueezed(draft, counted(draft, length), 0, 1, 2), left])
    return str(draft.add("Gather", [draft.add("Reshape", [mask, draft.constant([-1], np.int64)]), numbers]))


def by_vectors(draft: Draft, mask: str) -> str:
    """Read ``mask[n, t]`` by GatherND of a row and a column, repeated for every query."""
    rows, length = sizes(draft, mask, 0, 1)
    n, t = unsqueezed(draft, counted(draft, rows), 1, 2, 3), unsqueezed(draft, counted(draft, length), 0, 1, 2)
    whole = draft.add("Shape", [draft.add("Max", [draft.add("Max", [n, t]), unsqueezed(draft, t, 0)])])
    whole = draft.add("Slice", [whole, draft.constant([1], np.int64), draft.constant([5], np.int64)])
    parts = [unsqueezed(draft, draft.add("Expand", [each, whole]), 4) for each in (n, t)]
    return str(draft.add("GatherND", [mask, draft.add("Concat", parts, axis=-1)]))


@pytest.mark.parametrize("read", [flattened, by_vectors])
def test_a_mask_read_by_the_number_of_each_row_keeps_rows_apart(read: Callable[[Draft, str], str]) -> None:
    draft = Draft(17)
    scores, mask = draft.shifted(draft.input("x", ["N", 2, "T", "T"])), draft.input("mask", ["N", "T"], np.int64)
    hidden = draft.add(
        "Where", [draft.add("Cast", [read(draft, mask)], to=9), scores, draft.constant(-1e4, np.float32)]
    )
    analysis = assert_exact(draft.model(draft.add("Softmax", [hidden], axis=-1)), BUCKET, ROWS)
    assert analysis.behaviour.rows == "N"


@pytest.mark.parametrize("read", [flattened, by_vectors])
def test_a_mask_of_images_read_so_keeps_rows_apart(read: Callable[[Draft, str], str]) -> None:
    draft = Draft(17)
    x, mask = draft.shifted(draft.input("x", ["N", 4, "H", "W"])), draft.input("mask", ["N", "H", "W"], np.int64)
    pixels = draft.add("Transpose", [draft.add("Reshape", [x, draft.constant([0, 0, -1])])], perm=[0, 2, 1])
    scores = unsqueezed(draft, draft.add("MatMul", [pixels, draft.add("Transpose", [pixels], perm=[0, 2, 1])]), 1)
    flat = draft.add("Reshape", [mask, draft.constant([0, -1])])
    seen = draft.add("Cast", [read(draft, flat)], to=9)
    weights = draft.add("Softmax", [draft.add("Where", [seen, scores, draft.constant(-1e4, np.float32)])], axis=-1)
    y = draft.add("MatMul", [weights, unsqueezed(draft, pixels, 1)])
    rows = [{"N": 1, "H": 2, "W": 3}, {"N": 1, "H": 4, "W": 2}]
    analysis = assert_exact(draft.model(y), {"N": 2, "H": 5, "W": 4}, rows)
    assert analysis.behaviour.rows == "N"


def test_numbers_that_are_cleaned_for_a_table_still_tell_positions() -> None:
    draft = Draft(17)
    mask = draft.input("mask", ["N", "T"], np.int64)
    rows, size = sizes(draft, mask, 0, 1)
    t = counted(draft, size)
    table = draft.add("Gather", [draft.weights(16, 3), t])
    n, t = unsqueezed(draft, counted(draft, rows), 1, 2), unsqueezed(draft, t, 0, 2)
    whole = draft.add("Shape", [draft.add("Max", [n, t])])
    parts = [draft.add("Expand", [each, whole]) for each in (n, t)]
    read = draft.add("GatherND", [mask, draft.add("Concat", parts, axis=-1)])
    y = draft.add("Mul", [table, unsqueezed(draft, draft.add("Cast", [read], to=1), 2)])
    analysis = assert_exact(draft.model(draft.add("ReduceSum", [y, draft.constant([1], np.int64)])), BUCKET, ROWS)
    assert analysis.behaviour.rows == "N"


def test_numbers_that_tell_the_row_are_not_alike_for_all_rows() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "T"])
    rows = draft.add("Cast", [unsqueezed(draft, counted(draft, *sizes(draft, x, 0)), 1)], to=1)
    assert analyse_model(draft.model(draft.add("Add", [x, rows]))).behaviour.rows != "N"


@pytest.mark.parametrize("kind", ["Trilu", "EyeLike"])
def test_triangles_over_rows_tell_rows_apart(kind: str) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "T"])
    assert analyse_model(draft.model(draft.add("Mul", [x, draft.add(kind, [x])]))).behaviour.rows is None


@pytest.mark.parametrize("kind", ["ScatterND", "ScatterElements"])
def test_rows_that_write_to_one_place_depend_on_one_another(kind: str) -> None:
    draft = Draft(17)
    x, at = draft.input("x", ["N"]), draft.input("at", ["N"], np.int64)
    numbers = unsqueezed(draft, at, 1) if kind == "ScatterND" else at
    histogram = draft.add(kind, [draft.constant(np.zeros(5), np.float32), numbers, x])
    model = draft.model(draft.add("Add", [x, draft.add("ReduceSum", [histogram], **SUMMED)]))
    analysis = assert_exact(model, {"N": 4}, [{"N": 3}])
    assert analysis.behaviour.rows is None


def test_a_node_whose_inputs_do_not_fit_is_refused_by_name() -> None:
    draft = Draft(17)
    x = draft.input("x", ["T", 3])
    written = draft.add("ScatterND", [x, draft.constant([[0]], np.int64), draft.constant(0.0, np.float32)])
    (refusal,) = analyse_model(draft.model(written)).behaviour.refusals
    assert (refusal.operator, "do not go together" in refusal.reason) == ("ScatterND", True)


@pytest.mark.parametrize("turned", [True, False])
def test_one_number_where_a_mask_is_true_as_torch_exports_it(turned: bool) -> None:
    """The list of positions, as long as data says, and the rows in it are gone: rows stay independent."""
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T", 4]))
    mask = draft.add(
        "Expand", [unsqueezed(draft, draft.input("hidden", ["N", "T"], np.bool_), 2), draft.add("Shape", [x], start=0)]
    )
    count = draft.add("ReduceSum", [draft.add("Reshape", [draft.add("Cast", [mask], to=7), draft.constant([-1])])])
    copies = draft.add("Expand", [draft.constant(-2.5, np.float32), count])
    if turned:
        copies = draft.add("Reshape", [copies, draft.constant([-1], np.int64)])
    listed = draft.add("Transpose", [draft.add("NonZero", [mask])], perm=[1, 0])
    y = draft.add("ReduceSum", [draft.add("ScatterND", [x, listed, copies]), draft.constant([1], np.int64)], **SUMMED)
    data = {"hidden": lambda shape, generator: generator.random(shape) < 0.5}
    model = draft.model(y)
    assert_exact(model, BUCKET, ROWS, data=data)
    found = analyse_model(model)
    assert found.behaviour.rows == "N"
    assert "NonZero" not in {node.op_type for node in found.cleaned.graph.node}


def test_other_numbers_where_a_mask_is_true_stay_refused() -> None:
    draft = Draft(18)
    x = draft.input("x", ["N", "T"])
    mask = draft.add("Expand", [draft.input("hidden", ["N", "T"], np.bool_), draft.add("Shape", [x])])
    listed = draft.add("Transpose", [draft.add("NonZero", [mask])], perm=[1, 0])
    y = draft.add("ScatterND", [x, listed, draft.input("new", ["S"])])
    kinds = {each.kind for each in analyse_model(draft.model(y)).behaviour.verdicts}
    assert kinds == {"refused"}


@pytest.mark.parametrize("kind", ["written", "weighed", "read"])
def test_as_many_as_data_says_and_as_a_size_says_one_after_another(kind: str) -> None:
    """As graph convolutions have edges: those between two nodes, and one from each node to itself."""
    draft = Draft(18)
    x, edges = draft.shifted(draft.input("x", ["V", 3])), draft.input("edges", [2, "E"], np.int64)
    ends = [draft.add("Gather", [edges, draft.constant(at)]) for at in (0, 1)]
    apart = draft.add("NonZero", [draft.add("Not", [draft.add("Equal", ends)])])
    kept = draft.add("Gather", [edges, draft.add("Squeeze", [apart, draft.constant([0])])], axis=1)
    size = draft.add("Squeeze", [draft.add("Shape", [x], start=0, end=1)])
    own = draft.add(
        "Unsqueeze", [draft.add("Range", [draft.constant(0), size, draft.constant(1)]), draft.constant([0])]
    )
    every = draft.add("Concat", [kept, draft.add("Expand", [own, draft.constant([2, 1])])], axis=1)
    start, end = (draft.add("Gather", [every, draft.constant(at)]) for at in (0, 1))
    sent = draft.add("Gather", [x, start])
    if kind == "written":
        wide = draft.add("Expand", [draft.add("Unsqueeze", [end, draft.constant([1])]), draft.constant([1, 3])])
        zeros = draft.add("Mul", [x, draft.constant(0.0, np.float32)])
        y = draft.add("ScatterElements", [zeros, wide, sent], axis=0, reduction="add")
    elif kind == "weighed":
        weights = draft.add("Softmax", [draft.add("ReduceSum", [sent, draft.constant([1])], keepdims=0)], axis=0)
        y = draft.add("MatMul", [weights, sent])
    else:
        y = draft.add("ReduceMax", [draft.add("Gather", [sent, draft.constant([0, 1])])], keepdims=0)
    numbers = {"edges": lambda shape, generator: generator.integers(0, 4, shape)}
    assert_exact(draft.model(y), {"V": 9, "E": 12}, [{"V": 5, "E": 7}], data=numbers)


def ends_of_rows(draft: Draft, x: str, lengths: str) -> tuple[str, str]:
    """Return the numbers of rows, and of the last position of each."""
    count = draft.add("Squeeze", [draft.add("Shape", [x], start=0, end=1)])
    rows = draft.add("Range", [draft.constant(0), count, draft.constant(1)])
    return rows, draft.add("Sub", [lengths, draft.constant([1])])


@pytest.mark.parametrize("several", [False, True])
def test_each_row_writes_into_itself(several: bool) -> None:
    """As speech models mark where each row ends: ``mask[arange(rows), lengths - 1] = 1``."""
    draft = Draft(18)
    x, lengths = draft.shifted(draft.input("x", ["N", "T"])), draft.input("lengths", ["N"], np.int64)
    rows, last = ends_of_rows(draft, x, lengths)
    if several:  # All positions up to the end, in a bucket those of padding too.
        size = draft.add("Squeeze", [draft.add("Shape", [x], start=1, end=2)])
        every = draft.add("Range", [draft.constant(0), size, draft.constant(1)])
        wide = draft.add("Concat", [draft.add("Shape", [x]), draft.constant([1])], axis=0)
        parts = [
            draft.add("Unsqueeze", [rows, draft.constant([1, 2])]),
            draft.add("Unsqueeze", [last, draft.constant([1, 2])]),
        ]
        parts[1] = draft.add("Sub", [parts[1], draft.add("Unsqueeze", [every, draft.constant([0, 2])])])
        parts[1] = draft.add("Max", [parts[1], draft.constant(0)])
        parts = [draft.add("Expand", [part, wide]) for part in parts]
        updates = draft.add("Expand", [draft.constant(0.5, np.float32), draft.add("Shape", [x])])
    else:
        parts = [draft.add("Unsqueeze", [part, draft.constant([1])]) for part in (rows, last)]
        updates = draft.add("Expand", [draft.constant(0.5, np.float32), draft.add("Shape", [lengths])])
    places = draft.add("Concat", parts, axis=-1)
    y = draft.add("ScatterND", [x, places, updates], **({"reduction": "add"} if several else {}))
    total = draft.add("CumSum", [y, draft.constant(1)], reverse=1)
    content = {"lengths": lambda shape, generator: generator.integers(1, 5, shape)}
    analysis = assert_exact(draft.model(total), BUCKET, ROWS, data=content)
    assert analysis.behaviour.rows == "N"


def test_rows_that_write_where_they_are_numbered_are_not_alike() -> None:
    draft = Draft(18)
    x = draft.shifted(draft.input("x", ["N", "T"]))
    rows, _ = ends_of_rows(draft, x, draft.constant([1], np.int64))
    parts = [
        draft.add("Unsqueeze", [part, draft.constant([1])])
        for part in (rows, draft.add("Mod", [rows, draft.constant(2)]))
    ]
    updates = draft.add("Expand", [draft.constant(0.5, np.float32), draft.add("Shape", [rows])])
    y = draft.add("ScatterND", [x, draft.add("Concat", parts, axis=-1), updates])
    assert analyse_model(draft.model(y)).behaviour.rows is None


@pytest.mark.parametrize("form", ["own", "first", "turned", "both"])
def test_a_place_that_data_chooses_in_each_row_keeps_rows_apart(form: str) -> None:
    """As of the last token of each row, ``x[arange(rows), lengths - 1]``; it may be counted from the end."""
    draft = Draft(17)
    x, chosen = draft.shifted(draft.input("x", ["N", "T", 3])), draft.input("at", ["N"], np.int64)
    (rows,) = sizes(draft, x, 0)
    number = counted(draft, rows)
    if form == "first":
        number = draft.add("Mul", [chosen, draft.constant(0)])
    if form == "turned":
        number = draft.add("Sub", [draft.add("Sub", [rows, draft.constant(1)]), number])
    place = draft.add("Mul", [number, draft.constant(1)]) if form == "both" else chosen
    places = draft.add("Concat", [unsqueezed(draft, number, 1), unsqueezed(draft, place, 1)], axis=1)
    model = draft.model(draft.add("GatherND", [x, places]))
    data = {"at": lambda shape, generator: generator.integers(-4, 4, shape)}
    analysis = assert_exact(model, {"N": 3, "T": 9}, [{"N": 1, "T": 4}, {"N": 1, "T": 7}, {"N": 1, "T": 9}], data=data)
    assert (analysis.behaviour.rows == "N") == (form == "own")
