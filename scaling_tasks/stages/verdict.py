"""What a target's verdict is, in the words that people see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling_tasks.shapes.behaviour import Behaviour, Verdict, VerdictKind

__all__ = ["ACCEPT", "verdict_line"]

ACCEPT = "Fix {variable} with input_shape, or accept it with `runtime: {{padding: accept}}`."
"""What can be done about any refusal."""


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
    return _refused(behaviour.refusals)


def _refused(refusals: tuple[Verdict, ...]) -> str:
    first = refusals[0]
    others = f" ({len(refusals) - 1} more)" if len(refusals) > 1 else ""
    fix = f"{first.fix} " if first.fix else ""
    return f"refused: {first}{others}. {fix}{ACCEPT.format(variable=first.variable)}"
