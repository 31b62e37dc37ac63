"""Stage ``report``: everything known of a target to ``report.html``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling_tasks.config.load import section
from scaling_tasks.documents import canonical_json, read_document
from scaling_tasks.errors import CompileError, ScalingTasksError
from scaling_tasks.files import write_if_changed
from scaling_tasks.pipeline.artefacts import read_record
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import read_units

if TYPE_CHECKING:
    from scaling_tasks.planning.plan import BucketPlan
    from scaling_tasks.shapes.statistics import DatasetStatistics

__all__ = ["run"]

Table = tuple[list[str], list[list[str]]]


def run(target: Target) -> dict[str, Any]:
    """Write the report."""
    from scaling_tasks.planning.plan import BucketPlan
    from scaling_tasks.reporting.page import report_page
    from scaling_tasks.shapes.statistics import DatasetStatistics

    plan = BucketPlan.from_json(target.buckets.read_bytes(), where=str(target.buckets))
    statistics = None
    if target.needs_data:
        statistics = DatasetStatistics.from_json(target.statistics.read_bytes(), where=str(target.statistics))
    verified = _verifications(target)
    facts: dict[str, Any] = {
        "title": f"{target.name}: {len(plan.buckets)} buckets",
        "subtitle": _subtitle(target),
        "headline": _headline(plan, statistics, verified),
        "warnings": plan.warnings,
        "variables": plan.variables,
        "buckets": plan.buckets.tolist(),
        **_samples(statistics),
        "curves": _curves(plan),
        "tables": {
            "Buckets": _bucket_table(plan, _latencies(target)),
            **_artefact_table(target, verified),
            **_padding_table(target),
            **_metric_table(target),
        },
        "settings": _settings(target, plan),
    }
    write_if_changed(target.report, report_page(facts).encode())
    return {"path": target.report.as_posix()}


def _subtitle(target: Target) -> str:
    parts = [f"model {target.spec.model}" if target.spec.model else "", target.options.get("backend", "")]
    parts.append(f"data {target.spec.dataset.path}" if target.needs_data and target.spec.dataset else "no data set")
    return " · ".join(part for part in parts if part)


def _headline(
    plan: BucketPlan, statistics: DatasetStatistics | None, verified: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    values = {}
    if statistics is not None:
        values["samples"] = f"{statistics.histogram.total:.0f}"
        values["distinct shapes"] = str(len(statistics.histogram.samples))
        values["padding ratio"] = f"{plan.padding_ratio:.3f}"
        values["coverage"] = f"{plan.coverage:.2%}"
    if unseen := plan.details.get("unseen"):
        values["padding on unseen data"] = f"{unseen['padding_ratio']:.3f}"
        values["coverage of unseen data"] = f"{unseen['coverage']:.1%}"
    if plan.lower_bound is not None:
        values["proven lower bound"] = f"{plan.lower_bound:.3f}"
    values["buckets"] = str(len(plan.buckets))
    if verified:
        worst = max((each["absolute"] for one in verified.values() for each in one["buckets"]), default=0.0)
        values["largest difference"] = f"{worst:.1e}"
    return values


def _samples(statistics: DatasetStatistics | None) -> dict[str, Any]:
    if statistics is None:
        return {}
    return {"samples": statistics.histogram.samples.tolist(), "weights": statistics.histogram.weights.tolist()}


def _curves(plan: BucketPlan) -> dict[str, list[tuple[float, float]]]:
    """Return the plan's own curve first, then those of the common rules."""
    curves: dict[str, Any] = {plan.strategy: plan.details.get("curve") or (), **(plan.details.get("rules") or {})}
    named = {name: [(float(k), float(ratio)) for k, ratio in points] for name, points in curves.items()}
    return {name: points for name, points in named.items() if len(points) > 1}


def _bucket_table(plan: BucketPlan, latencies: Mapping[tuple[int, ...], float]) -> Table:
    total = float(plan.hits.sum()) or 1.0
    rows = []
    for bucket, hits, cost in zip(plan.buckets.tolist(), plan.hits, plan.bucket_costs, strict=True):
        row = [_sizes(bucket) or "static", f"{hits:.0f}", f"{hits / total:.1%}", f"{cost:.4g}"]
        if latencies:
            seconds = latencies.get(tuple(bucket))
            row.append("-" if seconds is None else f"{seconds * 1e3:.2f} ms")
        rows.append(row)
    header = [" × ".join(plan.variables) or "shape", "samples served", "share", "cost"]
    return [*header, "latency"] if latencies else header, rows


