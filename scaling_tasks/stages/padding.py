"""Stage ``padding``: what padding does to the bundle's answers at sizes between its buckets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import TOOLCHAIN, ActionRequest
from scaling_tasks.actions.results import places_of
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.files import files_below
from scaling_tasks.machine import processor, versions_for
from scaling_tasks.own_code import code_of
from scaling_tasks.stages.bundle_work import bundle_request
from scaling_tasks.stages.compile import identity_of, toolchain
from scaling_tasks.stages.inputs import digests, model_places, planned_model, platform, platform_here
from scaling_tasks.stages.manifest import bundle_files
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target

__all__ = ["STAGE", "sample_files", "tools", "work"]

# What the report calls a change where the configuration does not say: far above rounding, far below a decision.
_NOTICEABLE = 1e-3


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    spec = target.spec.verify
    model = planned_model(made)
    bundle = {f"bundle/{name}": file for name, file in bundle_files(made).items()}
    samples = {f"samples/{index:06}.npz": file for index, file in enumerate(sample_files(spec.samples))}
    parameters = {
        "model": f"model/{target.model.name}",
        "tolerance": spec.padding_tolerance,
        "compare": spec.compare_padding,
        "samples": spec.samples,
        "fixed_inputs": target.spec.inputs,
    }
    inputs = {**model, **{name: file.digest for name, file in bundle.items()}, **digests(samples)}
    named = {**toolchain(target), **versions_for(target.model.name)}
    action = Action("padding", code_of(), inputs, parameters, named, platform(target, processor()), ("padding.json",))
    return bundle_request(
        target, action, lambda: {**model_places(target, model), **places_of(bundle), **samples}, __name__
    )


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the padding error; in a process of its own.

    Returns:
        ``changed``: names of the outputs that padding changes; ``absolute``: the largest change.

    Raises:
        VerificationFailed: ``verify.padding_tolerance`` is set and not met, or padding could not be measured.
    """
    from scaling_tasks.compilers.contract import Tolerance
    from scaling_tasks.onnx_model.original import open_original
    from scaling_tasks.runtime.bundle import read_manifest
    from scaling_tasks.verification.padding import compare_policies, is_padded, measure_padding

    limit = parameters["tolerance"]
    tolerance = Tolerance(_NOTICEABLE if limit is None else limit, 0.0)
    bundle = inputs / "bundle"
    manifest = read_manifest(bundle)
    original = open_original(inputs / parameters["model"], fixed=parameters["fixed_inputs"])
    samples = sorted((inputs / "samples").glob("*.npz"))
    result = measure_padding(bundle, manifest, original, tolerance, samples=samples)
    if samples and not any(probe.inputs == "samples" for probe in result.probes):
        raise VerificationFailed(
            f"no bucket pads a sample in {parameters['samples']!r}, of {len(samples)}",
            where="verify.samples",
            fix="Add samples of sizes between the buckets'.",
        )
    if limit is not None and not result.probes and is_padded(bundle, manifest):
        raise VerificationFailed(
            "the original model ran at no size that was tried between the buckets, so that padding was not measured",
            where="verify.padding_tolerance",
            fix="Give inputs of such sizes in verify.samples, or leave it out.",
        )
    if limit is not None and (failure := result.failure()):
        raise failure
    if parameters["compare"]:
        tried = compare_policies(bundle, manifest, original, tolerance, samples=samples)
        result = replace(result, policies=tuple(each.score(name) for name, each in tried.items()))
    (outputs / "padding.json").write_text(result.to_json(), encoding="utf-8")
    found = tools(inputs, parameters)["toolchain"]
    return {"changed": sorted(result.changed), "absolute": result.absolute, TOOLCHAIN: found}


def sample_files(directory: str | None) -> list[Path]:
    """Return the files of ``verify.samples``, none where it is not given.

    Raises:
        VerificationFailed: It holds none, or cannot be listed.
    """
    if directory is None:
        return []
    try:
        files = [path for path in files_below(Path(directory)) if path.suffix == ".npz"]
    except OSError as cause:
        what = f"{str(cause.filename or directory)!r} cannot be listed ({cause.strerror})"
        raise VerificationFailed(what, where="verify.samples", fix="Correct the path, or its permissions.") from cause
    if not files:
        raise VerificationFailed(
            f"{directory!r} holds no .npz files", where="verify.samples", fix="Save one array per input in each."
        )
    return files


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolchain and the platform that are found where this is called.

    Raises:
        CompileError: The toolchain is missing.
    """
    found = {**identity_of(parameters["options"]), **versions_for(parameters["model"])}
    return {"toolchain": found, "platform": platform_here(processor())}


STAGE = Stage(
    name="padding",
    doc="tell what padding does to the answers",
    after=("verify", "manifest"),
    applies=lambda target: not target.cannot_run and not target.spec.runtime.exact,
    request=_request,
    place=lambda target, unit, name: target.state / name,
)
