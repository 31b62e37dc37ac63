"""Stage ``report``: everything known of a target to ``report.html``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.actions.action import Action, Request
from scaling_tasks.actions.results import places_of
from scaling_tasks.documents import canonical_json, read_document
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.contract import Subject
from scaling_tasks.own_code import code_of
from scaling_tasks.reporting.figures import difference
from scaling_tasks.stages import measure, metric, padding
from scaling_tasks.stages.report_exactness import Table, padding_tables, sizes_text, smaller_table, verdict_table
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

if TYPE_CHECKING:
    from scaling_tasks.actions.results import ResultFile
    from scaling_tasks.planning.bucket_plan import BucketPlan
    from scaling_tasks.shapes.dataset_statistics import DatasetStatistics

__all__ = ["STAGE", "work"]


def _request(target: Target, made: Made, unit: str | None) -> Request:
    files = {"buckets.json": made.result("buckets").file("buckets.json")}
    if target.needs_data:
        files["statistics.json"] = made.result("statistics").file("statistics.json")
    for stage in (padding.STAGE, metric.STAGE, measure.STAGE):
        if stage.applies(target):
            files |= {file.name: file for file in made.result(stage.name).files}
    document = planned_units(made) if target.compiles else None
    units = document.units if document else ()
    for each in units:
        (files[f"verification/{each.name}.json"],) = made.result("verify", each.name).files
    spec = target.spec
    parameters = {
        "name": target.name,
        "model": spec.model,
        "data": spec.dataset.path if target.needs_data and spec.dataset else None,
        "compile": target.result_options or None,
        "verdicts": [vars(verdict) for verdict in document.behaviour.verdicts] if document else [],
        "artefacts": [
            [each.name, each.stem, len(each.buckets), _bytes(made.result("compile", each.name).files)] for each in units
        ],
    }
    action = Action(
        "report", code_of(), {name: f.digest for name, f in files.items()}, parameters, outputs=("report.html",)
    )
    return Request(
        action, lambda: places_of(files), f"{__name__}:work", Subject(target.name, "the report", CompileError)
    )


def _bytes(files: Iterable[ResultFile]) -> int:
    return sum(file.size for file in files)


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write the report."""
    from scaling_tasks.planning.bucket_plan import BucketPlan
    from scaling_tasks.reporting.page import report_page
    from scaling_tasks.shapes.dataset_statistics import DatasetStatistics

    plan = BucketPlan.from_json((inputs / "buckets.json").read_bytes())
    document = inputs / "statistics.json"
    statistics = DatasetStatistics.from_json(document.read_bytes()) if document.exists() else None
    verified = {
        path.stem: read_document(path, "verification", 2, error=CompileError, build=dict)
        for path in sorted((inputs / "verification").glob("*.json"))
    }
    facts: dict[str, Any] = {
        "title": f"{parameters['name']}: {len(plan.buckets)} buckets",
        "subtitle": _subtitle(parameters),
        "headline": _headline(plan, statistics, verified),
        "warnings": plan.warnings,
        "variables": plan.variables,
        "buckets": plan.buckets.tolist(),
        **_samples(statistics),
        "curves": _curves(plan),
        "tables": {
            **verdict_table(parameters["verdicts"]),
            "Buckets": _bucket_table(plan, _latencies(inputs)),
            **_artefact_table(parameters["artefacts"], verified),
            **smaller_table(verified, plan.variables),
            **padding_tables(inputs, plan.variables),
            **_metric_table(inputs),
        },
        "settings": _settings(parameters, plan),
    }
    (outputs / "report.html").write_text(report_page(facts), encoding="utf-8")
    return {}


def _subtitle(parameters: Mapping[str, Any]) -> str:
    parts = [f"model {parameters['model']}" if parameters["model"] else ""]
    parts.append((parameters["compile"] or {}).get("backend", ""))
    parts.append(f"data {parameters['data']}" if parameters["data"] else "no data set")
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
        values["largest difference"] = difference(worst)
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
        row = [sizes_text(bucket) or "static", f"{hits:.0f}", f"{hits / total:.1%}", f"{cost:.4g}"]
        if latencies:
            seconds = latencies.get(tuple(bucket))
            row.append("-" if seconds is None else f"{seconds * 1e3:.2f} ms")
        rows.append(row)
    header = [" × ".join(plan.variables) or "shape", "samples served", "share", "cost"]
    return [*header, "latency"] if latencies else header, rows


def _latencies(inputs: Path) -> dict[tuple[int, ...], float]:
    """Return the measured seconds per shape, where anything was measured."""
    document = inputs / "latency.json"
    if not document.exists():
        return {}
    found = read_document(document, "latencies", 1, error=CompileError, build=dict, sealed=False)
    return {tuple(shape): seconds for shape, seconds in zip(found["shapes"], found["seconds"], strict=True)}


def _metric_table(inputs: Path) -> dict[str, Table]:
    document = inputs / "metric.json"
    if not document.exists():
        return {}
    found = read_document(document, "metric", 1, error=CompileError, build=dict)
    row = [found["metric"], f"{found['buckets']:.4f}", f"{found['exact']:.4f}", f"{found['drop']:g}"]
    return {"Task metric": (["metric", "through the buckets", "original at exact shapes", "accepted loss"], [row])}


def _artefact_table(
    artefacts: Sequence[tuple[str, str, int, int]], verified: Mapping[str, Mapping[str, Any]]
) -> dict[str, Table]:
    rows = []
    for name, stem, buckets, size in artefacts:
        checks = verified.get(name, {}).get("buckets", [])
        rows.append(
            [stem, str(buckets), f"{size / 1e6:.2f} MB", _worst(checks, "absolute"), _worst(checks, "relative")]
        )
    return {"Artefacts": (["artefact", "buckets", "size", "largest difference", "relative"], rows)} if rows else {}


def _worst(checks: Sequence[Mapping[str, Any]], key: str) -> str:
    return difference(max(check[key] for check in checks)) if checks else "-"


def _settings(parameters: Mapping[str, Any], plan: BucketPlan) -> str:
    parts = {
        "strategy": plan.strategy,
        "parameters": dict(plan.parameters),
        "cost": dict(plan.cost),
        "compile": parameters["compile"],
        "statistics": plan.statistics_digest,
    }
    return "\n".join(f"{name}: {canonical_json(value)}" for name, value in parts.items())


STAGE = Stage(
    name="report",
    doc="write the report",
    after=("buckets", "verify", "padding", "metric", "bundle", "measure"),
    applies=lambda target: True,
    request=_request,
    place=lambda target, unit, name: target.directory / name,
    products=lambda target: (target.directory / "report.html",),
)
