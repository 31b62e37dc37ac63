"""Stage ``buckets``: ``statistics.json`` to ``buckets.json`` and the units to compile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.config.load import section
from scaling_tasks.errors import CompileError, PlanError
from scaling_tasks.execution.contract import Subject
from scaling_tasks.files import digest_file
from scaling_tasks.machine import versions
from scaling_tasks.names import Digest
from scaling_tasks.own_code import code_of
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.stages.analysis import DOCUMENT, Analysed, check_buckets, check_split, read_analysis
from scaling_tasks.stages.inputs import digests, inside, model_files, spec_parameters
from scaling_tasks.stages.shared_plans import shared_plan
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature
from scaling_tasks.stages.units import UnitsDocument, write_units
from scaling_tasks.store.notices import tell_once

if TYPE_CHECKING:
    from scaling_tasks.compilers.contract import Limits
    from scaling_tasks.config.specs import AutoScalingSpec, ShapeBucketSpec
    from scaling_tasks.planning.bucket_plan import BucketPlan
    from scaling_tasks.planning.costs import CostModel
    from scaling_tasks.shapes.behaviour import Behaviour
    from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
    from scaling_tasks.shapes.signature import ModelSignature

__all__ = ["STAGE", "make_plan", "make_units", "tools", "work"]


_LATENCY, _TABLE = "latency.json", "latency_table.json"


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    scaling = target.spec.auto_scaling
    files = model_files(target.model) if target.spec.model else {}
    parameters = spec_parameters(target, "input_shape", "inputs", "auto_scaling", "shape_bucket", "compile", "dataset")
    known: dict[str, Digest] = {}
    if target.needs_data:
        statistics = made.result("statistics").file("statistics.json")
        known[statistics.name], files[statistics.name] = statistics.digest, statistics.path
    if scaling.cost == "measured" and scaling.latency_table is not None:
        parameters["target"]["auto_scaling"]["latency_table"] = _TABLE
        files[_TABLE] = Path(scaling.latency_table)
    elif scaling.cost == "measured" and _is_measured(target):
        files[_LATENCY] = target.latency
    if target.compiles:
        parameters["cut"] = target.spec.runtime.oversize == "split"
        analysed = made.result("analysis").file(DOCUMENT)
        known[DOCUMENT], files[DOCUMENT] = analysed.digest, analysed.path
    read = digests({name: path for name, path in files.items() if name not in known})
    return ActionRequest(
        Action(
            "buckets",
            code_of(),
            {**read, **known},
            parameters,
            toolchain={**versions("numpy", "highspy"), **_backend_version(target)},
            outputs=("buckets.json", "units.json"),
        ),
        lambda: files,
        f"{__name__}:work",
        Subject(target.name, "the planner", PlanError),
        hints=lambda: {"where": target.config},
        tools=f"{__name__}:tools",
    )


def _is_measured(target: Target) -> bool:
    """Return whether there are latencies of an earlier build; a damaged table is measured anew after this one."""
    from scaling_tasks.planning.latency_table import LatencyTable

    if not target.latency.exists():
        return False
    try:
        LatencyTable.load(target.latency)
    except PlanError as error:
        tell_once(f"warning: {error.where} is not used, and made anew: {error.what}")
        return False
    return True


def _backend_version(target: Target) -> dict[str, str]:
    """Return the version of an outside backend, which says what its platform takes."""
    from scaling_tasks.compilers.registry import outside_version

    return outside_version(target.options["backend"]) if target.compiles else {}


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolchain that is found where this is called; no plan depends on the platform.

    Raises:
        CompileError: The backend is not installed.
    """
    target = inside(inputs, parameters)
    return {"toolchain": {**versions("numpy", "highspy"), **_backend_version(target)}, "platform": {}}


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the target's buckets and group them into compiler invocations.

    Raises:
        PlanError: No plan can be made.
        CompileError: The backend is unknown or refuses its options.
        ConfigError: Requests are to be cut, and no cut gives pieces whose answers make the whole's.
    """
    from scaling_tasks.shapes.dataset_statistics import DatasetStatistics

    target = _with_table(inside(inputs, parameters), inputs)
    document = inputs / "statistics.json"
    statistics = DatasetStatistics.read(document) if document.exists() else None
    signature = target_signature(target)
    analysed = read_analysis(inputs / DOCUMENT) if target.compiles else None
    plan = make_plan(target, signature, statistics, analysed)
    told: dict[str, Any] = {}
    if analysed is not None:
        if parameters["cut"]:
            check_split(target, analysed.behaviour)
        plan = replace(plan, warnings=(*plan.warnings, *_rounded_rows(target, plan, analysed.behaviour)))
        units = make_units(target, signature, plan, analysed)
        write_units(outputs / "units.json", units)
        told["verdict"] = units.behaviour.kind
    (outputs / "buckets.json").write_text(plan.to_json(), encoding="utf-8")
    # Without samples nothing is padded: that is no ratio of 1.
    ratio = None if statistics is None else plan.padding_ratio
    return {"buckets": len(plan.buckets), "padding_ratio": ratio, "warnings": list(plan.warnings), **told}


def _with_table(target: Target, inputs: Path) -> Target:
    """Return the target with its latency table found in the action's directory."""
    scaling = target.spec.auto_scaling
    if scaling.latency_table is None:
        return target
    found = msgspec.structs.replace(scaling, latency_table=str(inputs / scaling.latency_table))
    return msgspec.structs.replace(target, spec=msgspec.structs.replace(target.spec, auto_scaling=found))


