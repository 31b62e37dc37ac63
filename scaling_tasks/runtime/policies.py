"""How inputs are padded, and what happens to sizes that no bucket contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scaling_tasks.errors import BundleError
from scaling_tasks.shapes.signature import Signature

__all__ = ["OVERSIZE", "Oversize", "Padding", "default_padding"]

Oversize = Literal["error", "fallback", "split"]
OVERSIZE = ("error", "fallback", "split")

_MODES = ("zero", "constant", "edge")
_SIDES = ("end", "start")
# What transformers call the input that says which positions are real.
_MASKS = ("attention_mask",)


@dataclass(frozen=True)
class Padding:
    """How one input is padded to its bucket.

    Attributes:
        mode: ``zero``, ``constant`` (``value``) or ``edge`` (the last real slice repeated; rows added to the batch are
            zero).
        value: What ``constant`` fills with.
        side: ``end`` or ``start`` of every padded axis but the batch, which is always padded at its end.
        mask: Whether the input says which positions are real: it may be left out of a request, is then one at the true
            sizes, and is zero in the padding whatever ``mode`` says.
    """

    mode: Literal["zero", "constant", "edge"] = "zero"
    value: float = 0.0
    side: Literal["end", "start"] = "end"
    mask: bool = False

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise BundleError(f"{self.mode!r} is no way to pad", where="padding", fix=f"One of: {', '.join(_MODES)}.")
        if self.side not in _SIDES:
            raise BundleError(f"{self.side!r} is no side", where="padding", fix=f"One of: {', '.join(_SIDES)}.")

    @property
    def fill(self) -> float:
        """The value of what is added where nothing is repeated."""
        return self.value if self.mode == "constant" and not self.mask else 0.0

    @property
    def repeats(self) -> bool:
        """Whether the last real slice is repeated."""
        return self.mode == "edge" and not self.mask

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        return dict(vars(self))

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Padding:
        """Return what ``to_payload`` gave.

        Raises:
            TypeError: The payload has other keys.
        """
        return cls(**payload)


def default_padding(signature: Signature) -> dict[str, Padding]:
    """Return zeros at the end for every input; ``attention_mask`` is a mask where it is not the only input."""
    alone = len(signature.inputs) == 1
    return {tensor.name: Padding(mask=tensor.name in _MASKS and not alone) for tensor in signature.inputs}
