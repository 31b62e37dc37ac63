"""Planning prints nothing, whatever the solver beneath would like to say."""

from __future__ import annotations

import numpy as np
import pytest

import scaling_tasks as st
from scaling_tasks.planning.solver import branch


def test_the_solver_prints_no_banner(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library writes to the descriptors themselves."""
    called = []
    search = branch._branch_and_bound
    monkeypatch.setattr(branch, "_branch_and_bound", lambda *given: called.append(1) or search(*given))
    samples = np.random.default_rng(0).integers(1, 40, (60, 2))
    plan = st.plan_buckets(st.ShapeHistogram.from_samples(samples, variables=("H", "W")), max_buckets=5, interval=1)
    assert len(plan.buckets) == 5
    assert called
    assert capfd.readouterr() == ("", "")
