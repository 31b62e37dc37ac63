"""The documentation lists the operators that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_tasks.analysis.listing import with_operators

PAGE = Path(__file__).resolve().parents[2] / "docs/exactness.md"


def test_the_documentation_lists_the_known_operators() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_operators(text), "run python -m scaling_tasks.analysis.listing"
    assert "`Conv`" in text


def test_a_page_without_a_place_for_them_is_refused() -> None:
    with pytest.raises(ValueError, match="the page lacks"):
        with_operators("no place")
