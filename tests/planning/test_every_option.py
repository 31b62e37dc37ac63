"""A slice of the random instances of every option; `python -m tests.planning.every_option` checks many more."""

from __future__ import annotations

import pytest

from tests.planning.every_option import check


@pytest.mark.parametrize("part", range(4))
def test_no_bound_is_broken_and_no_optimum_beaten(part: int):
    faults = {seed: fault for seed in range(500 * part, 500 * part + 500) if (fault := check(seed))}
    assert not faults
