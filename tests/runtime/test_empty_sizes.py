"""Sizes of 0: which variables may have them, and what is laid into a buffer then."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.runtime.buffers import PaddedBuffer
from scaling_tasks.runtime.policies import Padding
from scaling_tasks.samples.columns import ColumnReader
from scaling_tasks.samples.matching import match_columns
from scaling_tasks.shapes.behaviour import Behaviour, Verdict
from scaling_tasks.shapes.signature import Signature, TensorSpec

TOKENS = TensorSpec("tokens", ("seq",), "int64")
MASK = TensorSpec("mask", (("+", "past", "seq"),), "int64")
CACHE = TensorSpec("cache", (4, "past", 8), "float32")


@pytest.mark.parametrize(
    ("inputs", "empty"),
    [
        ((TOKENS, MASK, CACHE), ("past",)),
        ((TOKENS, TensorSpec("mask", (("+", ("+", "past", "seq"), 1),), "int64"), CACHE), ("past",)),
        ((TOKENS, CACHE), ("past",)),
        ((TOKENS, TensorSpec("cache", (4, "frames", 8), "float32")), ()),
        ((TOKENS, TensorSpec("mask", (("*", 2, "past"),), "int64"), CACHE), ()),
        ((TOKENS, MASK, CACHE, TensorSpec("where", ("past",), "int64")), ()),
    ],
)
def test_a_state_whose_length_is_added_to_or_is_called_past_may_be_empty(
    inputs: tuple[TensorSpec, ...], empty: tuple[str, ...]
) -> None:
    assert Signature(inputs).may_be_empty == empty


@pytest.mark.parametrize("policy", [Padding(), Padding("constant", value=3.0), Padding("edge"), Padding(side="start")])
def test_an_empty_part_leaves_padding_alone(policy: Padding) -> None:
    buffer = PaddedBuffer((1, 2, 4, 2), np.float32, policy)
    buffer.fill([np.full((1, 2, 3, 2), 7, np.float32)])
    assert (buffer.fill([np.zeros((1, 2, 0, 2), np.float32)]) == policy.fill).all()
    assert (buffer.fill([np.full((1, 2, 4, 2), 5, np.float32)]) == 5).all()


def test_empty_sizes_are_planned_as_the_least() -> None:
    reader = ColumnReader("calls.csv")
    for line, (past, seq) in enumerate([("0", "5"), ("5", "1")], start=2):
        reader.add(line, {"past": past, "seq": seq})
    signature = Signature((TOKENS, MASK, CACHE))
    matched = match_columns(reader.measurements(), signature, DatasetSpec(path="calls.csv"))
    assert matched.columns["past"].tolist() == [1, 5]
    reader.add(4, {"past": "-2", "seq": "1"})
    with pytest.raises(DatasetError, match="line 4: column 'past' holds '-2'"):
        match_columns(reader.measurements(), signature, DatasetSpec(path="calls.csv"))


def test_the_length_of_other_inputs_is_never_0() -> None:
    reader = ColumnReader("calls.csv")
    reader.add(2, {"past": "1", "seq": "0"})
    with pytest.raises(DatasetError, match="column 'seq' holds '0'"):
        match_columns(reader.measurements(), Signature((TOKENS, MASK, CACHE)), DatasetSpec(path="calls.csv"))


def test_what_may_be_empty_is_padded_in_a_bucket_of_1() -> None:
    refused = Verdict("y", "past", "refused")
    assert Behaviour({"y": None}, (refused,), empty=("past",)).planned({"past": 1}).refusals == (refused,)
    assert Behaviour({"y": None}, (refused,)).planned({"past": 1}).refusals == ()
    behaviour = Behaviour({"y": None}, (refused,), empty=("past",))
    assert Behaviour.from_payload(behaviour.to_payload()) == behaviour
