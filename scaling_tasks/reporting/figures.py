"""Differences, counts and verdicts as they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["counted", "difference", "verdict"]

# What documents hold for two answers that cannot be compared; JSON has no infinity.
_INCOMPARABLE = 1e300


def counted(count: float, noun: str) -> str:
    """Return ``1 bucket`` or ``2 buckets``."""
    return f"{count:.0f} {noun}{'s' * (count != 1)}"


def difference(value: float) -> str:
    """Return ``1.2e-03``, or ``not comparable`` for what is no difference."""
    return f"{value:.1e}" if math.isfinite(value) and value < _INCOMPARABLE else "not comparable"


def verdict(row: Mapping[str, Any]) -> str:
    """Return the verdict of one target, with the measured change where it is approximate.

    Args:
        row: What the stages ``analysis``, ``buckets`` and ``padding`` told, where they ran.
    """
    kind = (row.get("buckets") or {}).get("verdict") or (row.get("analysis") or {}).get("verdict")
    if kind == "approximate":
        change = (row.get("padding") or {}).get("absolute")
        return "approximate, not measured" if change is None else f"approximate {difference(change)}"
    return {None: "-", "cleaned": "exact (cleaned)"}.get(kind, str(kind))
