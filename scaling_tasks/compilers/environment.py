"""What the isolation tells the worker process through its environment."""

from __future__ import annotations

import os

__all__ = ["THREADS_VARIABLE", "thread_count", "thread_environment"]

THREADS_VARIABLE = "SCALING_TASKS_THREADS"

# Every library that starts a thread per core unless told otherwise.
_LIBRARY_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "DOTNET_PROCESSOR_COUNT")


def thread_count() -> int | None:
    """Return how many threads this process may use, None where nobody said."""
    text = os.environ.get(THREADS_VARIABLE, "")
    return int(text) if text.isdigit() and int(text) > 0 else None


def thread_environment(threads: int | None) -> dict[str, str]:
    """Return the variables that limit a process to ``threads`` threads; none for None."""
    if threads is None:
        return {}
    return dict.fromkeys((THREADS_VARIABLE, *_LIBRARY_VARIABLES), str(threads))
