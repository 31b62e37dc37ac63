"""Compiled and plain passes over candidates give the same numbers to the last bit, on however many cores."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_tasks.planning.solver import passes
from scaling_tasks.planning.solver.compiled import Kernels, add_gains, add_served


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("sides", [(7, 9), (4, 6, 5), (3, 2, 4, 3)])
def test_the_loops_give_what_the_plain_passes_give(monkeypatch, sides: tuple[int, ...], cores: int):
    monkeypatch.setattr(passes, "_TABLE", 0)
    monkeypatch.setattr(passes, "_LARGE", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(cores)))
    for seed in range(20):
        random = np.random.default_rng(seed)
        costs = random.random(sides)
        for axis in range(len(sides)):
            costs = costs.cumsum(axis=axis)
        position = np.unique(np.stack([random.integers(0, side, 25) for side in sides], axis=1), axis=0)
        weights = random.random(len(position))
        limits = costs[tuple(position.T)] * random.uniform(0.5, 6, len(position))
        shares = random.random(costs.size) * (random.random(costs.size) < 0.2)
        monkeypatch.setattr(passes, "find_kernels", lambda large: None)
        plain = passes.make_passes(costs, position, weights)
        # The loops as they are, not compiled, so that this needs no numba.
        monkeypatch.setattr(passes, "find_kernels", lambda large: Kernels(add_gains, add_served))
        loops = passes.make_passes(costs, position, weights)
        assert (loops.gains(limits) == plain.gains(limits)).all()
        assert (loops.served(limits, shares) == plain.served(limits, shares)).all()
        inside = (position[:, None, :] <= np.argwhere(np.ones(sides))[None]).all(axis=2)
        earned = (np.maximum(limits[:, None] - costs.ravel(), 0) * inside * weights[:, None]).sum(axis=0)
        assert plain.gains(limits) == pytest.approx(earned)
