"""Recurrences of one operator: what comes out of them, and the state that they hand on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.analysis.drafts import Draft, assert_exact

ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}
OWN: dict[str, Any] = {"domain": "com.microsoft"}


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention(rule: str, past: bool) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 8]))
    parts = [draft.add("Tanh", [draft.add("MatMul", [x, draft.weights(8, 8, seed=at)])]) for at in range(3)]
    parts.append(draft.input("past", ["N", 2, 4, 4]) if past else "")
    gates = [draft.add("Sigmoid", [draft.add("MatMul", [x, draft.weights(8, 2, seed=at)])]) for at in (3, 4)]
    parts += [draft.add("Log", [gates[0]]) if "gated" in rule else "", gates[1] if "delta" in rule else ""]
    while not parts[-1]:
        parts.pop()
    known: dict[str, Any] = {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": rule}
    found = draft.add("LinearAttention", parts, outputs=2, **known, **OWN)
    analysis = assert_exact(draft.model(*found), BUCKET, ROWS, tolerance=1e-3)
    assert analysis.behaviour.rows == "N"


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("kernel", [2, 4])
def test_causal_convolution(kernel: int, past: bool) -> None:
    draft = Draft(17)
    parts = [draft.shifted(draft.input("x", ["N", 3, "T"])), draft.weights(3, 1, kernel), draft.weights(3)]
    parts += [draft.input("past", ["N", 3, kernel - 1])] if past else []
    found = draft.add("CausalConvWithState", parts, outputs=2, activation="silu", **OWN)
    assert_exact(draft.model(*found), BUCKET, [{"N": 1, "T": 2}, {"N": 1, "T": 2}])
    assert_exact(draft.model(*found), BUCKET, ROWS[:1] * 2)
