"""The closing table of a run: one line per target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scaling_tasks.reporting.figures import difference, verdict

__all__ = ["markdown_table", "table"]

_HEADER = (
    "target",
    "samples",
    "buckets",
    "padding",
    "compiled",
    "from store",
    "kept",
    "verdict",
    "worst diff",
    "report",
    "bundle",
)
_NUMERIC = frozenset(range(1, len(_HEADER) - 2)) - {_HEADER.index("verdict")}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the facts of each target as aligned text.

    Args:
        rows: Per target ``target``, the stages' summaries under their names, ``units`` (unit to outcome) and
            ``difference`` (largest absolute difference from the original model).
    """
    lines = [_HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_aligned(line, widths) for line in [_HEADER, rule, *lines[1:]])


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the same facts as `table` in Markdown."""
    aligned = ["---:" if column in _NUMERIC else "---" for column in range(len(_HEADER))]
    lines = [_HEADER, aligned, *(_cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    outcomes = Counter(row["units"].values())
    failed = outcomes["failed"]
    plan = row.get("buckets") or {}
    return (
        row["target"],
        _number(row.get("statistics"), "weight", "{:.0f}"),
        _number(plan, "buckets", "{:.0f}"),
        _number(plan, "padding_ratio", "{:.3f}"),
        f"{outcomes['compiled']}" + (f" ({failed} failed)" if failed else ""),
        str(outcomes["restored"]),
        str(outcomes["up to date"]),
        verdict(row),
        difference(row["difference"]) if "difference" in row else "-",
        str((row.get("report") or {}).get("path", "-")),
        str((row.get("bundle") or {}).get("path", "-")),
    )


def _number(values: Mapping[str, Any] | None, key: str, form: str) -> str:
    value = (values or {}).get(key)
    return "-" if value is None else form.format(value)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell.rjust(width) if column in _NUMERIC else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()