def _sizes(sizes: Iterable[int]) -> str:
    return " × ".join(str(size) for size in sizes)


def _latencies(target: Target) -> dict[tuple[int, ...], float]:
    """Return the measured seconds per shape, where anything was measured."""
    if not (target.has("measure") and target.latency.exists()):
        return {}
    found = read_document(target.latency, "latencies", 1, error=CompileError)
    return {tuple(shape): seconds for shape, seconds in zip(found["shapes"], found["seconds"], strict=True)}


def _padding_table(target: Target) -> dict[str, Table]:
    """Return, per bucket, the largest change of each output by padding, at the sizes where it was looked for."""
    if not (target.has("padding") and target.padding.exists()):
        return {}
    found = read_document(target.padding, "padding", 2, error=CompileError)
    worst: dict[tuple[str, str], tuple[float, str, float | None]] = {}
    for probe in found["probes"]:
        for output in probe["outputs"]:
            place = (_sizes(probe["bucket"].values()), output["output"])
            if place not in worst or output["absolute"] > worst[place][0]:
                worst[place] = (output["absolute"], _sizes(probe["sizes"].values()), output["agreement"])
    rows = [
        [bucket, output, f"{absolute:.1e}", sizes, "-" if agreement is None else f"{agreement:.1%}"]
        for (bucket, output), (absolute, sizes, agreement) in worst.items()
    ]
    tables = {"What padding does to answers": (["bucket", "output", "largest change", "at size", "same class"], rows)}
    if "policies" in found:
        ranking = [
            [
                f"{each['policy']}, recommended" if each["policy"] == found["recommended"] else each["policy"],
                "-" if each["agreement"] is None else f"{each['agreement']:.2%}",
                f"{each['mean']:.1e}",
                f"{each['absolute']:.1e}",
            ]
            for each in found["policies"]
        ]
        head = ["policy, nearest to the original first", "same class", "mean change", "largest change"]
        tables["Padding policies"] = (head, ranking)
    return tables


def _metric_table(target: Target) -> dict[str, Table]:
    if not (target.has("metric") and target.metric.exists()):
        return {}
    found = read_document(target.metric, "metric", 1, error=CompileError)
    row = [found["metric"], f"{found['buckets']:.4f}", f"{found['exact']:.4f}", f"{found['drop']:g}"]
    return {"Task metric": (["metric", "through the buckets", "original at exact shapes", "accepted loss"], [row])}


def _artefact_table(target: Target, verified: Mapping[str, Mapping[str, Any]]) -> dict[str, Table]:
    if not target.compiles:
        return {}
    rows = []
    for unit in read_units(target.units).units:
        files = _files(target, unit.name)
        checks = verified.get(unit.name, {}).get("buckets", [])
        rows.append(
            [
                unit.stem,
                str(len(unit.buckets)),
                f"{sum(file['size'] for file in files) / 1e6:.2f} MB",
                _worst(checks, "absolute"),
                _worst(checks, "relative"),
            ]
        )
    return {"Artefacts": (["artefact", "buckets", "size", "largest difference", "relative"], rows)}


def _files(target: Target, unit: str) -> list[dict[str, Any]]:
    try:
        return list(read_record(target, unit)["files"])
    except ScalingTasksError:
        return []


def _worst(checks: Sequence[Mapping[str, Any]], key: str) -> str:
    return f"{max(check[key] for check in checks):.1e}" if checks else "-"


def _verifications(target: Target) -> dict[str, dict[str, Any]]:
    if not target.compiles:
        return {}
    found = {}
    for unit in read_units(target.units).units:
        path = target.verification(unit.name)
        if path.exists():
            found[unit.name] = read_document(path, "verification", 1, error=CompileError)
    return found


def _settings(target: Target, plan: BucketPlan) -> str:
    parts = {
        "strategy": plan.strategy,
        "parameters": dict(plan.parameters),
        "cost": dict(plan.cost),
        "compile": section(target.spec.compile),
        "statistics": plan.statistics_digest,
    }
    return "\n".join(f"{name}: {canonical_json(value)}" for name, value in parts.items())
