"""Requests and sizes that cannot be served: refused in a sentence, and the next one is served as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scaling_tasks.errors import BundleError
from tests.runtime.test_bucketed_model import Answer, assert_same, request_of


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"z": np.zeros((1, 3, 8), np.float32)}, "no input 'z'.*Did you mean 'x'"),
        ({}, r"inputs \['x'\] are missing"),
        ({"x": np.zeros((3, 8), np.float32)}, "2 axes, not 3"),
        ({"x": np.zeros((1, 3, 8), np.float64)}, "of float64, not float32"),
        ({"x": [[["a"]]]}, "not float32"),
        ({"x": np.zeros((1, 4, 8), np.float32)}, "axis 1 is 4 long but the model fixes it to 3"),
        ({"x": np.zeros((1, 3, 0), np.float32)}, r"axis 2 \(W\) is empty"),
        ({"x": np.zeros((0, 3, 8), np.float32)}, r"axis 0 \(N\) is empty"),
        ({"x": np.full((1, 3, 8), np.nan, np.float32)}, "holds NaN"),
        ({"x": np.zeros((1, 3, 10_000), np.float32)}, "no bucket contains"),
        ([1], "a mapping from input name to array, not list"),
        ({"x": [[1.0], [1.0, 2.0]]}, "'x': what was passed is no array"),
        ({"y" * 1_000_000: np.zeros((1, 3, 8), np.float32)}, "no input 'yyy.*…. Did you mean 'x'"),
        # Of terabytes, had anybody made one of them.
        ({"x": np.broadcast_to(np.float32(1), (1, 3, 1 << 40))}, "no bucket contains"),
        ({"x": np.broadcast_to(np.float32(1), (1 << 36, 3, 8))}, "has 68719476736 rows, more than 65536"),
        ({"x": np.broadcast_to(np.float32("nan"), (1, 3, 1 << 40))}, "holds NaN"),
        ({"x": np.full((1, 3, 16), np.nan, np.float32)[:, :, ::2]}, "holds NaN"),
    ],
)
def test_a_wrong_request_is_refused_and_the_model_stays_usable(
    opened: Any, answer: Answer, inputs: Any, message: str
) -> None:
    model, _ = opened()
    for call in (
        model.run,
        lambda request: model.run_many([request_of(5), request]),
        lambda r: model.submit(r).result(),
    ):
        with pytest.raises(BundleError, match=message):
            call(inputs)
    request = request_of(17)
    assert_same(model.run(request), answer(request["x"]))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (None, "sizes are a mapping from variable to number, not NoneType"),
        ("W", "sizes are a mapping from variable to number, not str"),
        ({None: 1}, "there is no variable None"),
        ({"w" * 1_000_000: 1}, "there is no variable 'www.*…. Did you mean"),
        ({"W": np.array([1, 2])}, r"W is array.* Sizes are whole numbers from 1 to 2147483647"),
        ({"W": 10**5000}, "W is a number of thousands of digits. Sizes are whole numbers"),
        ({"W": float("nan")}, "W is nan. Sizes are whole numbers"),
    ],
)
def test_wrong_sizes_are_refused(opened: Any, sizes: Any, message: str) -> None:
    model, _ = opened()
    for call in (model.select, lambda sizes: model.warm_up([sizes])):
        with pytest.raises(BundleError, match=message) as caught:
            call(sizes)
        assert len(str(caught.value)) < 500


def test_values_without_nan_are_taken_however_they_lie_in_memory(opened: Any, answer: Answer) -> None:
    model, _ = opened()
    wide = np.full((1, 3, 16), np.inf, np.float32)
    for x in (wide[:, :, ::-2], np.broadcast_to(np.float32(2), (2, 3, 8)), np.asfortranarray(-wide)):
        assert_same(model.run({"x": x}), answer(x))


@pytest.mark.parametrize("size", [64.9, 8.0, "8", None, 0, -3, float("nan")])
def test_sizes_are_whole_numbers(opened: Any, size: Any) -> None:
    model, _ = opened([(1, 64)])
    with pytest.raises(BundleError, match=r"W is .* Sizes are whole numbers from 1 to 2147483647"):
        model.select({"W": size})
    assert model.select({"W": np.int64(8)}) == {"N": 1, "W": 64}


def test_sizes_that_are_in_buckets_but_in_none_together_are_told_by_the_nearest(opened: Any) -> None:
    """It said that 20 and 30 are in no bucket, and that the largest sizes are 32 and 32."""
    model, _ = opened([(1, 64), (4, 16), (2, 32)])
    with pytest.raises(BundleError) as caught:
        model.select({"N": 3, "W": 30})
    said = "no bucket contains {'N': 3, 'W': 30} together: the nearest are {'N': 2, 'W': 32} and {'N': 4, 'W': 16}."
    assert said in str(caught.value)
    assert "with `runtime.oversize: fallback` or `split`" in str(caught.value)
    with pytest.raises(BundleError, match=r"\{'N': 9, 'W': 65\}: N is 4 at most, W is 64 at most\."):
        model.select({"N": 9, "W": 65})
