"""Cheapest static shapes for dynamic ONNX models: plan, compile, verify, bundle, run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.builds.plan_in_memory import plan_target
    from scaling_tasks.errors import ScalingTasksError
    from scaling_tasks.planning.api import plan_buckets
    from scaling_tasks.planning.bucket_plan import BucketPlan, PlanScore
    from scaling_tasks.runtime.bundle import load_bundle
    from scaling_tasks.runtime.model import BucketedModel
    from scaling_tasks.samples.api import scan_dataset
    from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = [
    "BucketPlan",
    "BucketedModel",
    "PlanScore",
    "ScalingTasksError",
    "ShapeHistogram",
    "load_bundle",
    "plan_buckets",
    "plan_target",
    "scan_dataset",
]

_HOMES = {
    "BucketPlan": "planning.bucket_plan",
    "BucketedModel": "runtime.model",
    "PlanScore": "planning.bucket_plan",
    "ScalingTasksError": "errors",
    "ShapeHistogram": "shapes.histogram",
    "load_bundle": "runtime.bundle",
    "plan_buckets": "planning.api",
    "plan_target": "builds.plan_in_memory",
    "scan_dataset": "samples.api",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: `doit list` imports this package and must not load numpy for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as cause:
        if (cause.name or "").startswith(__name__):
            raise
        needed = f"scaling_tasks.{name} needs the package {cause.name!r}"
        raise ImportError(f"{needed}, which servers do without: run `pip install 'scaling-tasks[build]'`.") from cause
