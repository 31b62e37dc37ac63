"""How inputs are padded, and what happens to sizes that no bucket contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from scaling_tasks.errors import BundleError, one_line
from scaling_tasks.shapes.signature import Signature

__all__ = ["OVERSIZE", "Oversize", "Padding", "given_policies", "padding_of"]

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
            raise BundleError(
                f"{one_line(repr(self.mode))} is no way to pad", where="padding", fix=f"One of: {', '.join(_MODES)}."
            )
        if self.side not in _SIDES:
            raise BundleError(
                f"{one_line(repr(self.side))} is no side", where="padding", fix=f"One of: {', '.join(_SIDES)}."
            )

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
            TypeError: The payload has other keys, or values of other types.
        """
        found = cls(**payload)
        if type(found.value) not in (int, float) or type(found.mask) is not bool:
            raise TypeError(f"{one_line(found)} is no way to pad")
        return found


def padding_of(signature: Signature, given: Mapping[str, Padding]) -> dict[str, Padding]:
    """Return every input's policy: the given one, else zeros; ``attention_mask`` is a mask where there are others.

    The side belongs to what is padded: an input that is not given takes the side of one that is and shares a variable
    with it, the batch aside. A mask at the other side than what it masks would say that padding is real.

    Raises:
        BundleError: A name that is no input, or inputs that share a variable and are given different sides.
    """
    alone = len(signature.inputs) == 1
    policies = {tensor.name: Padding(mask=tensor.name in _MASKS and not alone) for tensor in signature.inputs}
    for name in given:
        if name not in policies:
            raise BundleError(f"there is no input {name!r} to pad", where="padding", fix=f"Inputs: {sorted(policies)}.")
    sides: dict[str, str] = {}
    for name, policy in given.items():
        for variable in _padded(signature, name):
            if sides.setdefault(variable, name) != name and given[sides[variable]].side != policy.side:
                raise BundleError(
                    f"{sides[variable]!r} and {name!r} share {variable!r} and are padded at different sides",
                    where="padding",
                    fix="Give both the same `side`.",
                )
    for name, policy in policies.items():
        known = [given[sides[variable]].side for variable in _padded(signature, name) if variable in sides]
        policies[name] = given.get(name) or replace(policy, side="start" if "start" in known else "end")
    return policies


def _padded(signature: Signature, name: str) -> set[str]:
    """Return an input's variables without the one that all inputs begin with: rows are always added at the end."""
    firsts = {tensor.dims[0] if tensor.dims else None for tensor in signature.inputs}
    (dims,) = (tensor.dims for tensor in signature.inputs if tensor.name == name)
    return {dim for dim in dims if isinstance(dim, str) and firsts != {dim}}


def given_policies(padding: str | Mapping[str, Any]) -> dict[str, Padding]:
    """Return the policies in a configuration's ``runtime.padding``; none where it is a word."""
    return {} if isinstance(padding, str) else {name: Padding(**policy) for name, policy in padding.items()}
