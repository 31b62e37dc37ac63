"""What is put beside a tensor: Pad, and copies that fill up to a multiple."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.drafts import Draft, assert_exact


@pytest.mark.parametrize("fixed", [True, False])
def test_as_many_positions_added_at_the_start_as_the_size_says(fixed: bool) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    shape = draft.add("Shape", [x])
    length = draft.add("Slice", [shape, draft.constant([1]), draft.constant([2])])
    zero = draft.constant([0])
    pads = draft.add("Concat", [zero, length, zero, zero, length, zero], axis=0)
    widened = draft.add("Pad", [draft.weights(1, 5, 3) if fixed else x, pads, draft.constant(0.5, np.float32)])
    start = draft.add("Sub", [length, draft.constant([1])])
    cut = draft.add("Slice", [widened, start, draft.add("Add", [start, length]), draft.constant([1])])
    assert_exact(draft.model(draft.add("Add", [x, cut])), {"N": 2, "T": 9}, [{"N": 1, "T": 4}, {"N": 1, "T": 4}])


@pytest.mark.parametrize("kind", ["Expand", "ConstantOfShape", "last", "Tile"])
@pytest.mark.parametrize("behind", [True, False])
def test_copies_that_fill_up_to_a_multiple(kind: str, behind: bool) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    size = draft.add("Shape", [x], start=1, end=2)
    more = draft.add("Sub", [draft.constant([4]), draft.add("Mod", [size, draft.constant([4])])])
    more = draft.add("Mod", [more, draft.constant([4])])
    shape = draft.add("Concat", [draft.add("Shape", [x], end=1), more, draft.constant([3])], axis=0)
    if kind == "ConstantOfShape":
        copies = draft.add("ConstantOfShape", [shape])
    else:
        ends = draft.add("Sub", [size, draft.constant([1])]), draft.constant([1 << 62]), draft.constant([1])
        one = draft.constant(0.5, np.float32) if kind == "Expand" else draft.add("Slice", [x, *ends])
        times = draft.add("Concat", [draft.constant([1]), more, draft.constant([1])], axis=0)
        copies = draft.add("Tile", [one, times]) if kind == "Tile" else draft.add("Expand", [one, shape])
    whole = draft.add("Concat", [x, copies] if behind else [copies, x], axis=1)
    parts = draft.add("Reshape", [whole, draft.constant([0, -1, 4, 3])])
    rows = [{"N": 1, "T": 5}, {"N": 1, "T": 8}, {"N": 1, "T": 2}]
    y = draft.add("Softmax", [draft.add("ReduceMean", [parts], axes=[2])], axis=1)
    assert_exact(draft.model(y), {"N": 3, "T": 9}, rows, refusable=not behind)


def test_an_infinite_number_beside_what_is_finite_is_not_taken_for_finite() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "L", 2]))
    whole = draft.add("Pad", [x, draft.constant([0, 0, 1, 0, 0, 0]), draft.constant(-np.inf, np.float32)])
    y = draft.add("Exp", [draft.add("ReduceSum", [whole, draft.constant([1])])])
    assert_exact(draft.model(y), {"N": 2, "L": 6}, [{"N": 1, "L": 3}, {"N": 1, "L": 5}])


def test_what_lies_beyond_an_axis_of_pieces_is_not_known_once_they_are_brought_together() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L", "M"])
    flat = draft.add("Reshape", [x, draft.constant([0, -1])])
    led = draft.add("Pad", [draft.add("Concat", [flat, flat], axis=1), draft.constant([0, 1, 0, 0])])
    y = draft.add("ReduceSum", [led, draft.constant([1])])
    assert_exact(draft.model(y), {"N": 2, "L": 8, "M": 8}, [{"N": 1, "L": 5, "M": 7}] * 2)


@pytest.mark.parametrize("mode", ["wrap", "edge"])
def test_positions_taken_away_at_one_end_are_not_repeated_at_the_other(mode: str) -> None:
    draft = Draft(21)
    x = draft.shifted(draft.input("x", ["N", "L"]))
    model = draft.model(draft.add("Pad", [x, draft.constant([0, -1, 0, 3])], mode=mode))
    analysis = assert_exact(model, {"N": 2, "L": 8}, [{"N": 1, "L": 5}, {"N": 1, "L": 7}], refusable=True)
    assert bool(analysis.behaviour.refusals) == (mode == "wrap")
