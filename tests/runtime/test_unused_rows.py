"""Rows of a batch that no request has repeat one that does: models need not be defined on empty rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.runtime.buffers import PaddedBuffer
from scaling_tasks.runtime.policies import Padding

ROWS, LONGEST = 4, 5
POLICIES = [Padding(), Padding("constant", value=3.0), Padding("edge"), Padding(side="start")]


@given(
    st.lists(st.tuples(st.integers(1, ROWS), st.integers(1, LONGEST)), min_size=1, max_size=5),
    st.sampled_from(POLICIES),
    st.sampled_from([0, 1]),
)
def test_each_unused_row_is_the_last_used_one(calls: list[tuple[int, int]], policy: Padding, axis: int) -> None:
    shape = (ROWS, LONGEST) if axis == 0 else (LONGEST, ROWS)
    buffer = PaddedBuffer(shape, np.float32, policy, axis)
    for number, (rows, length) in enumerate(calls, start=10):
        part = np.arange(number, number + rows * length, dtype=np.float32).reshape(rows, length)
        given = buffer.fill([part if axis == 0 else part.T])
        fresh = PaddedBuffer(shape, np.float32, policy, axis).fill([part if axis == 0 else part.T])
        np.testing.assert_array_equal(given, fresh)
        found = given if axis == 0 else given.T
        np.testing.assert_array_equal(found[rows:], np.repeat(found[rows - 1 : rows], ROWS - rows, axis=0))
        inside = found[:rows, :length] if policy.side == "end" else found[:rows, LONGEST - length :]
        np.testing.assert_array_equal(inside, part)
