"""Quantised products and layers of onnxruntime's own domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

OWN: dict[str, Any] = {"domain": "com.microsoft"}
ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}


def summed(draft: Draft, y: str) -> str:
    return str(draft.add("ReduceSum", [draft.add("Softmax", [y], axis=1), draft.constant([-1])]))


def test_product_with_weights_of_four_bits() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 32]))
    weights = draft.constant(np.arange(8 * 16).reshape(8, 1, 16) % 251, np.uint8)
    y = draft.add("MatMulNBits", [x, weights, draft.weights(8)], K=32, N=8, bits=4, block_size=32, **OWN)
    assert_exact(draft.model(summed(draft, y)), BUCKET, ROWS)


@pytest.mark.parametrize("kind", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_product_of_quantised_numbers(kind: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 8]))
    weights = draft.constant(np.arange(40).reshape(8, 5) % 11 - 5, np.int8)
    scale = draft.constant(0.05, np.float32)
    if kind == "DynamicQuantizeMatMul":
        y = draft.add(kind, [x, weights, scale], **OWN)
    else:
        point = draft.constant(7, np.uint8)
        y = draft.add("QuantizeLinear", [x, scale, point])
        y = draft.add(kind, [y, weights, scale, scale, point], **OWN)
    assert_exact(draft.model(summed(draft, y)), BUCKET, ROWS)


def test_product_with_an_activation() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["T", 8]))
    y = draft.add("FusedGemm", [x, draft.weights(8, 5), draft.weights(5)], activation="Relu", **OWN)
    assert_exact(draft.model(draft.add("ReduceMean", [y], axes=[0])), {"T": 9}, [{"T": 4}])


@pytest.mark.parametrize("batch", [1, "N"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent_layer(direction: str, batch: int | str) -> None:
    draft = Draft(17)
    count, hidden = 1 + (direction == "bidirectional"), 4
    x = draft.shifted(draft.input("x", ["T", batch, 3]))
    weights, recurrent = (
        draft.constant(np.random.default_rng(size).integers(-127, 127, (count, size, 4 * hidden)), np.int8)
        for size in (3, hidden)
    )
    scales = [draft.constant([0.01] * count, np.float32), draft.constant([0] * count, np.int8)] * 2
    parts = [x, weights, recurrent, draft.weights(count, 8 * hidden), "", "", "", "", *scales]
    y = draft.add("DynamicQuantizeLSTM", parts, outputs=3, hidden_size=hidden, direction=direction, **OWN)
    if batch == "N":
        assert analyse_model(draft.model(*y)).behaviour.refusals
    else:
        assert_exact(draft.model(*y), {"T": 9}, [{"T": 5}])