def _ends(behaviour: Behaviour) -> dict[str, int]:
    """Return the largest sizes at which the model runs, of those variables of which there is one."""
    from scaling_tasks.analysis.analyse import LARGEST_SIZE

    found = {name: behaviour.most_of(name, LARGEST_SIZE) for name in behaviour.variables}
    return {name: most for name, most in sorted(found.items()) if most is not None}


def make_plan(
    target: Target,
    signature: ModelSignature,
    statistics: DatasetStatistics | None,
    analysed: Analysed | None = None,
) -> BucketPlan:
    """Return the plan of a target within what its backend's platform takes.

    Args:
        target: The target.
        signature: Of its model.
        statistics: Of its data set, None where there is none.
        analysed: Of its model, which may run up to some sizes only; None where nothing is compiled.
    """
    from scaling_tasks.planning.api import plan_statistics

    limits = _limits(target)
    scaling, cost, notes = _cost(target, signature)
    ends = _ends(analysed.behaviour) if analysed else {}
    sums = analysed.behaviour.limited_sums() if analysed else {}
    # A backend that compiles one bucket per unit has no limit on how many units it compiles.
    most = limits.most_buckets if limits.most_buckets > 1 else None
    ranges = _without_fixed(target.spec.shape_bucket)

    def search() -> BucketPlan:
        return plan_statistics(
            statistics,
            signature.inputs,
            scaling,
            ranges,
            fewest_buckets=limits.fewest_buckets,
            most_buckets=most,
            product_only=limits.product_only,
            model=target.model if target.spec.model else None,
            cost=cost,
            ends=ends,
            sums=sums,
        )

    made_from = {
        "statistics": None if statistics is None else statistics.digest,
        "inputs": repr(signature.inputs),
        "scaling": [section(scaling), section(ranges)],
        "limits": [limits.fewest_buckets, most, limits.product_only, ends, sums],
        "model": digest_file(target.model) if scaling.cost == "flops" and target.spec.model else None,
    }
    try:
        plan = search() if scaling.cost == "measured" else shared_plan(made_from, search)
    except PlanError as error:
        raise PlanError(error.what, where=_key(target, error.where), fix=error.fix) from error
    if statistics is not None and plan.coverage <= 0:
        raise PlanError(
            "no bucket contains any of the data set's samples",
            where=f"{target.config or target.name}: auto_scaling",
            fix="Choose larger buckets, or another strategy.",
        )
    stops = _beyond(statistics, ends, analysed.behaviour) if statistics is not None and analysed else ()
    if plan.coverage < 1:
        near = "the model runs up to {} {}, and buckets do: with auto_scaling.interval 1 they come closest to it."
        stops += tuple(near.format(text, most) for text, most in sums.items())
    return replace(plan, warnings=(*plan.warnings, *stops, *notes, *_accepted(target)))


