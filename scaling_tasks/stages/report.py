"""Stage ``report``: everything known of a target to ``report.html``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.actions.results import places_of
from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import CompileError, one_line
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
    from scaling_tasks.verification.padding_result import PaddingProbe
    from scaling_tasks.verification.verification_result import BucketCheck, VerificationResult

__all__ = ["STAGE", "work"]


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
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
    return ActionRequest(
        action, lambda: places_of(files), f"{__name__}:work", Subject(target.name, "the report", CompileError)
    )


def _bytes(files: Iterable[ResultFile]) -> int:
    return sum(file.size for file in files)


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write the report."""
    from scaling_tasks.planning.bucket_plan import BucketPlan
    from scaling_tasks.reporting.page import report_page
    from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
    from scaling_tasks.verification.padding_result import PaddingResult
    from scaling_tasks.verification.verification_result import VerificationResult

    plan = BucketPlan.read(inputs / "buckets.json")
    document = inputs / "statistics.json"
    statistics = DatasetStatistics.read(document) if document.exists() else None
    verified = {path.stem: VerificationResult.read(path) for path in sorted((inputs / "verification").glob("*.json"))}
    padded = PaddingResult.read(inputs / "padding.json") if (inputs / "padding.json").exists() else None
    checks = [each for one in verified.values() for each in one.buckets]
    _check_variables(plan, statistics, [*checks, *(padded.probes if padded else ())])
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
            **(padding_tables(padded, plan.variables) if padded else {}),
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
    plan: BucketPlan, statistics: DatasetStatistics | None, verified: Mapping[str, VerificationResult]
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
        values["largest difference"] = difference(max(each.absolute for each in verified.values()))
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


def _latencies(inputs: Path) -> Mapping[tuple[int, ...], float]:
    """Return the measured seconds per shape, where anything was measured."""
    from scaling_tasks.planning.latency_table import LatencyTable

    document = inputs / "latency.json"
    return LatencyTable.load(document).seconds if document.exists() else {}


def _metric_table(inputs: Path) -> dict[str, Table]:
    from scaling_tasks.verification.metric import MetricResult

    document = inputs / "metric.json"
    if not document.exists():
        return {}
    found = MetricResult.read(document)
    row = [found.metric, f"{found.buckets:.4f}", f"{found.exact:.4f}", f"{found.drop:g}"]
    return {"Task metric": (["metric", "through the buckets", "original at exact shapes", "accepted loss"], [row])}


def _artefact_table(
    artefacts: Sequence[tuple[str, str, int, int]], verified: Mapping[str, VerificationResult]
) -> dict[str, Table]:
    rows = []
    for name, stem, buckets, size in artefacts:
        found = verified.get(name)
        worst = [each.worst for each in found.buckets] if found else []
        told = [difference(max(map(attrgetter(of), worst))) if worst else "-" for of in ("absolute", "relative")]
        rows.append([stem, str(buckets), f"{size / 1e6:.2f} MB", *told])
    return {"Artefacts": (["artefact", "buckets", "size", "largest difference", "relative"], rows)} if rows else {}


def _check_variables(
    plan: BucketPlan, statistics: DatasetStatistics | None, checks: Iterable[BucketCheck | PaddingProbe]
) -> None:
    """Refuse documents that speak of other variables than the plan.

    Raises:
        CompileError: One does.
    """
    known = set(plan.variables)
    found = [set(sizes) for check in checks for sizes in (check.bucket, check.sizes)]
    if statistics is not None:
        found.append(set(statistics.variables))
    if strange := next((names for names in found if not names >= known), None):
        what = f"something is told of sizes of {one_line(sorted(strange))}, and the plan is over {sorted(known)}"
        raise CompileError(what, where="buckets.json", fix="Build again.")


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
