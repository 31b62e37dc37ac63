"""What the report says of exactness: verdicts, differences at smaller sizes, and what padding does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from scaling_tasks.reporting.figures import difference

if TYPE_CHECKING:
    from scaling_tasks.verification.padding_result import PaddingResult
    from scaling_tasks.verification.verification_result import VerificationResult

__all__ = ["Table", "padding_tables", "sizes_text", "smaller_table", "verdict_table"]

Table: TypeAlias = "tuple[list[str], list[list[str]]]"

_WORDS = {"cleaned": "exact (cleaned)"}
_WHY = {"exact": "padding cannot reach it", "cleaned": "padding is cleaned, or the true size told, before it matters"}


def verdict_table(verdicts: Sequence[Mapping[str, str]]) -> dict[str, Table]:
    """Return the verdict of each output and variable, and why.

    Args:
        verdicts: The fields of `Verdict`.
    """
    rows = []
    for each in verdicts:
        node = f"{each['operator']} {each['node']!r}: " if each["node"] else ""
        why = f"{node}{each['reason']}" if each["reason"] else _WHY.get(each["kind"], "accepted")
        rows.append([each["output"], each["variable"], _WORDS.get(each["kind"], each["kind"]), why])
    return {"Verdicts": (["output", "variable", "verdict", "why"], rows)} if rows else {}


def smaller_table(verified: Mapping[str, VerificationResult], variables: Sequence[str]) -> dict[str, Table]:
    """Return, per bucket, the largest difference at its own size and at the smaller sizes that were tried in it."""
    found: dict[str, tuple[list[float], list[tuple[float, str]]]] = {}
    for check in (check for one in verified.values() for check in one.buckets):
        own, smaller = found.setdefault(_ordered(check.bucket, variables) or "static", ([], []))
        if check.sizes == check.bucket:
            own.append(check.worst.absolute)
        else:
            smaller.append((check.worst.absolute, _ordered(check.sizes, variables)))
    rows = []
    for bucket, (own, smaller) in found.items():
        worst, size = max(smaller, default=(0.0, "-"))
        tried = difference(worst) if smaller else "-"
        rows.append([bucket, difference(max(own)) if own else "-", tried, size, str(len(smaller))])
    head = ["bucket", "largest difference at its size", "at smaller sizes", "at size", "sizes tried"]
    return {"Difference from the original": (head, rows)} if rows else {}


def padding_tables(found: PaddingResult, variables: Sequence[str]) -> dict[str, Table]:
    """Return, per bucket, the largest change of each output by padding, at the sizes where it was looked for."""
    worst: dict[tuple[str, str], tuple[float, str, float | None]] = {}
    for probe in found.probes:
        for output in probe.outputs:
            place = (_ordered(probe.bucket, variables), output.output)
            if place not in worst or output.absolute > worst[place][0]:
                worst[place] = (output.absolute, _ordered(probe.sizes, variables), output.agreement)
    rows = [
        [bucket, output, difference(absolute), sizes, "-" if agreement is None else f"{agreement:.1%}"]
        for (bucket, output), (absolute, sizes, agreement) in worst.items()
    ]
    tables = {"What padding does to answers": (["bucket", "output", "largest change", "at size", "same class"], rows)}
    if found.policies:
        ranking = [
            [
                f"{each.policy}, recommended" if each.policy == found.recommended else each.policy,
                "-" if each.agreement is None else f"{each.agreement:.2%}",
                difference(each.mean),
                difference(each.absolute),
            ]
            for each in found.policies
        ]
        head = ["policy, nearest to the original first", "same class", "mean change", "largest change"]
        tables["Padding policies"] = (head, ranking)
    return tables


def sizes_text(sizes: Iterable[int]) -> str:
    """Return ``32 × 64``."""
    return " × ".join(str(size) for size in sizes)


def _ordered(sizes: Mapping[str, int], variables: Sequence[str]) -> str:
    """Return sizes in the order of the plan's variables; a document has them in the order of their names."""
    return sizes_text(sizes[name] for name in variables)
