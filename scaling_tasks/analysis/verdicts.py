"""What padding does to each output: nothing, nothing once cleaned, or something that cannot be undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from scaling_tasks.analysis.tensors import Tensor

__all__ = ["Kind", "Verdict", "verdicts_of"]

Kind = Literal["exact", "cleaned", "approximate", "refused"]


@dataclass(frozen=True)
class Verdict:
    """The verdict of one variable for one output.

    Attributes:
        output: Name of the output.
        variable: Name of the variable.
        kind: ``exact`` as it is, ``cleaned`` (exact by cleaning), ``approximate`` or ``refused``.
        node: The node to blame, empty where there is none.
        operator: Its type.
        reason: What it does.
        fix: What the user can do.
    """

    output: str
    variable: str
    kind: Kind
    node: str = ""
    operator: str = ""
    reason: str = ""
    fix: str = ""

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        return dict(vars(self))


def verdicts_of(outputs: Iterable[tuple[str, Tensor]], variables: Iterable[str]) -> tuple[Verdict, ...]:
    """Return one verdict per output and variable."""
    names = list(variables)
    return tuple(_verdict(name, tensor, variable) for name, tensor in outputs for variable in names)


def _verdict(name: str, tensor: Tensor, variable: str) -> Verdict:
    blame = tensor.blames.get(variable)
    if blame is not None:
        return Verdict(name, variable, "refused", blame.node, blame.operator, blame.text, blame.fix)
    if tensor.axes is None:
        return Verdict(name, variable, "refused", reason="its shape cannot be followed")
    return Verdict(name, variable, "cleaned" if variable in tensor.cleaned else "exact")
