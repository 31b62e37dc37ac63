"""Matrix products that contract over sizes, in all their forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough


@given(st.data())
@thorough
def test_attention_written_out(data: Draw) -> None:
    """Scores of all against all, softmax, and the weighted sum, with or without a mask of the model's own."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 4]))
    inputs = ["x"]
    q, k, v = (draft.add("MatMul", [x, draft.weights(4, 4, seed=at)]) for at in range(3))
    scores = draft.add("MatMul", [q, draft.add("Transpose", [k], perm=[0, 2, 1])])
    kind = data.draw(st.sampled_from(["none", "additive", "where", "minus infinity"]), label="mask")
    if kind != "none":
        mask = draft.input("mask", ["N", "T"], np.int64)
        inputs.append("mask")
        wide = draft.add("Unsqueeze", [draft.add("Cast", [mask], to=1), draft.constant([1])])
        if kind == "additive":
            away = draft.add("Sub", [draft.constant(1.0, np.float32), wide])
            scores = draft.add("Add", [scores, draft.add("Mul", [away, draft.constant(-1e4, np.float32)])])
        else:
            low = -np.inf if kind == "minus infinity" else float(np.finfo(np.float32).min)
            seen = draft.add("Cast", [wide], to=9)
            scores = draft.add("Where", [seen, scores, draft.constant(low, np.float32)])
    y = draft.add("MatMul", [draft.add("Softmax", [scores], axis=-1), v])
    if data.draw(st.booleans(), label="second"):
        turned = draft.add("Transpose", [y], perm=[0, 2, 1])
        y = draft.add("MatMul", [turned, draft.shifted(y)])
    bucket, rows = requests(data, 1, 6, T=1)
    assert_exact(draft.model(y), bucket, rows, tolerance=1e-3)


@given(st.data())
@thorough
def test_matmul_of_ranks(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    kind = data.draw(st.sampled_from(["self", "vector", "matrix", "left vector", "left matrix"]), label="kind")
    turned = draft.add("Transpose", [x], perm=[0, 1, 3, 2])
    if kind == "self":
        y = draft.add("MatMul", [x, draft.add("Exp", [turned])])
    elif kind == "vector":
        y = draft.add("MatMul", [draft.add("Transpose", [x], perm=[0, 2, 3, 1]), draft.weights(2)])
    elif kind == "matrix":
        y = draft.add("MatMul", [draft.add("Transpose", [x], perm=[0, 2, 3, 1]), draft.weights(2, 3)])
    elif kind == "left vector":
        y = draft.add("MatMul", [draft.weights(2), draft.add("Transpose", [x], perm=[0, 2, 1, 3])])
    else:
        y = draft.add("MatMul", [draft.weights(3, 2), draft.add("Transpose", [x], perm=[0, 2, 1, 3])])
    y = draft.add("ReduceSum", [y, draft.constant([-1])])
    bucket, rows = requests(data, 1, 6, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, tolerance=1e-3)


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("right", [0, 1])
@pytest.mark.parametrize("added", ["none", "row", "column", "scalar", "whole"])
def test_gemm(left: int, right: int, added: str) -> None:
    draft = Draft(13)
    x = draft.shifted(draft.input("x", ["H", "W"]))
    other = draft.add("Tanh", [x])
    parts = [x, other]
    if left == right:
        # H×W with its own transpose, one way or the other.
        other = draft.add("Transpose", [other], perm=[1, 0])
        parts = [x, other]
    sums = {"row": lambda: draft.add("ReduceMax", [x], axes=[1]), "scalar": lambda: draft.constant(2.0, np.float32)}
    if added in sums and not (added == "row" and left):
        parts.append(sums[added]())
    y = draft.add("Gemm", parts, transA=left, transB=right, alpha=0.5, beta=2.0)
    assert_exact(draft.model(y), {"H": 7, "W": 9}, [{"H": 4, "W": 5}])


@pytest.mark.parametrize(
    "equation",
    [
        *("bij,bjk->bik", "bij,bkj->bik", "bij,bij->bi", "bij->bji", "bij->bj", "bij,bij->b", "bij,bik->bjk"),
        *("...qd,...kd->...qk", "...tc,...tc->...c", "...c->...", "b...,b...->b...", "...ij,...kj->i...k"),
    ],
)
def test_einsum(equation: str) -> None:
    draft = Draft(17)
    x = draft.shifted(
        draft.input("x", ["N", "T", "T"] if "bjk" in equation and "ik" in equation[-2:] else ["N", "T", 3])
    )
    parts = [x, draft.add("Exp", [x])][: equation.count(",") + 1]
    model = draft.model(draft.add("Einsum", parts, equation=equation))
    assert_exact(model, {"N": 2, "T": 8}, [{"N": 1, "T": 5}, {"N": 1, "T": 3}])


@pytest.mark.parametrize("equation", ["bih,bjh,bijh,bjd->bid", "bih,bjd,bijh->bhd", "bih,bjd,bijh->jb"])
def test_einsum_of_several_tensors(equation: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    steps = draft.add("Sub", [draft.add("Unsqueeze", [x, draft.constant([at])]) for at in (2, 1)])
    named = {"bih": x, "bjh": draft.add("Exp", [x]), "bijh": draft.add("Exp", [steps]), "bjd": x}
    parts = [named[term] for term in equation.partition("->")[0].split(",")]
    model = draft.model(draft.add("Einsum", parts, equation=equation))
    assert_exact(model, {"N": 2, "T": 8}, [{"N": 1, "T": 5}, {"N": 1, "T": 3}])


@pytest.mark.parametrize("zero", [0, 7])
@pytest.mark.parametrize("kind", ["MatMulInteger", "ConvInteger"])
def test_whole_numbers_with_a_zero_point(kind: str, zero: int) -> None:
    draft = Draft(13)
    x = draft.input("x", ["N", 2, "T"], np.uint8)
    point = draft.constant(zero, np.uint8)
    if kind == "ConvInteger":
        weights = draft.constant(np.arange(12).reshape(2, 2, 3) - 5, np.int8)
        y = draft.add("ConvInteger", [x, weights, point], pads=[1, 1])
    else:
        turned = draft.add("Transpose", [x], perm=[0, 2, 1])
        y = draft.add("MatMulInteger", [x, turned, point, draft.constant(3, np.uint8)])
    assert_exact(draft.model(y), {"N": 2, "T": 8}, [{"N": 1, "T": 5}, {"N": 1, "T": 3}])
