"""Finding a backend by its name: the built-in ones and those that other packages register."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from scaling_tasks.compilers.base import check_choice
from scaling_tasks.compilers.contract import Backend
from scaling_tasks.errors import CompileError
from scaling_tasks.files import digest_file

__all__ = ["ENTRY_POINT_GROUP", "backend_names", "get_backend", "outside_version"]

ENTRY_POINT_GROUP = "scaling_tasks.compilers"

_BUILT_IN = {
    "atc": "scaling_tasks.compilers.atc:AtcBackend",
    "lite": "scaling_tasks.compilers.lite:LiteBackend",
    "nncase": "scaling_tasks.compilers.nncase:NncaseBackend",
    "onnxruntime": "scaling_tasks.compilers.onnxruntime:OnnxRuntimeBackend",
    "openvino": "scaling_tasks.compilers.openvino:OpenVinoBackend",
}


@functools.cache
def _registered() -> dict[str, str]:
    """Return ``module:attribute`` per backend name; a built-in name cannot be taken over."""
    import importlib.metadata

    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {point.name: point.value for point in points} | _BUILT_IN


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, sorted."""
    return tuple(sorted(_registered()))


@functools.cache
def get_backend(name: str) -> Backend:
    """Return the backend called ``name``.

    Raises:
        CompileError: There is none, or its module cannot be imported.
    """
    place = _BUILT_IN.get(name)
    if place is None:  # Only now look through the installed packages: each worker process would pay for it.
        check_choice(name, backend_names(), where="compile.backend", kind="backend")
        place = _registered()[name]
    module_name, _, attribute = place.partition(":")
    try:
        backend: Backend = getattr(importlib.import_module(module_name), attribute)()
    except (ImportError, AttributeError) as cause:
        raise CompileError(
            f"backend {name!r} cannot be imported ({cause})",
            where="compile.backend",
            fix=f"Mend or remove the package that registers {place!r}.",
        ) from cause
    return backend


@functools.cache
def outside_version(name: str) -> dict[str, str]:
    """Return the version and source of an outside backend, on which its results depend; nothing for a built-in one.

    Raises:
        CompileError: There is no such backend.
    """
    if name in _BUILT_IN:
        return {}
    import importlib.metadata
    import inspect

    module = inspect.getsourcefile(type(get_backend(name)))
    points = [point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP) if point.name == name]
    found = {"backend_source": digest_file(Path(module))} if module else {}
    return found | {f"backend:{point.dist.name}": point.dist.version for point in points if point.dist is not None}
