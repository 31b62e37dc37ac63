"""What the isolation tells the worker process through its environment."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from scaling_tasks.engines.threads import THREADS_VARIABLE

__all__ = ["THREADS_VARIABLE", "thread_environment"]

# Every library that starts a thread per core unless told otherwise.
_LIBRARY_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "DOTNET_PROCESSOR_COUNT")

# numpy only moves arrays here, and the threads that it starts for linear algebra spin while they wait for work.
_NO_NUMPY_THREADS = {"OPENBLAS_NUM_THREADS": "1"}


@functools.cache
def thread_environment(threads: int | None) -> Mapping[str, str]:
    """Return the variables that limit a process to ``threads`` threads; none for None."""
    if threads is None:
        return MappingProxyType({})
    names = (THREADS_VARIABLE, *_LIBRARY_VARIABLES)
    return MappingProxyType(dict.fromkeys(names, str(threads)) | _NO_NUMPY_THREADS)
