"""The report of one target as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from scaling_tasks.reporting.charts import box_chart, curve_chart, interval_chart

__all__ = ["report_page"]

_STYLE = """
:root { --ink: #1f2933; --soft: #66727f; --line: #dfe4ea; --panel: #f7f9fb; --accent: #0b6e4f; }
* { box-sizing: border-box }
body { margin: 2rem auto; max-width: 1080px; padding: 0 1.2rem; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem }
.sub { color: var(--soft); margin: .2rem 0 1.4rem }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: .7rem }
.fact { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem }
.fact b { display: block; font-size: 1.35rem; color: var(--accent) }
.fact span { color: var(--soft); font-size: .85rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 1rem }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .6rem } figcaption { color: var(--soft);
  font-size: .88rem } svg { width: 100%; height: auto; font-size: 12px; fill: var(--ink) }
.tick { fill: var(--soft); font-size: 11px } .grid { stroke: var(--line) } .bar { fill: #9fb3c8 }
.bucket { fill: var(--accent); fill-opacity: .05; stroke: var(--accent); stroke-opacity: .8 }
.sample { fill: #c2571a; fill-opacity: .55 } .edge { stroke: var(--accent); stroke-width: 1.6 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } th, td { text-align: right;
  padding: .28rem .6rem; border-bottom: 1px solid var(--line) } th:first-child, td:first-child { text-align: left }
th { color: var(--soft); font-weight: 600 } .warning { background: #fff6e5; border-left: 4px solid #e8a200;
  padding: .5rem .8rem; margin: .4rem 0 } pre { background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; padding: .8rem; white-space: pre-wrap; font-size: .85rem }
"""


def report_page(facts: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        facts: ``title`` and ``subtitle``; ``headline`` (label to value, shown large); ``samples`` (rows of sizes) with
            ``weights`` and ``variables``; ``buckets`` (rows); ``curves`` (name to points); ``warnings``; ``tables``
            (title to ``(header, rows)``); ``settings`` (text shown as it is). Whatever is missing is left out.
    """
    title = escape(str(facts["title"]))
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        f'<p class="sub">{escape(str(facts.get("subtitle", "")))}</p>',
        _headline(facts.get("headline", {})),
        *(f'<p class="warning">{escape(text)}</p>' for text in facts.get("warnings", ())),
        _charts(facts),
        *(_table(name, header, rows) for name, (header, rows) in facts.get("tables", {}).items()),
    ]
    if facts.get("settings"):
        parts.append(f"<h2>How it was made</h2><pre>{escape(str(facts['settings']))}</pre>")
    return "\n".join([*parts, "</body></html>\n"])


def _headline(values: Mapping[str, str]) -> str:
    cells = "".join(
        f'<div class="fact"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for label, value in values.items()
    )
    return f'<div class="facts">{cells}</div>'


def _charts(facts: Mapping[str, Any]) -> str:
    figures = []
    variables: Sequence[str] = facts.get("variables", ())
    if facts.get("buckets") and variables:
        figures += _sample_figures(facts, variables)
    if facts.get("curves"):
        chart = curve_chart(facts["curves"], ("number of buckets", "padding ratio"))
        figures.append(_figure(chart, "Padding ratio by number of buckets: this plan's strategy and the common rules."))
    return f'<h2>Samples and buckets</h2><div class="charts">{"".join(figures)}</div>' if figures else ""


def _sample_figures(facts: Mapping[str, Any], variables: Sequence[str]) -> list[str]:
    samples, weights, buckets = facts.get("samples", ()), facts.get("weights", ()), facts["buckets"]
    if len(variables) == 1:
        pairs = [(row[0], weight) for row, weight in zip(samples, weights, strict=True)]
        chart = interval_chart(pairs, [row[0] for row in buckets], variables[0])
        return [_figure(chart, f"Samples by {variables[0]}; each line is a bucket.")]
    figures = []
    for left, right in _pairs(len(variables)):
        dots = _merge((row[right], row[left], weight) for row, weight in zip(samples, weights, strict=True))
        boxes = sorted({(row[right], row[left]) for row in buckets})
        chart = box_chart(dots, boxes, (variables[right], variables[left]))
        caption = f"{variables[left]} and {variables[right]} of the samples (dots, by weight) and buckets (boxes)."
        figures.append(_figure(chart, caption))
    return figures


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(count - 2, count - 1)] if count > 3 else [(i, j) for i in range(count) for j in range(i + 1, count)]


def _merge(points: Iterable[tuple[float, float, float]], cells: int = 60) -> list[tuple[float, float, float]]:
    """Put samples that would be drawn on top of each other together, so that the page stays small."""
    every = list(points)
    step_x = max((x for x, _, _ in every), default=1) / cells or 1
    step_y = max((y for _, y, _ in every), default=1) / cells or 1
    cell: dict[tuple[int, int], tuple[float, float, float]] = {}
    for x, y, weight in every:
        place = (int(x / step_x), int(y / step_y))
        old = cell.get(place)
        cell[place] = (max(x, old[0]), max(y, old[1]), weight + old[2]) if old else (x, y, weight)
    return [cell[place] for place in sorted(cell)]


def _figure(chart: str, caption: str) -> str:
    return f"<figure>{chart}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(name)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
