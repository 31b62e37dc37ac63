"""What padding does to each output: nothing, nothing once cleaned, or something that cannot be undone."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.behaviour import BEHIND, Verdict
from scaling_tasks.shapes.data_lengths import is_mixed, is_told

__all__ = ["untold_axis", "verdicts_of"]


def verdicts_of(outputs: Iterable[tuple[str, Tensor]], variables: Iterable[str]) -> tuple[Verdict, ...]:
    """Return one verdict per output and variable."""
    names = list(variables)
    return tuple(_verdict(name, tensor, variable) for name, tensor in outputs for variable in names)


def untold_axis(tensor: Tensor) -> int | None:
    """Return the axis of an output that data and sizes make so long that nobody can tell its padding, if one is."""
    layouts = [axis.layout() for axis in tensor.axes or ()]
    return next((at for at, layout in enumerate(layouts) if is_mixed(layout) and not is_told(layout)), None)


def _verdict(name: str, tensor: Tensor, variable: str) -> Verdict:
    blame, behind = tensor.blames.get(variable), ""
    if blame is None and tensor.axes is None:
        blame, behind = next(iter(tensor.blames.values()), None), BEHIND
    if blame is not None:
        return Verdict(name, variable, "refused", blame.node, blame.operator, f"{blame.text}{behind}", blame.fix)
    if tensor.axes is None:
        return Verdict(name, variable, "refused", reason="its shape cannot be followed")
    at = untold_axis(tensor)
    if at is not None:
        reason = f"axis {at} has a length that data and sizes decide together, and no run tells by how much"
        return Verdict(name, variable, "refused", reason=reason, fix="Give its parts as outputs of their own.")
    return Verdict(name, variable, "cleaned" if variable in tensor.cleaned else "exact")
