"""How many threads an engine may use."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator

__all__ = ["THREADS_VARIABLE", "limited_threads", "thread_count"]

THREADS_VARIABLE = "SCALING_TASKS_THREADS"

_LIMIT: contextvars.ContextVar[int | None] = contextvars.ContextVar("threads", default=None)


@contextlib.contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Give engines that this thread loads inside the block ``threads`` threads each; None changes nothing."""
    token = _LIMIT.set(threads or _LIMIT.get())
    try:
        yield
    finally:
        _LIMIT.reset(token)


def thread_count() -> int | None:
    """Return how many threads an engine that is loaded now may use, None where nobody said."""
    if (limit := _LIMIT.get()) is not None:
        return limit
    text = os.environ.get(THREADS_VARIABLE, "")
    return int(text) if text.isdigit() and int(text) > 0 else None
