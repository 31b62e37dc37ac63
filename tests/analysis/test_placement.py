"""Where padding is cleaned: at the least that has to be gone over, and not at all where no size needs it."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from scaling_tasks.analysis.analyse import Analysis, analyse_model
from scaling_tasks.errors import ModelError
from tests.analysis.drafts import Draft, assert_exact

BUCKET = {"N": 2, "H": 16, "W": 24}
REQUESTS = [{"N": 1, "H": 16, "W": 20}, {"N": 1, "H": 8, "W": 12}]


def cleaned(analysis: Analysis) -> list[str]:
    """Return the tensors that are cleaned."""
    return [node.input[0] for node in analysis.cleaned.graph.node if node.name.startswith("st_clean")]


def assert_cleaned(model: onnx.ModelProto, tensors: list[str], **options: Any) -> Analysis:
    analysis = assert_exact(model, BUCKET, REQUESTS, **options)
    assert cleaned(analysis) == tensors
    return analysis


def filled(draft: Draft, channels: int) -> str:
    """Return a tensor [N, channels, H, W] whose padding holds something."""
    x = draft.input("x", ["N", 3, "H", "W"])
    return str(draft.add("Conv", [x, draft.weights(channels, 3, 1, 1), draft.weights(channels)]))


def wide(draft: Draft, name: str, channels: int, **attributes: Any) -> str:
    """Return a convolution that needs zeros."""
    return str(draft.add("Conv", [name, draft.weights(2, channels, 3, 3)], pads=[1, 1, 1, 1], **attributes))


def test_a_smaller_tensor_further_up_is_cleaned() -> None:
    draft = Draft()
    narrow = filled(draft, 2)
    grown = draft.add("Relu", [draft.add("Conv", [narrow, draft.weights(16, 2, 1, 1)])])
    assert_cleaned(draft.model(wide(draft, grown, 16)), [narrow])


def test_what_is_as_large_is_cleaned_behind_the_activation() -> None:
    draft = Draft()
    active = draft.add("Relu", [filled(draft, 4)])
    assert_cleaned(draft.model(wide(draft, active, 4)), [active])


def test_one_place_serves_several_operators() -> None:
    draft = Draft()
    shared = filled(draft, 4)
    parts = [draft.add(kind, [shared]) for kind in ("Relu", "Tanh", "HardSwish")]
    outputs = [wide(draft, part, 4) for part in parts]
    assert_cleaned(draft.model(*outputs), [shared])


def test_all_parts_of_a_sum_are_cleaned_or_the_sum() -> None:
    draft = Draft()
    left = filled(draft, 4)
    right = draft.add("Cos", [left])
    total = draft.add("Add", [left, right])
    assert_cleaned(draft.model(wide(draft, total, 4)), [total])


def test_one_factor_of_a_product_is_enough() -> None:
    draft = Draft()
    narrow = filled(draft, 2)
    grown = draft.add("Conv", [narrow, draft.weights(8, 2, 1, 1)])
    gated = draft.add("Mul", [draft.add("Sigmoid", [grown]), grown])
    assert_cleaned(draft.model(wide(draft, gated, 8)), [narrow])


@pytest.mark.parametrize("known", [True, False])
def test_multiples_spare_what_a_stride_divides(known: bool) -> None:
    draft = Draft()
    x = filled(draft, 4)
    model = draft.model(wide(draft, x, 4, strides=[2, 2]))
    multiples = {"H": 4, "W": 4} if known else {}
    analysis = assert_cleaned(model, [] if known else [x], multiples=multiples)
    assert analysis.behaviour.runs_at({"N": 1, "H": 7, "W": 24}) is not known


def test_what_the_model_requires_further_down_spares_what_comes_before() -> None:
    draft = Draft()
    x = filled(draft, 4)
    halved = draft.add("Conv", [x, draft.weights(4, 4, 3, 3)], pads=[1, 1, 1, 1], strides=[2, 2])
    grown = draft.add("Resize", [halved, "", draft.constant([1.0, 1.0, 2.0, 2.0], "float32")], mode="nearest")
    analysis = assert_cleaned(draft.model(draft.add("Add", [x, grown])), [])
    assert analysis.behaviour.kind == "exact"
    assert not analysis.behaviour.runs_at({"N": 1, "H": 15, "W": 24})


def test_an_unknown_variable_has_no_multiples() -> None:
    draft = Draft()
    model = draft.model(filled(draft, 4))
    with pytest.raises(ModelError, match="'Z'"):
        analyse_model(model, multiples={"Z": 4})
