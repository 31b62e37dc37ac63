"""An engine whose artefact has outputs of fixed shapes, cut to the lengths that data made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.engines.contract import Engine
from scaling_tasks.shapes.fixed_lengths import FixedLengths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.engines.contract import Tensors

__all__ = ["CuttingEngine"]


class CuttingEngine:
    """Answers as an engine would that gives outputs of any length.

    Args:
        engine: What runs the artefact.
        lengths: What tells how long its outputs are.
    """

    def __init__(self, engine: Engine, lengths: FixedLengths) -> None:
        self._engine, self._lengths = engine, lengths

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run at exactly one of the unit's buckets.

        Raises:
            RequestError: The data makes something longer than was said that it can get.
        """
        return self._lengths.cut(self._engine.run(inputs))

    def close(self) -> None:
        """Release the engine's memory and processes."""
        self._engine.close()
