"""What an engine is: the contract between those who serve and every toolchain's runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[np.generic]]

__all__ = ["Engine", "EngineKind", "backend_options"]


class Engine(Protocol):
    """A loaded artefact."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run at exactly one of the unit's buckets: input name to array, output name to array.

        Outputs have the element types that the model says; an engine without int64 may answer int32.
        """
        ...

    def close(self) -> None:
        """Release the engine's memory and processes."""
        ...


class EngineKind(Protocol):
    """How artefacts of one kind are loaded: a module with these two functions, or an object.

    ``options`` are those that the artefact was compiled with, the target's ``compile`` section. A kind whose engines
    have processes of their own anyway says so with an attribute ``OWN_PROCESS = True``.
    """

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse to load anything on a machine that lacks the engine; without importing it.

        Raises:
            EngineError: It is not installed; says how to get it.
        """
        ...

    def load(self, path: Path, options: Mapping[str, Any]) -> Engine:
        """Load an artefact by its first file.

        Raises:
            EngineError: It does not load.
        """
        ...


def backend_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the backend's own options out of the target's ``compile`` section."""
    return options.get("options") or {}
