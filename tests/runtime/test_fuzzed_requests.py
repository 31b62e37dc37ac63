"""Whatever is passed, the answer is right or the error is typed, and the model stays usable."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_tasks.errors import BundleError

DTYPES = st.sampled_from(["float32", "float64", "float16", "int64", "uint8", "bool", "complex64", ">f4", "U3", "O"])
SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 3, 5, 40, 65, 200]), max_size=5)
# Five sides of 200 would not fit into any memory.
SHAPES = SIZES.map(tuple).filter(lambda shape: math.prod(shape) <= 8_000_000)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    array = np.ones(draw(SHAPES), dtype="float32")
    if array.size and draw(st.booleans()):
        array.ravel()[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 3e38]))
    array = draw(st.sampled_from([array, array.T, array[::-1] if array.ndim else array]))
    with np.errstate(invalid="ignore"):
        return array.astype(draw(DTYPES)) if draw(st.booleans()) else array


VALUES = st.one_of(arrays(), st.none(), st.text(max_size=3), st.integers(), st.lists(st.integers(), max_size=3))
REQUESTS = st.one_of(
    st.dictionaries(st.sampled_from(["x", "X", "y", ""]), VALUES, max_size=2),
    st.fixed_dictionaries({"x": arrays()}),
    st.none(),
    st.integers(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=3))
def test_fuzzed_requests(opened: Any, answer: Any, requests: list[Any]) -> None:
    model, _ = opened()
    for request in requests:
        # Any other error fails the test.
        with contextlib.suppress(BundleError):
            found = model.run(request)
            for name, array in answer(np.asarray(request["x"])).items():
                np.testing.assert_array_equal(found[name], array)
    with contextlib.suppress(BundleError):
        assert len(model.run_many(requests)) == len(requests)
    good = np.full((3, 3, 33), 2, np.float32)
    np.testing.assert_array_equal(model.run({"x": good})["y"], answer(good)["y"])
