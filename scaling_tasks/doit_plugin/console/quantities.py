"""Durations and sizes as people read them."""

from __future__ import annotations

__all__ = ["duration", "size"]


def duration(seconds: float) -> str:
    """Return ``4.2 s``, ``3:05`` (minutes) or ``1:02:03`` (hours)."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Return a number of bytes in decimal units: ``812 B``, ``3.4 MB``."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"
