"""What the isolation tells the worker process through its environment."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator

__all__ = ["THREADS_VARIABLE", "limited_threads", "thread_count", "thread_environment"]

THREADS_VARIABLE = "SCALING_TASKS_THREADS"

# Every library that starts a thread per core unless told otherwise.
_LIBRARY_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "DOTNET_PROCESSOR_COUNT")

# numpy only moves arrays here, and the threads that it starts for linear algebra spin while they wait for work.
_NO_NUMPY_THREADS = {"OPENBLAS_NUM_THREADS": "1"}

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


def thread_environment(threads: int | None) -> dict[str, str]:
    """Return the variables that limit a process to ``threads`` threads; none for None."""
    if threads is None:
        return {}
    return dict.fromkeys((THREADS_VARIABLE, *_LIBRARY_VARIABLES), str(threads)) | _NO_NUMPY_THREADS
