"""Stage ``buckets``: ``statistics.json`` to ``buckets.json`` and the units to compile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.errors import CompileError
from scaling_tasks.files import write_if_changed
from scaling_tasks.pipeline.analysis import Analysed, check_buckets, read_analysis
from scaling_tasks.pipeline.signature import target_signature
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import UnitsDocument, units_document, write_units
from scaling_tasks.shapes.signature import Signature

if TYPE_CHECKING:
    from scaling_tasks.compilers.contract import Limits
    from scaling_tasks.config.specs import AutoScalingSpec, ShapeBucketSpec
    from scaling_tasks.onnx_model.reading import ModelSignature
    from scaling_tasks.planning.costs import CostModel
    from scaling_tasks.planning.plan import BucketPlan
    from scaling_tasks.shapes.behaviour import Behaviour
    from scaling_tasks.shapes.statistics import DatasetStatistics

__all__ = ["make_plan", "make_units", "run"]


def run(target: Target) -> dict[str, Any]:
    """Choose the target's buckets and group them into compiler invocations.

    Raises:
        PlanError: No plan can be made.
        CompileError: The backend is unknown or refuses its options.
    """
    from scaling_tasks.shapes.statistics import DatasetStatistics

    statistics = None
    if target.needs_data:
        statistics = DatasetStatistics.from_json(target.statistics.read_bytes(), where=str(target.statistics))
    signature = target_signature(target)
    plan = make_plan(target, signature, statistics)
    if target.compiles:
        write_units(target.units, make_units(target, signature, plan, read_analysis(target)))
    write_if_changed(target.buckets, plan.to_json().encode())
    return {"buckets": len(plan.buckets), "padding_ratio": plan.padding_ratio, "warnings": list(plan.warnings)}


def make_plan(target: Target, signature: ModelSignature, statistics: DatasetStatistics | None) -> BucketPlan:
    """Return the plan of a target within what its backend's platform takes."""
    from scaling_tasks.planning.api import plan_statistics

    limits = _limits(target)
    scaling, cost, notes = _cost(target, signature)
    plan = plan_statistics(
        statistics,
        signature.inputs,
        scaling,
        _without_fixed(target.spec.shape_bucket),
        fewest_buckets=limits.fewest_buckets,
        # A backend that compiles one bucket per unit has no limit on how many units it compiles.
        most_buckets=limits.most_buckets if limits.most_buckets > 1 else None,
        product_only=limits.product_only,
        model=target.model if target.spec.model else None,
        cost=cost,
    )
    return replace(plan, warnings=(*plan.warnings, *notes))


def _cost(target: Target, signature: ModelSignature) -> tuple[AutoScalingSpec, CostModel | None, tuple[str, ...]]:
    """Return the section to plan by, the measured cost where there is one, and what to tell the user.

    Latencies can only be measured of what was built, so that the first plan of a target is made without them.
    """
    from scaling_tasks.planning.measured import MeasuredCost

    scaling = target.spec.auto_scaling
    if scaling.cost != "measured" or scaling.latency_table is not None:
        return scaling, None, ()
    if target.latency.exists():
        return scaling, MeasuredCost.read(target.latency, signature.inputs.variables), ()
    note = f"nothing is measured yet: planned by elements; the next run plans by {target.latency.as_posix()}."
    return msgspec.structs.replace(scaling, cost="elements"), None, (note,)


def _without_fixed(spec: ShapeBucketSpec | None) -> ShapeBucketSpec | None:
    """Return the section without its fix map, which the signature has taken up already."""
    return None if spec is None else msgspec.structs.replace(spec, shape_bucket_fix_var_map={})


def _limits(target: Target) -> Limits:
    from scaling_tasks.compilers.contract import Limits
    from scaling_tasks.compilers.registry import get_backend

    return get_backend(target.options["backend"]).limits(target.options) if target.compiles else Limits()


def make_units(target: Target, signature: ModelSignature, plan: BucketPlan, analysed: Analysed) -> UnitsDocument:
    """Return the plan's buckets grouped into the backend's compiler invocations.

    Raises:
        CompileError: The backend is unknown or refuses its options.
        ModelError: Padding would change an answer, or the model does not run at a bucket.
    """
    from scaling_tasks.compilers.registry import get_backend

    backend = get_backend(target.options["backend"])
    _check_size_inputs(target, analysed.behaviour)
    backend.check(Signature((*signature.inputs.inputs, *analysed.behaviour.tensors())), target.options)
    order = [plan.variables.index(variable) for variable in signature.inputs.variables]
    buckets = [tuple(int(bucket[column]) for column in order) for bucket in plan.buckets]
    check_buckets(target, analysed.behaviour, signature.inputs.variables, buckets)
    units = backend.units(target.model.stem, signature.inputs, buckets, target.options)
    return units_document(signature, analysed, units)


def _check_size_inputs(target: Target, behaviour: Behaviour) -> None:
    """Refuse a model that must be told exact sizes where the backend cannot pass them on."""
    if behaviour.size_inputs and not _limits(target).size_inputs:
        raise CompileError(
            f"{target.options['backend']} cannot tell a compiled model a request's exact size, without which padding "
            "would change its answers",
            where=target.config or target.name,
            fix="Choose another backend or other options of it, or accept it with `runtime: {padding: accept}`.",
        )
