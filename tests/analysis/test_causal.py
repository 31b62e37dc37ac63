"""Causal masks as exporters write them: exact as they are where they surely hide padding, cleaned elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import Analysis
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough

_WIDTH, _LONGEST = 4, 24
_LOWEST = float(np.finfo(np.float32).min)
_BUCKET, _ROWS = {"N": 3, "T": 9}, [{"N": 1, "T": size} for size in (1, 5, 9)]


def length(draft: Draft, x: str) -> str:
    return str(draft.add("Shape", [x], start=1, end=2))


def counted(draft: Draft, x: str, axis: int) -> str:
    """Return 0, 1, 2, … along the rows [T, 1] or the columns [1, T]."""
    end = draft.add("Squeeze", [length(draft, x)])
    positions = draft.add("Range", [draft.constant(0), end, draft.constant(1)])
    return str(draft.add("Unsqueeze", [positions, draft.constant([1 - axis])]))


def stored(draft: Draft, x: str, triangle: Any) -> str:
    """Cut a stored square to the length, along both axes."""
    whole, zero, size = draft.constant(triangle), draft.constant([0]), length(draft, x)
    for axis in (0, 1):
        whole = draft.add("Slice", [whole, zero, size, draft.constant([axis])])
    return str(whole)


def hidden(draft: Draft, x: str, form: str) -> str:
    """Return truth values [T, T]: whether a column is behind its row."""
    if form == "stored":
        return str(draft.add("Not", [stored(draft, x, np.tril(np.ones((_LONGEST, _LONGEST), bool)))]))
    if form == "less":
        return str(draft.add("Less", [counted(draft, x, 0), counted(draft, x, 1)]))
    if form == "at most":
        return str(draft.add("Not", [draft.add("LessOrEqual", [counted(draft, x, 1), counted(draft, x, 0)])]))
    size = length(draft, x)
    ones = draft.add("Expand", [draft.constant(1.0, np.float32), draft.add("Concat", [size, size], axis=0)])
    cut = draft.add("Trilu", [ones, draft.constant(1)], upper=1)
    return str(draft.add("Cast", [cut], to=9))


def bounded(draft: Draft, x: str) -> str:
    return str(draft.add("LayerNormalization", [x, draft.weights(_WIDTH), draft.weights(_WIDTH, seed=1)]))


def attend(draft: Draft, x: str, mask: str, low: float, how: str, extra: str = "") -> str:
    """Attend with scores that a mask of truth values hides, by choice or by what is added."""
    query, key, value = (draft.add("MatMul", [x, draft.weights(_WIDTH, _WIDTH, seed=at)]) for at in range(3))
    scores = draft.add("MatMul", [query, draft.add("Transpose", [key], perm=[0, 2, 1])])
    if extra:
        scores = draft.add("Add", [scores, extra])
    bottom, zero = draft.constant(low, np.float32), draft.constant(0.0, np.float32)
    if how == "chosen":
        scores = draft.add("Where", [mask, bottom, scores])
    elif how == "added":
        scores = draft.add("Add", [scores, draft.add("Where", [mask, bottom, zero])])
    else:
        scores = draft.add("Add", [scores, draft.add("Mul", [draft.add("Cast", [mask], to=1), bottom])])
    return str(draft.add("Add", [x, draft.add("MatMul", [draft.add("Softmax", [scores], axis=-1), value])]))


def is_untouched(analysis: Analysis) -> bool:
    return analysis.places == 0 and all(verdict.kind == "exact" for verdict in analysis.behaviour.verdicts)


@given(st.data())
@thorough
def test_all_forms(data: Draw) -> None:
    form = data.draw(st.sampled_from(["stored", "less", "at most", "cut"]), label="form")
    low = data.draw(st.sampled_from([-np.inf, _LOWEST, -1e9, -1e4]), label="number for what is hidden")
    how = data.draw(st.sampled_from(["chosen", "added", "multiplied"] if np.isfinite(low) else ["chosen", "added"]))
    is_bounded = data.draw(st.booleans(), label="bounded scores")
    scale = data.draw(st.sampled_from([1.0, 1e3]), label="size of the numbers")
    draft = Draft()
    y = x = draft.input("x", ["N", "T", _WIDTH])
    for _ in range(2):
        y = attend(draft, bounded(draft, y) if is_bounded else y, hidden(draft, x, form), low, how)
    bucket, rows = requests(data, 1, 9, T=1)

    def content(shape: Any, generator: Any) -> Any:
        return (scale * generator.standard_normal(shape)).astype(np.float32)

    analysis = assert_exact(draft.model(y), bucket, rows, data={"x": content})
    assert is_untouched(analysis) or not (low <= -1e38 or (is_bounded and low <= -1e4))


@given(st.data())
@thorough
def test_what_may_hide_all_that_is_seen_is_cleaned(data: Draw) -> None:
    """Rows of which a second mask hides everything weigh all their columns alike, as many as there are."""
    low = data.draw(st.sampled_from([-1e38, -1e9]), label="number for what is hidden")
    draft = Draft()
    x = draft.input("x", ["N", "T", _WIDTH])
    if data.draw(st.booleans(), label="mask as numbers"):
        draft.input("mask", ["N", 1, "T"])
        extra = "mask"
    else:
        seen = draft.add("Cast", [draft.input("mask", ["N", 1, "T"], np.int64)], to=1)
        gone = draft.add("Sub", [draft.constant(1.0, np.float32), seen])
        extra = draft.add("Mul", [gone, draft.constant(low, np.float32)])
    y = attend(draft, bounded(draft, x), hidden(draft, x, "less"), low, "added", extra)
    given = {
        "mask": lambda shape, generator: (
            (low if extra == "mask" else 0) * np.ones(shape, "f4" if extra == "mask" else int)
        )
    }
    bucket, rows = requests(data, 1, 9, T=1)
    analysis = assert_exact(draft.model(y), bucket, rows, data=given)
    assert not is_untouched(analysis)


@given(st.data())
@thorough
def test_one_mask_that_hides_what_is_later_and_what_is_left_out(data: Draw) -> None:
    """Decoders whose requests are filled up at the start: the first rows see nothing at all, and weigh all alike."""
    low = data.draw(st.sampled_from([_LOWEST, -1e30, -1e9, -1e4]), label="number for what is hidden")
    how = data.draw(st.sampled_from(["chosen", "added", "multiplied"]))
    draft = Draft()
    x = draft.input("x", ["N", "T", _WIDTH])
    kept = draft.input("mask", ["N", 1, "T"], np.bool_)
    seen = draft.add("And", [draft.add("Not", [hidden(draft, x, "less")]), kept])
    y = attend(draft, bounded(draft, x), str(draft.add("Not", [seen])), low, how)

    def filled(shape: Any, generator: Any) -> Any:
        return np.arange(shape[2]) >= generator.integers(0, shape[2] + 1, (shape[0], 1, 1))

    bucket, rows = requests(data, 1, 9, T=1)
    analysis = assert_exact(draft.model(y), bucket, rows, data={"mask": filled})
    assert not is_untouched(analysis)


@pytest.mark.parametrize("triangle", [np.triu, lambda ones: np.tril(ones, 1), lambda ones: 1 - np.tril(ones)])
def test_other_triangles_are_cleaned(triangle: Any) -> None:
    draft = Draft()
    x = draft.input("x", ["N", "T", _WIDTH])
    seen = stored(draft, x, triangle(np.ones((_LONGEST, _LONGEST))).astype(bool))
    y = attend(draft, bounded(draft, x), str(draft.add("Not", [seen])), _LOWEST, "chosen")
    assert not is_untouched(assert_exact(draft.model(y), _BUCKET, _ROWS))


def test_a_triangle_along_other_axes_is_cleaned() -> None:
    """Keys before queries: what is summed up are rows, and the mask hides what comes before."""
    draft = Draft()
    x = draft.input("x", ["N", "T", _WIDTH])
    mask = draft.add("Transpose", [hidden(draft, x, "less")], perm=[1, 0])
    y = attend(draft, bounded(draft, x), str(mask), _LOWEST, "chosen")
    assert not is_untouched(assert_exact(draft.model(y), _BUCKET, _ROWS))


def test_what_sums_over_all_queries_is_cleaned() -> None:
    """Beyond the end, queries see padding: nothing may take zeros there for granted."""
    draft = Draft()
    x = draft.input("x", ["N", "T", _WIDTH])
    y = attend(draft, bounded(draft, x), hidden(draft, x, "less"), _LOWEST, "chosen")
    total = draft.add("ReduceSum", [y, draft.constant([1])])
    analysis = assert_exact(draft.model(total), _BUCKET, _ROWS)
    assert analysis.places == 1
