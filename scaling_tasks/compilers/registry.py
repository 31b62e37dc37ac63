"""Finding a backend by its name: the built-in ones and those that other packages register."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.compilers.choices import check_choice
from scaling_tasks.compilers.contract import Backend
from scaling_tasks.engines.registry import registered_engine
from scaling_tasks.errors import CompileError
from scaling_tasks.files import digest_bytes, digest_file
from scaling_tasks.imports import imported_beside

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "backend_names", "get_backend", "outside_version"]

ENTRY_POINT_GROUP = "scaling_tasks.compilers"

BUILT_IN = {
    "atc": "scaling_tasks.compilers.atc:AtcBackend",
    "lite": "scaling_tasks.compilers.lite:LiteBackend",
    "nncase": "scaling_tasks.compilers.nncase:NncaseBackend",
    "onnxruntime": "scaling_tasks.compilers.onnxruntime:OnnxRuntimeBackend",
    "openvino": "scaling_tasks.compilers.openvino:OpenVinoBackend",
}


@functools.cache
def _registered() -> dict[str, EntryPoint]:
    """Return what other packages register, by the backend's name."""
    import importlib.metadata

    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, sorted; a built-in name cannot be taken over."""
    return tuple(sorted({*_registered(), *BUILT_IN}))


@functools.cache
def get_backend(name: str) -> Backend:
    """Return the backend called ``name``.

    Raises:
        CompileError: There is none, or its module cannot be imported.
    """
    if name in BUILT_IN:  # Only for others look through the installed packages: each worker process would pay for it.
        return _imported(name, BUILT_IN[name])
    check_choice(name, backend_names(), where="compile.backend", kind="backend")
    return _imported(name, _registered()[name].value)


def _imported(name: str, place: str) -> Backend:
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
    """Return versions and sources of an outside backend and of its engine, on which its results depend.

    Nothing for a built-in one. The sources are what is installed with it: a package that is being worked on changes
    without changing its version.

    Raises:
        CompileError: There is no such backend.
    """
    if name in BUILT_IN:
        return {}
    backend = get_backend(name)
    found = {}
    for kind, point in (("backend", _registered()[name]), ("engine", registered_engine(backend.engine))):
        if point is not None:
            found[f"{kind}_source"] = _source_digest(point)
            found |= {} if point.dist is None else {f"{kind}:{point.dist.name}": point.dist.version}
    return found


def _source_digest(point: EntryPoint) -> str:
    """Return the digest of the Python files of the package that an entry point lies in and of what came with it.

    Where it is worked on, nothing tells what came with it: what it imports from beside it did.
    """
    spec = importlib.util.find_spec(point.module.partition(".")[0])
    roots = [Path(place) for place in (spec.submodule_search_locations if spec else None) or ()]
    found = {file for root in roots for file in root.rglob("*.py")}
    found |= {Path(spec.origin)} if spec and spec.origin else set()
    for place in roots or list(found):
        found |= {*imported_beside(point.module, place.parent)}
    installed = (point.dist.files if point.dist else None) or ()
    found |= {Path(str(file.locate())) for file in installed if file.suffix == ".py"}
    # Not where they lie, which differs between machines.
    contents = sorted(f"{file.name} {digest_file(file)}\n" for file in found if file.is_file())
    return digest_bytes("".join(contents).encode())
