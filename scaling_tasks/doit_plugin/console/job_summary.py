"""A run as Markdown, for the summary page of a CI job."""

from __future__ import annotations

from scaling_tasks.doit_plugin.console.run_outcomes import UNREACHED, RunOutcomes
from scaling_tasks.doit_plugin.console.transfers import transfers_line

__all__ = ["job_summary"]


def job_summary(run: RunOutcomes) -> str:
    """Return a heading, the table of targets, what failed by its cause, and what the store did."""
    from scaling_tasks.reporting.summary import markdown_table

    failures = run.failures
    unreached = sum(outcome == UNREACHED for outcome in run.outcomes.values())
    rows = run.rows()
    parts = [f"## scaling_tasks: {failures.heading() if failures.messages else 'all built'}"]
    parts += [markdown_table(rows)] if rows else []
    parts += [f"{row['target']} was left out: {row['left out']}" for row in rows if "left out" in row]
    for names in failures.by_cause():
        parts += [f"### {failures.title(names)}\n\n{_block(failures.message(names))}"]
        parts += ["\n".join(f"- {place}" for place in failures.places(names, len(names)))] if len(names) > 1 else []
    parts += [f"{unreached} more could not start because of that."] if failures.messages and unreached else []
    parts += filter(None, (run.store_line(), transfers_line()))
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
