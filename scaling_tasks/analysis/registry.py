"""The table of known operators; what is not in it is refused, never taken for harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["Refusal", "Rule", "known_operators", "operator", "refusal_for", "refuse", "rule_for"]

Outcome: TypeAlias = "Tensor | Sequence[Tensor]"
Function: TypeAlias = Callable[[Operation], Outcome]


@dataclass(frozen=True)
class Rule:
    """How an operator is followed.

    Attributes:
        function: From an operation to its outputs.
        sizes: Inputs that say how large something is; all others are data, which must be told the exact sizes.
        broadcasts: Whether its inputs are broadcast against each other.
    """

    function: Function
    sizes: tuple[int, ...] = ()
    broadcasts: bool = False


_RULES: dict[tuple[str, str], Rule] = {}
_DEFAULT_DOMAINS = ("", "ai.onnx")


def operator(
    *names: str, sizes: Sequence[int] = (), broadcasts: bool = False, domain: str = ""
) -> Callable[[Function], Function]:
    """Register a function as the rule of the named operators."""

    def register(function: Function) -> Function:
        for name in names:
            _RULES[domain, name] = Rule(function, tuple(sizes), broadcasts)
        return function

    return register


@dataclass(frozen=True)
class Refusal:
    """Why an operator is not followed.

    Attributes:
        text: The reason.
        always: Whether it is refused also where no size reaches it.
        fix: What the user can do.
    """

    text: str
    always: bool
    fix: str = ""


_REFUSALS: dict[tuple[str, str], Refusal] = {}


def refuse(text: str, *names: str, always: bool = False, domain: str = "", fix: str = "") -> None:
    """Say why the named operators are not followed."""
    for name in names:
        _REFUSALS[domain, name] = Refusal(text, always, fix)


def refusal_for(domain: str, name: str) -> Refusal:
    """Return why an operator without a rule is not followed."""
    found = _REFUSALS.get(("" if domain in _DEFAULT_DOMAINS else domain, name))
    return found or Refusal("it is not among the operators whose use of padding is known", always=False)


def rule_for(domain: str, name: str) -> Rule | None:
    """Return an operator's rule, None where it is not known."""
    return _RULES.get(("" if domain in _DEFAULT_DOMAINS else domain, name))


def known_operators() -> list[str]:
    """Return the names of all operators that can be followed, those of other domains with their domain."""
    return sorted(f"{domain}.{name}" if domain else name for domain, name in _RULES)
