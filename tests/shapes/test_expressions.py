"""Expressions as documents hold them."""

from __future__ import annotations

import pytest

from scaling_tasks.shapes.expressions import parse_expression


@pytest.mark.parametrize("value", [None, 1.5, True, ["^", 1, 2], ["+", 1], {"+": 1}])
def test_malformed_expressions_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not an expression"):
        parse_expression(value)
