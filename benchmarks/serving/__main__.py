"""Crops per second, latency per page, and lines read right, of every way of serving text recognition.

    python -m benchmarks.serving [--rounds 4] [--pages 16] [--rows RapidOCR,ours]

Each row runs in a process of its own; all serve the same pages, page by page in turn, one process at a time, so that
whatever else the machine does hits all of them alike. The first round is cold in shapes: it is what a dynamic engine
gives for widths that it has not seen. The best of the other rounds is warm: what a page takes when nothing disturbs it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.serving.crops import find_work
from benchmarks.serving.rows import BUILD, REFERENCE, Row, row_names
from examples.ocr.line_accuracy import same_text


def time_rows(rows: Mapping[str, Row], pages: int, rounds: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return seconds [rounds, pages] per row."""
    seconds = {name: np.zeros((rounds, pages)) for name in rows}
    for turn in range(rounds):
        for page in range(pages):
            # Another row begins each time: none always follows the same one.
            for name in np.roll(list(rows), turn + page):
                seconds[str(name)][turn, page] = rows[str(name)].serve(page)
    return seconds


def summary(
    seconds: np.ndarray[Any, Any], texts: Sequence[str], exact: Sequence[str], truth: Sequence[str], memory: int
) -> dict[str, float]:
    """Return the figures of one row."""
    warm = (seconds[1:] if len(seconds) > 1 else seconds).min(axis=0)
    return {
        "crops/s": len(truth) / float(warm.sum()),
        "cold": len(truth) / float(seconds[0].sum()),
        "page p50 ms": 1e3 * float(np.quantile(warm, 0.5)),
        "page p99 ms": 1e3 * float(np.quantile(warm, 0.99)),
        "right %": 100 * float(np.mean([same_text(a, b) for a, b in zip(texts, truth, strict=True)])),
        "as exact %": 100 * float(np.mean([a == b for a, b in zip(texts, exact, strict=True)])),
        "memory GB": memory / 1e9,
    }


def main() -> None:
    """Run and print the table as Markdown; write it to ``build/benchmarks/serving/result.json``."""
    parser = argparse.ArgumentParser(description="Compare ways of serving text recognition.")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pages", type=int, default=None)
    parser.add_argument("--rows", default="", help="comma-separated parts of row names; all by default")
    options = parser.parse_args()
    work = find_work(options.pages)
    parts = [part for part in options.rows.split(",") if part]
    names = [name for name in row_names() if name == REFERENCE or not parts or any(part in name for part in parts)]
    rows = {name: Row(name, options.pages) for name in names}
    seconds = time_rows(rows, len(work.pages), options.rounds)
    ended = {name: row.close() for name, row in rows.items()}
    truth = [text for page in work.pages for text in page.texts]
    texts = {name: [text for page in pages for text in page] for name, (pages, _) in ended.items()}
    table = {name: summary(seconds[name], texts[name], texts[REFERENCE], truth, ended[name][1]) for name in names}
    print(f"{work.name}: {len(truth)} lines on {len(work.pages)} pages, {os.cpu_count()} cores\n")
    heads = list(next(iter(table.values())))
    print(f"| {'':40} |" + "".join(f"{head:>12} |" for head in heads))
    print("|---" * (1 + len(heads)) + "|")
    for name, figures in table.items():
        print(f"| {name:40} |" + "".join(f"{figures[head]:12.1f} |" for head in heads))
    BUILD.mkdir(parents=True, exist_ok=True)
    result = {"work": work.name, "pages": len(work.pages), "rows": table}
    (BUILD / "result.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
