"""What a target's verdict is, in the words that people see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling_tasks.shapes.behaviour import Behaviour, VerdictKind

__all__ = ["listed", "verdict_line", "way_out"]


def way_out(behaviour: Behaviour) -> str:
    """Return what can be done about the first refusal: outputs of unknown shape cannot be cut, whatever is accepted."""
    first = behaviour.blamed[0]
    alike = [each for each in behaviour.blamed if (each.node, each.reason) == (first.node, first.reason)]
    own = f"{first.fix} " if first.fix else ""
    fix = f"{own}Fix {listed(each.variable for each in alike)} with input_shape"
    shapeless = sorted({each.output for each in behaviour.refusals if behaviour.layouts[each.output] is None})
    if not shapeless:
        return f"{fix}, or accept it with `runtime: {{padding: accept}}`."
    fewer = len(shapeless) < len(behaviour.layouts)
    names = f"output{'s' * (len(shapeless) > 1)} {listed(map(repr, shapeless))}"
    left = f", or leave the {names} out of the model" if fewer else ""
    return f"{fix}{left}; accepting it is no way out, as the shape of {names} is not known."


def listed(names: Iterable[str]) -> str:
    """Return names in order, each once, as they stand in a sentence."""
    *others, last = sorted(set(names))
    return f"{', '.join(others)} and {last}" if others else last


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
    others = f" ({len(behaviour.refusals) - 1} more)" if len(behaviour.refusals) > 1 else ""
    return f"refused: {behaviour.blamed[0]}{others}. {way_out(behaviour)}"
