"""Stage ``verify``: one artefact against the original model at each of its buckets."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import TOOLCHAIN, ActionRequest
from scaling_tasks.actions.results import places_of
from scaling_tasks.compilers.isolation import located_options
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.config.load import section
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.execution.contract import Subject
from scaling_tasks.machine import processor, versions_for
from scaling_tasks.own_code import code_of
from scaling_tasks.shapes.unit import Unit
from scaling_tasks.stages.compile import identity_of, options_with_files, toolchain, worker_limits
from scaling_tasks.stages.inputs import digests, model_places, planned_model, platform, platform_here
from scaling_tasks.stages.manifest import fallback_engine, write_original
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units, signature_of

__all__ = ["STAGE", "leave_unverified", "tools", "work"]

_DOCUMENT = "verification.json"


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    document = planned_units(made)
    one = document.unit(str(unit))
    subject = Subject(f"{target.name}:{unit}", "the engine", VerificationFailed)
    artefact = made.result("compile", unit).files
    names = {f"artefact/{file.name}": file for file in artefact}
    artefact_digests = {name: file.digest for name, file in names.items()}
    if reason := target.cannot_run:
        action = Action(
            "verify", code_of(), artefact_digests, {"artefact": unit, "reason": reason}, outputs=(_DOCUMENT,)
        )
        return ActionRequest(action, lambda: places_of(names), f"{__name__}:leave_unverified", subject)
    spec, default = target.spec.verify, get_backend(target.options["backend"]).tolerance_for(target.options)
    model = planned_model(made)
    options, files = options_with_files(target)
    parameters = {
        **document.signature_parameters,
        "model": f"model/{target.model.name}",
        "files": [[file.name, file.digest] for file in artefact],
        "unit": [one.name, one.stem, list(one.variables), [list(bucket) for bucket in one.buckets]],
        "fixed_inputs": target.spec.inputs,
        "padding": section(target.spec.runtime)["padding"],
        "fallback": _fallback(target) if one == document.units[0] else "",
        "options": options,
        "tolerance": [
            default.absolute if spec.absolute is None else spec.absolute,
            default.relative if spec.relative is None else spec.relative,
        ],
    }
    named = {**toolchain(target), **versions_for(target.model.name)}
    return ActionRequest(
        Action(
            "verify",
            code_of(),
            {**model, **artefact_digests, **digests(files)},
            parameters,
            named,
            platform(target, processor()),
            (_DOCUMENT,),
        ),
        lambda: {**model_places(target, model), **places_of(names), **files},
        f"{__name__}:work",
        subject,
        lambda: worker_limits(target),
        tools=f"{__name__}:tools",
        at_home=True,
    )


def _fallback(target: Target) -> str:
    """Return the engine under which the original is compared with itself under onnxruntime; empty for none."""
    engine = fallback_engine(get_backend(target.options["backend"]).engine)
    return engine if target.spec.runtime.oversize == "fallback" and engine != "onnxruntime" else ""


def leave_unverified(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Note that the artefact can be run nowhere, so that nothing is known of its answers."""
    from scaling_tasks.verification.verification_result import VerificationResult

    result = VerificationResult(parameters["artefact"], unverified=parameters["reason"])
    (outputs / _DOCUMENT).write_text(result.to_json(), encoding="utf-8")
    return {"warnings": [f"not compared with the original model: {parameters['reason']}"]}


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the artefact with the original at each of its buckets; in a process of its own.

    Returns:
        ``absolute``: the largest absolute difference.

    Raises:
        ScalingTasksError: The artefact does not load, or differs by more than the tolerance.
    """
    from scaling_tasks.compilers.contract import Tolerance
    from scaling_tasks.onnx_model.original import open_original
    from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
    from scaling_tasks.runtime.policies import given_policies
    from scaling_tasks.shapes.behaviour import Behaviour
    from scaling_tasks.verification.fallback import verify_fallback
    from scaling_tasks.verification.numerics import verify_artefact

    options = located_options(parameters["options"], inputs)
    name, stem, variables, buckets = parameters["unit"]
    unit = Unit(name, stem, tuple(variables), tuple(map(tuple, buckets)))
    manifest = make_manifest(
        Path(parameters["model"]).stem,
        options["backend"],
        options,
        signature_of(parameters),
        Behaviour.from_payload(parameters["behaviour"]),
        [(unit, [ArtefactFile.of(*file) for file in parameters["files"]])],
        {},
        padding=given_policies(parameters["padding"]),
        engine=get_backend(options["backend"]).engine,
    )
    original = open_original(inputs / parameters["model"], fixed=parameters["fixed_inputs"])
    tolerance = Tolerance(*parameters["tolerance"])
    result = verify_artefact(original, manifest, inputs / "artefact", tolerance)
    whole = [each.name for each in manifest.signature.outputs if each.dtype.startswith(("int", "uint"))]
    if failure := result.failure(whole):
        raise failure
    if parameters["fallback"]:
        with tempfile.TemporaryDirectory() as directory:
            model = write_original(inputs / parameters["model"], parameters["fixed_inputs"], Path(directory))
            verify_fallback(original, parameters["fallback"], model, manifest, tolerance)
    (outputs / _DOCUMENT).write_text(result.to_json(), encoding="utf-8")
    return {"absolute": result.absolute, TOOLCHAIN: tools(inputs, parameters)["toolchain"]}


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolchain and the platform that are found where this is called.

    Raises:
        CompileError: The toolchain is missing.
    """
    found = {**identity_of(located_options(parameters["options"], inputs)), **versions_for(parameters["model"])}
    return {"toolchain": found, "platform": platform_here(processor())}


STAGE = Stage(
    name="verify",
    doc="compare with the original model",
    after=("compile",),
    applies=lambda target: target.compiles,
    request=_request,
    place=lambda target, unit, name: target.state / "verification" / f"{unit}.json",
    per_unit=True,
)
