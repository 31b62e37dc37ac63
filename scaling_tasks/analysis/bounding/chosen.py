"""What is chosen of many, moved to the front."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.refusal import Refused

__all__ = ["chosen_positions"]

_INT64 = 7
_TOLD_APART = 1 << 24
"""Whole numbers up to which a float is exact."""


def chosen_positions(emitter: Emitter, chosen: str, length: int, most: int | None = None) -> tuple[str, str]:
    """Return the positions at which ``chosen`` is 1 in their order, and how many there are.

    Behind them 0 is repeated. The first positions are the largest keys where these fall from one to the next.

    Args:
        emitter: Where the nodes go.
        chosen: Ones and zeros, ``[length]`` of float32.
        length: Of it.
        most: How many positions to return; as many as there are by default.

    Raises:
        Refused: There are more than floats tell apart.
    """
    if length > _TOLD_APART:
        raise Refused(f"it chooses among {length} positions, of which {_TOLD_APART} are told apart")
    falling = emitter.constant(np.arange(length, 0, -1, dtype=np.float32))
    keys = emitter.node("Mul", [chosen, falling])
    largest = _largest(emitter, keys, length if most is None else most)
    all_of_them = emitter.constant(np.array([length], np.float32))
    place = emitter.node("Sub", [all_of_them, largest])
    found = emitter.node("Min", [largest, emitter.constant(np.ones(1, np.float32))])
    place = emitter.cast(emitter.node("Mul", [place, found]), _INT64)
    return place, emitter.reduce("ReduceSum", chosen, [0], keepdims=1)


def _largest(emitter: Emitter, name: str, count: int) -> str:
    """Return the largest elements, the largest first."""
    from onnx import helper

    outputs = [emitter.fresh("largest"), emitter.fresh("places")]
    inputs = [name]
    attributes: dict[str, Any] = {}
    if emitter.opset < 10:
        attributes["k"] = count
    else:
        inputs.append(emitter.numbers([count]))
    emitter.nodes.append(helper.make_node("TopK", inputs, outputs, name=outputs[0], axis=-1, **attributes))
    return outputs[0]
