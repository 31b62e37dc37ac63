"""Whole-number expressions of the variables: what says how long an output axis is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Expression", "as_text", "evaluate", "parse_expression", "parse_sum", "substitute", "variables_of"]

# A number, a variable's name, or (operator, left, right); as JSON the tuples are lists.
Expression: TypeAlias = "int | str | tuple[str, Expression, Expression]"

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "//": lambda left, right: left // right,
    # So that arrays of sizes can be evaluated at once.
    "min": lambda left, right: (left + right - abs(left - right)) // 2,
    "max": lambda left, right: (left + right + abs(left - right)) // 2,
}


def evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Return the value of ``expression`` at whole numbers, or at arrays of them; ``//`` rounds down.

    Raises:
        KeyError: A variable has no value.
    """
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return values[expression]
    operator, left, right = expression
    return _OPERATORS[operator](evaluate(left, values), evaluate(right, values))


def as_text(expression: Expression, *, inner: bool = False) -> str:
    """Return the expression as a reader would write it."""
    if not isinstance(expression, tuple):
        return str(expression)
    operator, left, right = expression
    if operator in ("min", "max"):
        return f"{operator}({as_text(left)}, {as_text(right)})"
    text = f"{as_text(left, inner=operator in ('*', '//'))}{operator}{as_text(right, inner=operator != '+')}"
    return f"({text})" if inner or operator == "//" else text


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


def substitute(expression: Expression, values: Mapping[str, int]) -> Expression:
    """Return the expression with some variables replaced by numbers."""
    if isinstance(expression, str):
        return values.get(expression, expression)
    if isinstance(expression, int):
        return expression
    operator, left, right = expression[0], substitute(expression[1], values), substitute(expression[2], values)
    if isinstance(left, int) and isinstance(right, int):
        return int(_OPERATORS[operator](left, right))
    return (operator, left, right)


def parse_sum(text: str) -> Expression | None:
    """Return the expression that a dimension's name is, such as ``past + seq`` or ``2*frames``; None for none."""
    try:
        return _from_syntax(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_SYNTAX: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//"}


def _from_syntax(node: ast.AST) -> Expression:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _SYNTAX:
        return (_SYNTAX[type(node.op)], _from_syntax(node.left), _from_syntax(node.right))
    raise ValueError("not an expression")
