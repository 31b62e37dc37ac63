"""What is true of several sizes together only where none of them is small."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.lengths import as_length
from tests.analysis.drafts import Draft, assert_exact

PAIRS = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 2), (4, 4), (2, 7)]


def _both(draft: Draft) -> str:
    parts = [draft.input("past", ["n", "P", 4]), draft.input("x", ["n", "S", 4])]
    return str(draft.add("Concat", [draft.shifted(each) for each in parts], axis=1))


@pytest.mark.parametrize("bounds", [(0, 5), (-8, 2**62), (2, 9)])
@pytest.mark.parametrize(("past", "new"), PAIRS)
def test_a_window_of_two_lengths_that_may_be_shorter(bounds: tuple[int, int], past: int, new: int) -> None:
    draft = Draft()
    window = draft.add("Slice", [_both(draft), *(draft.constant([each]) for each in (*bounds, 1))])
    mean = draft.add("ReduceSum", [window, draft.constant([1])], keepdims=0)
    assert_exact(draft.model(mean, window), {"n": 1, "P": 16, "S": 16}, [{"n": 1, "P": past, "S": new}])


@pytest.mark.parametrize(("rows", "columns"), PAIRS)
def test_the_first_positions_of_a_grid_that_may_have_fewer(rows: int, columns: int) -> None:
    draft = Draft()
    flat = draft.add("Reshape", [draft.shifted(draft.input("x", ["n", "P", "S"])), draft.constant([0, -1])])
    window = draft.add("Slice", [flat, *(draft.constant([each]) for each in (0, 50, 1))])
    model = draft.model(draft.add("ReduceSum", [window, draft.constant([1])]))
    assert_exact(model, {"n": 1, "P": 16, "S": 16}, [{"n": 1, "P": rows, "S": columns}], refusable=True)


@pytest.mark.parametrize(("past", "new"), PAIRS)
def test_a_branch_that_short_requests_take(past: int, new: int) -> None:
    draft = Draft()
    both = _both(draft)
    length = draft.add("Gather", [draft.add("Shape", [both]), draft.constant(1)])
    short = draft.add("Less", [length, draft.constant(6)])
    bodies = {}
    for name, operator in (("then_branch", "Neg"), ("else_branch", "Abs")):
        value = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        bodies[name] = helper.make_graph([helper.make_node(operator, [both], [f"{name}_y"])], name, [], [value])
    model = draft.model(draft.add("If", [short], **bodies))
    assert_exact(model, {"n": 1, "P": 16, "S": 16}, [{"n": 1, "P": past, "S": new}], refusable=True)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("most", [200, 1 << 20])
def test_small_sizes_of_all_variables_are_looked_at_together(count: int, most: int) -> None:
    names = [f"v{at}" for at in range(count)]
    domain = Domain(dict.fromkeys(names, most))
    total, area = as_length(0), as_length(1)
    for name in names:
        total, area = total + as_length(name), area * as_length(name)
    assert domain.values(total).min() == count
    assert domain.values(area).min() == 1
    for least in range(count + 1, 4 * count):
        assert not domain.at_most(as_length(least), total)
    for size in (2, 3, 8):
        assert not domain.at_most(as_length(size), area)


@pytest.mark.parametrize("step", [2, 16, 32])
def test_small_multiples_are_looked_at_together(step: int) -> None:
    domain = Domain({"H": 1 << 20, "W": 1 << 20})
    for name in ("H", "W"):
        assert domain.require(as_length(name), as_length(name) // step * step)
    area = as_length("H") // step * (as_length("W") // step)
    assert set(range(1, 9)) <= set(np.unique(domain.values(area)).tolist())


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_sizes_that_must_agree_are_looked_at_where_they_do(factor: int) -> None:
    domain = Domain(dict.fromkeys("PST", 1 << 20))
    p, s, t = map(as_length, "PST")
    assert domain.require(p, s * factor)
    assert set(range(1, 2049)) <= set(domain.points["S"].tolist())
    assert domain.equal(p, s * factor)
    for size in (100, 1000, 10_000):
        assert not domain.at_most(s, as_length(size))
        assert not domain.at_most(as_length(size), s)
        assert not domain.at_most(s + t, as_length(size))
    assert domain.require(t, p + s)
    assert set(range(1, 1025)) <= set(domain.points["S"].tolist())
    assert domain.values(t - s * (factor + 1)).max() == 0


@pytest.mark.parametrize("count", [6, 12, 24, 40])
def test_many_variables_are_looked_at_in_pairs_and_together(count: int) -> None:
    """As of a decoder's caches whose dimensions carry no names: each is a variable of its own."""
    names = [f"v{at}" for at in range(count)]
    domain = Domain(dict.fromkeys(names, 1 << 20))
    total, area = as_length(0), as_length(1)
    for name in names:
        total, area = total + as_length(name), area * as_length(name)
    assert domain.values(total).min() == count
    assert domain.values(area).min() == 1  # And none is beyond 64 bits, which would be negative.
    for left, right in ((0, 1), (2, count - 1), (count - 2, count - 1)):
        one, other = as_length(names[left]), as_length(names[right])
        assert not domain.at_most(one * other, as_length(1 << 22))
        assert not domain.at_most(as_length(4), one + other)
        assert domain.values(one + other).min() == 2
        assert not domain.at_most(one, other)
    assert domain.grows(area)
    assert not domain.grows(as_length(names[0]) * 3 - as_length(names[-1]))


@pytest.mark.parametrize("kind", ["Add", "MatMul"])
def test_rows_that_meet_as_many_positions_are_not_independent(kind: str) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "L"])
    y = draft.add(kind, [x, draft.add("Transpose", [x]) if kind == "Add" else x])
    analysis = assert_exact(draft.model(y), {"N": 2, "L": 2}, [{"N": 1, "L": 1}] * 2)
    assert analysis.behaviour.rows is None
