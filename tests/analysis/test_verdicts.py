"""Which outputs are exact as they are, and which only in the cleaned model."""

from __future__ import annotations

import onnx
import pytest

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

BUCKET = {"N": 2, "T": 9}
REQUESTS = [{"N": 1, "T": 5}, {"N": 1, "T": 8}]


def kinds(model: onnx.ModelProto) -> list[str]:
    """Return the verdict of T for each output."""
    behaviour = assert_exact(model, BUCKET, REQUESTS).behaviour
    return [verdict.kind for verdict in behaviour.verdicts if verdict.variable == "T"]


@pytest.mark.parametrize("operator", ["ReduceMean", "GlobalAveragePool"])
def test_a_mean_is_cleaned_though_padding_is_zero_already(operator: str) -> None:
    draft = Draft()
    x = draft.input("x", ["N", 4, "T"])
    mean = draft.add(operator, [x], axes=[2]) if operator == "ReduceMean" else draft.add(operator, [x])
    assert kinds(draft.model(mean)) == ["cleaned"]


def test_an_average_pool_that_reaches_zeros_at_the_end_is_cleaned() -> None:
    draft = Draft()
    x = draft.input("x", ["N", 4, "T"])
    assert kinds(draft.model(draft.add("AveragePool", [x], kernel_shape=[3], pads=[1, 1]))) == ["cleaned"]


def test_sizes_that_are_told_are_cleaned() -> None:
    draft = Draft()
    x = draft.input("x", ["N", "T", 4])
    length = draft.add("Gather", [draft.add("Shape", [x]), draft.constant(1)])
    scaled = draft.add("Div", [x, draft.add("Cast", [length], to=1)])
    shape = draft.add("Slice", [draft.add("Shape", [x]), draft.constant([0]), draft.constant([1])])
    lengths = draft.add("Expand", [length, shape])
    turned = draft.add("ReverseSequence", [x, lengths], batch_axis=0, time_axis=1)
    assert kinds(draft.model(scaled, turned, draft.add("Relu", [x]))) == ["cleaned", "cleaned", "exact"]


def test_what_starts_from_a_cleaned_tensor_is_cleaned_too() -> None:
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", "T", 4]))
    sums = [draft.add(operator, [x], axes=[1]) for operator in ("ReduceL2", "ReduceL1", "ReduceSumSquare")]
    assert kinds(draft.model(*sums)) == ["cleaned"] * 3


def test_entries_in_no_order_are_refused_for_the_axis_that_they_are_chosen_from() -> None:
    """All variables were blamed, and nobody could tell the outputs' shape: fixing n was no way out, nor accepting."""
    draft = Draft()
    x = draft.input("x", ["n", "t"])
    found = analyse_model(draft.model(*draft.add("TopK", [x, draft.constant([3])], outputs=2, axis=1, sorted=0)))
    assert {each.variable for each in found.behaviour.refusals} == {"t"}
    assert [len(axes or ()) for axes in found.behaviour.layouts.values()] == [2, 2]
    assert found.behaviour.accepted().kind == "approximate"
