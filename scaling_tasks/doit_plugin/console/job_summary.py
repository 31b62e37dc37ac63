"""A run as Markdown, for the summary page of a CI job."""

from __future__ import annotations

from scaling_tasks.doit_plugin.console.run_outcomes import FAILED, UNREACHED, RunOutcomes
from scaling_tasks.doit_plugin.console.transfers import transfers_line

__all__ = ["job_summary"]


def job_summary(run: RunOutcomes) -> str:
    """Return a heading, the table of targets, what failed, and what the store did."""
    from scaling_tasks.reporting.summary import markdown_table

    failed = [name for name, outcome in run.outcomes.items() if outcome == FAILED]
    unreached = sum(outcome == UNREACHED for outcome in run.outcomes.values())
    rows = run.rows()
    parts = [f"## scaling_tasks: {f'{len(failed)} failed' if failed else 'all built'}"]
    parts += [markdown_table(rows)] if rows else []
    parts += [f"{row['target']} was left out: {row['left out']}" for row in rows if "left out" in row]
    parts += [f"### {name}\n\n{_block(run.messages.get(name, ''))}" for name in failed]
    parts += [f"{unreached} more could not start because of that."] if failed and unreached else []
    parts += filter(None, (run.store_line(), transfers_line()))
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
