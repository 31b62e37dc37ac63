"""What property tests of the analysis draw: examples, sizes and buckets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["Draw", "requests", "thorough"]

Draw = Any
"""What ``st.data()`` gives."""

_EXAMPLES = os.environ.get("ANALYSIS_EXAMPLES")

thorough = settings(
    max_examples=int(_EXAMPLES or 25),
    deadline=None,
    derandomize=_EXAMPLES is None,
    print_blob=_EXAMPLES is not None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
"""A fixed draw; with ANALYSIS_EXAMPLES=n in the environment a random one of that many examples."""


def requests(
    data: Draw, least: int = 1, most: int = 12, *, count: int = 3, **steps: int
) -> tuple[dict[str, int], list[dict[str, int]]]:
    """Draw a bucket and requests that fit into it, of variables that are multiples of the given steps.

    Variables are named by ``steps``, ``N`` counts rows and is 1 in each request.
    """
    rows: list[Mapping[str, int]] = []
    for _ in range(count):
        rows.append({name: step * data.draw(st.integers(least, most), label=name) for name, step in steps.items()})
    bucket = {
        name: max(row[name] for row in rows) + step * data.draw(st.integers(0, 6), label=f"room of {name}")
        for name, step in steps.items()
    }
    return {**bucket, "N": count}, [{**row, "N": 1} for row in rows]
