"""Inputs that always have one value: it is of the input's type and shape, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scaling_tasks.analysis.preparation import prepare
from scaling_tasks.errors import ModelError
from tests.analysis.drafts import Draft


def _model() -> Any:
    draft = Draft(17)
    x, keep = draft.input("x", ["n", "T"]), draft.input("keep", ["n", "T"], bool)
    kept = draft.add("Where", [keep, x, draft.constant(0.0, np.float32)])
    rate, on = draft.input("rate", ["rates"], np.int64), draft.input("on", [], bool)
    rates = draft.add("Cast", [draft.add("Add", [rate, draft.add("Cast", [on], to=7)])], to=1)
    return draft.model(draft.add("Mul", [kept, rates]))


@pytest.mark.parametrize(("name", "value"), [("rate", 16000), ("rate", [16000]), ("rate", 16000.0), ("on", 1)])
def test_a_value_of_the_type_is_taken(name: str, value: Any) -> None:
    assert name not in [tensor.name for tensor in prepare(_model(), {}, {name: value}).inputs.inputs]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rate", 16000.5, "16000.5 is no int64"),
        ("on", 2, "2 is no bool"),
        ("rate", [[1]], "has the shape .* Write a value of the input's shape"),
        ("keep", [True], "has the shape .* one that varies with the request stays an input"),
    ],
)
def test_a_value_of_another_type_or_shape_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"inputs.{name}.*{message}"):
        prepare(_model(), {}, {name: value})
