"""Whole-number expressions of the variables: what says how long an output axis is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Expression", "evaluate", "parse_expression", "variables_of"]

# A number, a variable's name, or (operator, left, right); as JSON the tuples are lists.
Expression: TypeAlias = "int | str | tuple[str, Expression, Expression]"

_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "//": lambda left, right: left // right,
    "min": min,
    "max": max,
}


def evaluate(expression: Expression, values: Mapping[str, int]) -> int:
    """Return the value of ``expression``; ``//`` rounds down.

    Raises:
        KeyError: A variable has no value.
    """
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return values[expression]
    operator, left, right = expression
    return _OPERATORS[operator](evaluate(left, values), evaluate(right, values))


def variables_of(expression: Expression) -> frozenset[str]:
    """Return the names of the variables that ``expression`` uses."""
    if isinstance(expression, tuple):
        return variables_of(expression[1]) | variables_of(expression[2])
    return frozenset([expression] if isinstance(expression, str) else [])


def parse_expression(value: Any) -> Expression:
    """Return the expression that JSON ``value`` holds.

    Raises:
        ValueError: It holds none.
    """
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)) and len(value) == 3 and value[0] in _OPERATORS:
        return (value[0], parse_expression(value[1]), parse_expression(value[2]))
    raise ValueError(f"{value!r} is not an expression")
