"""Stage ``measure``: the latency of each bucket, which the next run's plan may be made from."""

from __future__ import annotations

import contextlib
from typing import Any

from scaling_tasks.documents import parse_document
from scaling_tasks.errors import BundleError, VerificationFailed
from scaling_tasks.files import write_if_changed
from scaling_tasks.pipeline.process import work_apart
from scaling_tasks.pipeline.target import Target

__all__ = ["run", "work"]


def run(target: Target) -> dict[str, Any]:
    """Measure the buckets that the table does not have yet; what was measured before is kept.

    Returns:
        ``measured``: how many shapes the table has.
    """
    text = work_apart("measure", target)
    write_if_changed(target.latency, text.encode())
    return {
        "measured": len(parse_document(text, "latencies", 1, where=target.name, error=VerificationFailed)["shapes"])
    }


def work(target: Target, unit: None) -> str:
    """Return the latency document; called in a process of its own."""
    from scaling_tasks.runtime.bundle import read_manifest
    from scaling_tasks.verification.latency import LatencyTable, measure_bundle

    known = None
    with contextlib.suppress(BundleError):
        known = LatencyTable.load(target.latency)
    return measure_bundle(target.directory, read_manifest(target.directory), known).to_json()
