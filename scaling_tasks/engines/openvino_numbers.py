"""How large whole numbers may be that an OpenVINO model is given: it computes those of 64 bits in 32, or in floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.engines.contract import Tensors

__all__ = ["first_beyond", "most_kept"]

_WHOLE = frozenset(("i32", "i64", "u32", "u64"))
_MOST, _MOST_OF_FLOATS = 2**31 - 1, 2**24
# What computes whole numbers in single precision (2026.4), and what may do so within.
_IN_FLOATS = frozenset(
    [
        "Clamp",
        "Divide",
        "Equal",
        "FloorMod",
        "Greater",
        "GreaterEqual",
        "If",
        "Less",
        "LessEqual",
        "Loop",
        "MatMul",
        "Mod",
        "NotEqual",
        "Pad",
        "Power",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "TensorIterator",
    ]
)


def most_kept(model: Any) -> dict[str, int]:
    """Return the largest number of each input of whole numbers, by its name, that keeps its value."""
    whole = [port for port in model.inputs if port.get_element_type().get_type_name() in _WHOLE]
    return {port.get_any_name(): _MOST_OF_FLOATS if _comes_to_floats(port) else _MOST for port in whole}


def _comes_to_floats(port: Any) -> bool:
    """Return whether whole numbers out of a port reach what computes them in floats."""
    left, seen = [port], set()
    while left:
        for taker in left.pop().get_target_inputs():
            node = taker.get_node()
            if node.get_friendly_name() in seen:
                continue
            seen.add(node.get_friendly_name())
            if node.get_type_name() in _IN_FLOATS:
                return True
            left += [made for made in node.outputs() if made.get_element_type().get_type_name() in _WHOLE]
    return False


def first_beyond(most: Mapping[str, int], inputs: Tensors) -> tuple[str, int] | None:
    """Return the first input that holds larger numbers, and which are the largest that it may."""
    for name, largest in most.items():
        array: Any = inputs.get(name)
        least = -largest - (largest == _MOST)
        if array is not None and array.size and not least <= array.min() <= array.max() <= largest:
            return name, largest
    return None
