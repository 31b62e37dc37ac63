"""Blocks added up to an image, caches that are written to, noise that is turned off, and a few newer operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough


@given(st.data())
@thorough
def test_blocks_are_added_up(data: Draw) -> None:
    draft = Draft(18)
    block = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=2), label="block")
    strides = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=2), label="strides")
    pads = [data.draw(st.integers(0, size // 2), label="pad") for size in block] * 2
    x = draft.shifted(draft.input("x", ["N", 2, "H", "W"]))
    # A convolution makes as many blocks as there are, which the image is made of again.
    channels = 2 * block[0] * block[1]
    cut = {"kernel_shape": block, "strides": strides, "pads": pads}
    y = draft.shifted(draft.add("Conv", [x, draft.weights(channels, 2, *block)], **cut))
    y = draft.add("Reshape", [y, draft.constant([0, channels, -1])])
    size = draft.add("Shape", [x], start=2)
    y = draft.add("Col2Im", [y, size, draft.constant(block)], strides=strides, pads=pads)
    y = draft.add("ReduceSum", [draft.add("Sigmoid", [y]), draft.constant([3])], keepdims=0)
    bucket, rows = requests(data, 3, 9, H=1, W=1)
    assert_exact(draft.model(y), bucket, rows, tolerance=1e-3)


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("length", [1, "T"])
def test_writing_to_a_cache(mode: str, length: int | str) -> None:
    draft = Draft(24)
    cache, update = (draft.shifted(draft.input(name, ["N", 2, size, 4])) for name, size in (("c", "S"), ("u", length)))
    y = draft.add("TensorScatter", [cache, update, draft.input("at", ["N"], np.int64)], mode=mode)
    model = draft.model(draft.add("ReduceSum", [y, draft.constant([2])]))
    if length == "T" or mode == "circular":
        assert analyse_model(model).behaviour.refusals
    else:
        assert_exact(model, {"N": 2, "S": 9}, [{"N": 1, "S": 5}, {"N": 1, "S": 4}])


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_noise_that_is_turned_off_is_no_noise(level: float) -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "T"])
    noise = draft.add("Mul", [draft.add("RandomNormalLike", [x]), draft.constant(level, np.float32)])
    y = draft.add("ReduceMean", [draft.add("Add", [x, noise])], axes=[1])
    if level:
        assert {each.operator for each in analyse_model(draft.model(y)).behaviour.refusals} == {"RandomNormalLike"}
    else:
        assert_exact(draft.model(y), {"N": 2, "T": 9}, [{"N": 1, "T": 4}, {"N": 1, "T": 7}])


@pytest.mark.parametrize("queries", ["T", 1])
@pytest.mark.parametrize("causal", [0, 1])
def test_attention_that_is_told_how_many_keys_count(causal: int, queries: int | str) -> None:
    draft = Draft(24)
    query = draft.shifted(draft.input("q", ["N", 2, queries, 4]))
    keys, values = (draft.shifted(draft.input(name, ["N", 2, "S", 4])) for name in "kv")
    counts: dict[str, Any] = {"told": lambda shape, generator: generator.integers(1, 4, shape)}
    parts = [query, keys, values, "", "", "", draft.input("told", ["N"], np.int64)]
    model = draft.model(draft.add("Attention", parts, is_causal=causal))
    if causal and queries == "T":
        assert analyse_model(model).behaviour.refusals
        return
    extra = {"T": 5} if queries == "T" else {}
    rows = [{"N": 1, "S": 4, **extra}, {"N": 1, "S": 6, **extra}]
    assert_exact(model, {"N": 2, "S": 9, **extra}, rows, data=counts)
