"""Finding an engine by its name: the built-in ones and those that other packages register."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.engines.contract import Engine, EngineKind
from scaling_tasks.engines.cutting import CuttingEngine
from scaling_tasks.errors import EngineError
from scaling_tasks.shapes.fixed_lengths import FixedLengths, lengths_file

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINT_GROUP", "get_engine", "load_engine", "load_of_kind", "registered_engine"]

ENTRY_POINT_GROUP = "scaling_tasks.engines"

_BUILT_IN = {
    "lite": "scaling_tasks.engines.lite",
    "nncase": "scaling_tasks.engines.nncase",
    "om": "scaling_tasks.engines.om",
    "onnxruntime": "scaling_tasks.engines.onnxruntime:ENGINE",
    "openvino": "scaling_tasks.engines.openvino:ENGINE",
}


@functools.cache
def get_engine(name: str) -> EngineKind:
    """Return the engine called ``name``; a built-in name cannot be taken over.

    Raises:
        EngineError: There is none, or its module cannot be imported.
    """
    place = _place(name)
    module_name, _, attribute = place.partition(":")
    try:
        module: Any = importlib.import_module(module_name)
        kind: EngineKind = getattr(module, attribute) if attribute else module
    except (ImportError, AttributeError) as cause:
        raise EngineError(
            f"the engine cannot be imported ({cause})",
            where=name,
            fix=f"Mend or remove the package that registers {place!r}.",
        ) from cause
    return kind


def load_engine(name: str, path: Path, options: Mapping[str, Any]) -> Engine:
    """Load an artefact by its first file.

    Args:
        name: Of the engine.
        path: The artefact's first file.
        options: Those that it was compiled with.

    Raises:
        EngineError: The engine is not installed, or the artefact does not load.
    """
    kind = get_engine(name)
    kind.check(options)
    return load_of_kind(kind, path, options)


def load_of_kind(kind: EngineKind, path: Path, options: Mapping[str, Any]) -> Engine:
    """Load an artefact of a kind that is known to be installed.

    Raises:
        EngineError: The artefact does not load.
    """
    lengths = lengths_file(path)
    if not lengths.is_file():
        return kind.load(path, options)
    told = FixedLengths.read(lengths)
    return CuttingEngine(kind.load(path, options), told)


def registered_engine(name: str) -> EntryPoint | None:
    """Return where another package registers an engine, None for a built-in or unknown one."""
    return None if name in _BUILT_IN else _registered().get(name)


def _registered() -> dict[str, EntryPoint]:
    import importlib.metadata

    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _place(name: str) -> str:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    points = _registered()
    if name not in points:
        known = ", ".join(sorted({*points, *_BUILT_IN}))
        raise EngineError(f"{name!r} is no engine", fix=f"Install the package that registers it. Known: {known}.")
    return points[name].value
