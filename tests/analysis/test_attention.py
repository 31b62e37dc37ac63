"""Attention as one operator, with masks, causality and a past."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough


@given(st.data())
@thorough
def test_attention(data: Draw) -> None:
    draft = Draft(23)
    flat = data.draw(st.booleans(), label="heads in the last axis")
    groups = data.draw(st.sampled_from([1, 2]), label="queries per key head")
    heads = 2
    causal = data.draw(st.integers(0, 1), label="causal")
    cross = data.draw(st.booleans(), label="cross") and not causal
    past = data.draw(st.booleans(), label="past")
    x = draft.shifted(draft.input("x", ["N", "T", 4]))
    source = draft.shifted(draft.input("z", ["N", "S", 4])) if cross else x

    def projected(of: str, count: int, seed: int) -> str:
        y = draft.add("MatMul", [of, draft.weights(4, count * 3, seed=seed)])
        if flat:
            return str(y)
        y = draft.add("Reshape", [y, draft.constant([0, 0, count, 3])])
        return str(draft.add("Transpose", [y], perm=[0, 2, 1, 3]))

    parts = [projected(x, heads * groups, 0), projected(source, heads, 1), projected(source, heads, 2), "", "", ""]
    kind = data.draw(st.sampled_from(["none", "added", "chosen"]), label="mask")
    keys = "S" if cross else "T"
    if kind != "none" and not past:
        mask = draft.input("mask", ["N", keys], np.bool_)
        wide = draft.add("Unsqueeze", [mask, draft.constant([1, 2])])
        whole = draft.add(
            "Concat",
            [
                draft.constant([1, 1]),
                draft.add("Shape", [x], start=1, end=2),
                draft.constant([1]),
            ],
            axis=0,
        )
        seen = draft.add("Expand", [wide, whole])
        low = draft.constant(-1e4, np.float32)
        added = draft.add("Where", [seen, draft.constant(0.0, np.float32), low])
        parts[3] = seen if kind == "chosen" else added
    if past:
        for at in (4, 5):
            parts[at] = draft.input(f"past{at}", ["N", heads, "past", 3])
    extra = {"q_num_heads": heads * groups, "kv_num_heads": heads} if flat else {}
    names = draft.add("Attention", parts, outputs=3 if past else 1, is_causal=causal, **extra)
    outputs = names if past else [names]
    steps = {"T": 1, **({"S": 1} if cross else {}), **({"past": 1} if past else {})}
    bucket, rows = requests(data, 1, 5, **steps)
    ones = {"mask": lambda shape, generator: np.arange(int(np.prod(shape))).reshape(shape) % 3 < 2}
    assert_exact(draft.model(*outputs), bucket, rows, data=ones, tolerance=1e-3)


@pytest.mark.parametrize("causal", [0, 1])
def test_positions_of_an_image_look_at_text_through_a_mask(causal: int) -> None:
    draft = Draft(23)
    image = draft.shifted(draft.input("x", ["N", 8, "H", "W"]))
    query = draft.add("Transpose", [draft.add("Reshape", [image, draft.constant([0, 8, -1])])], perm=[0, 2, 1])
    text = [draft.shifted(draft.input(name, ["N", 5, 8])) for name in ("keys", "values")]
    size = draft.add("Gather", [draft.add("Shape", [query]), draft.constant(1)])
    lines = draft.add("Range", [draft.constant(0), size, draft.constant(1)])
    columns = draft.add(
        "Mod", [draft.add("Unsqueeze", [lines, draft.constant([1])]), draft.constant([[2, 3, 4, 5, 7]])]
    )
    parts = [query, *text, draft.add("Equal", [columns, draft.constant(1)])]
    y = draft.add("Attention", parts, q_num_heads=2, kv_num_heads=2, is_causal=causal)
    assert_exact(draft.model(y), {"H": 5, "W": 7, "N": 1}, [{"H": 3, "W": 4, "N": 1}])
