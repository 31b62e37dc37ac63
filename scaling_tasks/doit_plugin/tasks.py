"""The doit tasks of each stage: actions, dependencies and targets as doit's dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scaling_tasks.doit_plugin.actions import RunStage, clean_unit
from scaling_tasks.doit_plugin.optional import leave_out
from scaling_tasks.doit_plugin.uptodate import DatasetUnchanged, KeyUnchanged, LockCurrent
from scaling_tasks.pipeline.target import Target

__all__ = ["KNOWN", "PER_UNIT", "WHOLE", "TaskDict", "left_out_task", "stage_task"]

TaskDict = dict[str, Any]


def stage_task(stage: str, target: Target, unit: str | None = None, **more: Any) -> TaskDict:
    """Return what the tasks of all stages have in common, with ``more`` on top."""
    return {
        "actions": [RunStage(stage, target, unit)],
        "uptodate": [KeyUnchanged(target, stage, unit)],
        "verbosity": 1,
        # Stages print nothing. Capturing would swap the streams of the whole process under the other threads.
        "io": {"capture": False},
        "clean": True,
        "meta": {"stage": stage, "target": target.name, "unit": unit},
        **more,
    }


def left_out_task(target: Target, reason: str) -> TaskDict:
    """Return the task that stands for all units of a target whose toolchain is missing."""
    return {
        "actions": [(leave_out, [target, reason])],
        "verbosity": 1,
        "meta": {"stage": "compile", "target": target.name, "unit": None},
    }


def _scan(target: Target) -> TaskDict:
    from scaling_tasks.pipeline import scan

    return stage_task(
        "scan", target, targets=[scan.summary(target).as_posix()], uptodate=[DatasetUnchanged(target)], clean=[]
    )


def _statistics(target: Target) -> TaskDict:
    from scaling_tasks.pipeline import scan

    return stage_task(
        "statistics",
        target,
        file_dep=[scan.summary(target).as_posix(), *_model(target)],
        targets=[target.statistics.as_posix()],
    )


def _buckets(target: Target) -> TaskDict:
    statistics = [target.statistics.as_posix()] if target.needs_data else []
    units = [target.units.as_posix()] if target.compiles else []
    analysis = [target.analysis.as_posix()] if target.compiles else []
    return stage_task(
        "buckets",
        target,
        file_dep=[*statistics, *analysis, *_model(target)],
        targets=[target.buckets.as_posix(), *units],
    )


def _analysis(target: Target) -> TaskDict:
    targets = [target.analysis.as_posix(), target.prepared_model.as_posix()]
    return stage_task("analysis", target, file_dep=_model(target), targets=targets)


def _model(target: Target) -> list[str]:
    return [target.model.as_posix()] if target.spec.model else []


def _compile(target: Target, unit: str) -> TaskDict:
    return stage_task(
        "compile",
        target,
        unit,
        task_dep=[f"buckets:{target.name}"],
        targets=[target.artefact_record(unit).as_posix()],
        clean=[(clean_unit, [target, unit])],
    )


def _verify(target: Target, unit: str) -> TaskDict:
    return stage_task(
        "verify",
        target,
        unit,
        task_dep=[f"compile:{target.name}:{unit}"],
        file_dep=[target.artefact_record(unit).as_posix()],
        targets=[target.verification(unit).as_posix()],
    )


def _bundle(target: Target, units: Sequence[str]) -> TaskDict:
    records = [target.artefact_record(unit).as_posix() for unit in units]
    return stage_task(
        "bundle",
        target,
        task_dep=[f"buckets:{target.name}", *(f"verify:{target.name}:{unit}" for unit in units)],
        file_dep=[target.buckets.as_posix(), target.units.as_posix(), *records],
        targets=[target.manifest.as_posix()],
    )


def _padding(target: Target, units: Sequence[str]) -> TaskDict:
    return _of_bundle("padding", target, [target.padding.as_posix()])


def _metric(target: Target, units: Sequence[str]) -> TaskDict:
    return _of_bundle("metric", target, [target.metric.as_posix()])


def _measure(target: Target, units: Sequence[str]) -> TaskDict:
    # What was measured outlives a `clean`: measuring anew would change the next plan.
    return _of_bundle("measure", target, [target.latency.as_posix()], clean=[])


def _of_bundle(stage: str, target: Target, targets: list[str], **more: Any) -> TaskDict:
    manifest = target.manifest.as_posix()
    return stage_task(stage, target, task_dep=[f"bundle:{target.name}"], file_dep=[manifest], targets=targets, **more)


def _report(target: Target, units: Sequence[str]) -> TaskDict:
    documents = {
        target.statistics: target.has("statistics"),
        target.manifest: target.has("bundle"),
        target.padding: target.has("padding"),
        target.metric: target.has("metric"),
        target.latency: target.has("measure"),
    }
    verifications = [target.verification(unit).as_posix() for unit in units]
    return stage_task(
        "report",
        target,
        task_dep=[f"{'bundle' if target.compiles else 'buckets'}:{target.name}"],
        file_dep=[
            target.buckets.as_posix(),
            *verifications,
            *(path.as_posix() for path, there in documents.items() if there),
        ],
        targets=[target.report.as_posix()],
    )


def _lock(target: Target) -> TaskDict:
    # It has no file of its own: all targets write their sections to the same one.
    return stage_task(
        "lock",
        target,
        task_dep=[f"{'bundle' if target.compiles else 'buckets'}:{target.name}"],
        uptodate=[LockCurrent(target)],
        clean=[],
    )


KNOWN: dict[str, Callable[[Target], TaskDict]] = {
    "scan": _scan,
    "statistics": _statistics,
    "analysis": _analysis,
    "buckets": _buckets,
    "lock": _lock,
}
PER_UNIT: dict[str, Callable[[Target, str], TaskDict]] = {"compile": _compile, "verify": _verify}
WHOLE: dict[str, Callable[[Target, Sequence[str]], TaskDict]] = {
    "bundle": _bundle,
    "padding": _padding,
    "metric": _metric,
    "measure": _measure,
    "report": _report,
}
