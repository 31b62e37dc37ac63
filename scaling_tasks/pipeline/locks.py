"""Keeping two runs in one repository from doing the same work at once."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``; waits for whoever holds it, and is released if the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A descriptor of its own for each holder: flock excludes threads of one process as well as other processes.
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