def _beyond(statistics: DatasetStatistics, ends: Mapping[str, int], behaviour: Behaviour) -> tuple[str, ...]:
    """Return what to tell where the data set has sizes at which the model does not run, one by one or together."""
    histogram = statistics.histogram
    sizes = dict(zip(histogram.variables, histogram.samples.T, strict=True))
    beyond = {name: most for name, most in ends.items() if name in sizes and sizes[name].max() > most}
    notes = [
        f"the model runs up to {name} {most}, the data set has {sizes[name].max()}." for name, most in beyond.items()
    ]
    if not behaviour.limits:
        return tuple(notes)
    together = ~behaviour.within_limits(sizes)
    for name, most in beyond.items():
        together &= sizes[name] <= most
    if together.any():
        share = histogram.weights[together].sum() / histogram.total
        named = ", ".join(f"{name} {sizes[name][together.argmax()]}" for name in sorted(sizes))
        notes.append(
            f"the model does not run at {share:.2%} of the samples, such as {named}: such requests are errors."
        )
    return tuple(notes)


def _key(target: Target, option: str) -> str:
    """Return the configuration's key for an option of the planner, with the file; what is no option as it is."""
    name = {"max_buckets": "max_scaling_num"}.get(option, option)
    if name in type(target.spec.auto_scaling).__struct_fields__:
        name = f"auto_scaling.{name}"
    elif not name.startswith(("auto_scaling.", "shape_bucket.")) and name != "dataset":
        return option
    return f"{target.config or target.name}: {name}"


def _accepted(target: Target) -> tuple[str, ...]:
    """Return what to tell who comes from nncase's ShapeBucket."""
    spec = target.spec
    native = spec.compile is not None and bool(spec.compile.options.get("shape_bucket_enable", False))
    section = spec.shape_bucket is not None and spec.shape_bucket.shape_bucket_enable
    if spec.runtime.padding != "accept" or not (native or section):
        return ()
    note = "the model is compiled as it is, as with nncase's ShapeBucket, so that padding may change its answers"
    return (note if native else f"{note}; with `runtime: {{padding: exact}}` they are those of the exact size.",)


def _rounded_rows(target: Target, plan: BucketPlan, behaviour: Behaviour) -> tuple[str, ...]:
    """Return what to tell where a number of rows was rounded as sizes are, as its name does not say what it is."""
    from scaling_tasks.planning.strategies.registry import STRATEGIES
    from scaling_tasks.shapes.signature import is_batch

    rows, interval = behaviour.rows, target.spec.auto_scaling.interval
    rounded = plan.strategy in STRATEGIES.keys() - {"explicit"} and interval > 1
    if rows is None or is_batch(rows) or not rounded:
        return ()
    note = (
        f"{rows!r} counts rows, and its sizes are multiples of {interval} as others are: called batch in input_shape, "
    )
    return (f"{note}they would be those of auto_scaling.batch_choices.",)


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
    note = f"nothing is measured yet: planned by elements; the next run plans by {_LATENCY}."
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
    from scaling_tasks.onnx_model.digest import digest_model

    if digest_model(target.model) != analysed.original:
        raise PlanError("the model was replaced meanwhile", where=str(target.model), fix="Build again.")
    backend = get_backend(target.options["backend"])
    _check_size_inputs(target, analysed.behaviour)
    backend.check(Signature((*signature.inputs.inputs, *analysed.behaviour.tensors())), target.options)
    order = [plan.variables.index(variable) for variable in signature.inputs.variables]
    buckets = [tuple(int(bucket[column]) for column in order) for bucket in plan.buckets]
    behaviour = check_buckets(target, analysed.behaviour, signature.inputs.variables, buckets)
    units = backend.units(target.model.stem, signature.inputs, buckets, target.options)
    return UnitsDocument(analysed.original, signature.inputs, signature.outputs, behaviour, units)


def _check_size_inputs(target: Target, behaviour: Behaviour) -> None:
    """Refuse a model that must be told exact sizes where the backend cannot pass them on."""
    if behaviour.size_inputs and not _limits(target).size_inputs:
        raise CompileError(
            f"{target.options['backend']} cannot tell a compiled model a request's exact size, without which padding "
            "would change its answers",
            where=target.config or target.name,
            fix="Choose another backend or other options of it, or accept it with `runtime: {padding: accept}`.",
        )


STAGE = Stage(
    name="buckets",
    doc="choose the cheapest buckets",
    after=("statistics", "analysis"),
    applies=lambda target: True,
    request=_request,
    place=lambda target, unit, name: (target.state if name == target.units.name else target.directory) / name,
    products=lambda target: (target.directory / "buckets.json", *([target.units] if target.compiles else [])),
    after_plan=False,
)
