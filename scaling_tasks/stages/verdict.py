"""What a target's verdict is, in the words that people see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling_tasks.shapes.behaviour import Behaviour, Verdict, VerdictKind

__all__ = ["verdict_line", "way_out"]


def way_out(behaviour: Behaviour, refusal: Verdict) -> str:
    """Return what can be done about a refusal: an output of unknown shape cannot be cut, whatever is accepted."""
    own = f"{refusal.fix} " if refusal.fix else ""
    fix = f"{own}Fix {refusal.variable} with input_shape"
    if behaviour.layouts[refusal.output] is None:
        return f"{fix}, or leave the output {refusal.output!r} out of the model."
    return f"{fix}, or accept it with `runtime: {{padding: accept}}`."


def verdict_line(behaviour: Behaviour, places: int, possible: VerdictKind) -> str:
    """Return the verdict of a whole model in one line: of the worst of its outputs and variables.

    Args:
        behaviour: How answers relate to sizes and padding.
        places: How many tensors are cleaned.
        possible: The verdict without acceptance.
    """
    kind = behaviour.kind
    if kind == "exact":
        return "exact"
    if kind == "cleaned":
        return f"exact by cleaning ({places} {'place' if places == 1 else 'places'})"
    if kind == "approximate":
        if possible == "refused":
            return "approximate: accepted"
        return "approximate: accepted; exact by cleaning is possible: write `runtime: {padding: exact}`"
    first = behaviour.refusals[0]
    others = f" ({len(behaviour.refusals) - 1} more)" if len(behaviour.refusals) > 1 else ""
    return f"refused: {first}{others}. {way_out(behaviour, first)}"
