"""Which operators are known, as Markdown: ``python -m scaling_tasks.analysis.listing`` renews docs/exactness.md."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

__all__ = ["operator_list", "with_operators"]

_BEGIN, _END = "<!-- operators: begin -->\n", "<!-- operators: end -->"


def operator_list() -> str:
    """Return the names of all known operators, a paragraph per domain."""
    from scaling_tasks.analysis.operators import load_rules
    from scaling_tasks.analysis.registry import known_operators
    from scaling_tasks.analysis.sequences import FOLLOWED

    load_rules()
    pairs = sorted((name.rpartition(".")[0], name.rpartition(".")[2]) for name in (*known_operators(), *FOLLOWED))
    parts = []
    for domain, names in groupby(pairs, key=lambda pair: pair[0]):
        listed = ", ".join(f"`{name}`" for _, name in names)
        parts.append(f"{f'Of `{domain}`: ' if domain else ''}{listed}.\n")
    return "\n".join(parts)


def with_operators(text: str) -> str:
    """Return a page with its list of operators renewed.

    Raises:
        ValueError: The page has no place for one.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page lacks {_BEGIN.strip()} and {_END}")
    return f"{before}{begin}{operator_list()}{end}{after}"


if __name__ == "__main__":
    page = Path(__file__).parents[2] / "docs" / "exactness.md"
    page.write_text(with_operators(page.read_text(encoding="utf-8")), encoding="utf-8")
