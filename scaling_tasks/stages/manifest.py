"""Stage ``manifest``: what was compiled to the manifest that makes artefacts a bundle, which is not published yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.actions.results import places_of
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.config.load import section
from scaling_tasks.config.specs import RuntimeSpec
from scaling_tasks.errors import BundleError
from scaling_tasks.execution.contract import Subject
from scaling_tasks.files import digest_file
from scaling_tasks.names import Digest
from scaling_tasks.own_code import code_of
from scaling_tasks.shapes.fixed_lengths import FixedLengths, lengths_file
from scaling_tasks.stages.inputs import model_places, planned_model
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units, read_units

if TYPE_CHECKING:
    from scaling_tasks.actions.results import ResultFile
    from scaling_tasks.runtime.manifest import Fallback

__all__ = ["STAGE", "bundle_files", "fallback_engine", "work", "write_original"]

_OPEN_ONNX = ("openvino", "onnxruntime")


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    model = planned_model(made)
    plan = {file.name: file for file in made.result("buckets").files}
    built = {one: made.result("compile", one.name).files for one in planned_units(made).units}
    artefacts = {one.name: [[file.name, file.digest, file.size] for file in files] for one, files in built.items()}
    lengths = {f"lengths/{one.stem}": lengths_of(files) for one, files in built.items()}
    told = {name: file for name, file in lengths.items() if file is not None}
    parameters = {
        "model": f"model/{target.model.name}",
        "artefacts": artefacts,
        "options": target.result_options,
        "engine": get_backend(target.options["backend"]).engine,
        "runtime": section(target.spec.runtime),
        "fixed_inputs": target.spec.inputs,
    }
    inputs: dict[str, Digest] = {**model, **{name: file.digest for name, file in (*plan.items(), *told.items())}}
    return ActionRequest(
        Action(
            "manifest", code_of(), inputs, parameters, outputs=("manifest.json", f"{target.model.stem}_original.onnx")
        ),
        lambda: {**model_places(target, model), **places_of(plan), **places_of(told)},
        f"{__name__}:work",
        Subject(target.name, "the bundle", BundleError),
    )


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``manifest.json`` and, where it is the fallback, the original model as one file.

    Raises:
        BundleError: The configuration pads an input that there is not.
    """
    import msgspec

    from scaling_tasks.planning.bucket_plan import BucketPlan
    from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
    from scaling_tasks.runtime.policies import given_policies
    from scaling_tasks.shapes.signature import ModelSignature

    document = read_units(inputs / "units.json")
    model = inputs / parameters["model"]
    runtime = msgspec.convert(parameters["runtime"], RuntimeSpec)
    plan = BucketPlan.read(inputs / "buckets.json")
    order = [plan.variables.index(variable) for variable in document.inputs.variables]
    buckets = [tuple(int(bucket[column]) for column in order) for bucket in plan.buckets]
    costs = dict(zip(buckets, map(float, plan.bucket_costs), strict=True))
    signature = ModelSignature(document.inputs, document.outputs)
    manifest = make_manifest(
        model.stem,
        parameters["options"]["backend"],
        parameters["options"],
        signature,
        document.behaviour,
        [(unit, [ArtefactFile.of(*file) for file in parameters["artefacts"][unit.name]]) for unit in document.units],
        costs,
        hits=dict(zip(buckets, map(float, plan.hits), strict=True)),
        padding=given_policies(section(runtime)["padding"]),
        oversize=runtime.oversize,
        round_up=runtime.round_up,
        fallback=_fallback(model, outputs, parameters) if runtime.oversize == "fallback" else None,
        engine=parameters["engine"],
        longest={file.name: _lengths(file) for file in (inputs / "lengths").glob("*")},
    )
    (outputs / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return {}


def lengths_of(files: Sequence[ResultFile]) -> ResultFile | None:
    """Return which file of an artefact tells how long its outputs are that data makes, None where none does."""
    told = lengths_file(Path(files[0].name)).name
    return next((file for file in files if file.name == told), None)


def _lengths(file: Path) -> dict[str, list[int | None]]:
    lengths = FixedLengths.read(file)
    return {output: lengths.bounds(output) for output in lengths.layouts}


def _fallback(model: Path, outputs: Path, parameters: Mapping[str, Any]) -> Fallback:
    from scaling_tasks.runtime.manifest import ArtefactFile, Fallback

    copy = write_original(model, parameters["fixed_inputs"], outputs)
    file = ArtefactFile.of(copy.name, digest_file(copy), copy.stat().st_size)
    return Fallback(fallback_engine(parameters["engine"]), file)


def fallback_engine(own: str) -> str:
    """Return the engine that opens the original where artefacts are opened by ``own``.

    OpenVINO opens ONNX by itself; what other engines load is of another kind, and onnxruntime always can.
    """
    return own if own in _OPEN_ONNX else "onnxruntime"


def write_original(model: Path, fixed_inputs: Mapping[str, Any], directory: Path) -> Path:
    """Write the original model with its external data and fixed inputs inside, for what no bucket contains.

    Returns:
        The file.
    """
    from scaling_tasks.analysis.preparation import fix_inputs
    from scaling_tasks.onnx_model.reading import load_model

    copy = directory / f"{model.stem}_original.onnx"
    original = load_model(model)
    fix_inputs(original, fixed_inputs, where=model.name)
    copy.write_bytes(original.SerializeToString(deterministic=True))
    return copy


def bundle_files(made: Made) -> dict[str, ResultFile]:
    """Return the files of the bundle by name: the manifest and all that it names."""
    units = [made.result("compile", unit.name) for unit in planned_units(made).units]
    return {file.name: file for result in (*units, made.result("manifest")) for file in result.files}


STAGE = Stage(
    name="manifest",
    doc="describe the bundle",
    after=("compile",),
    applies=lambda target: target.compiles,
    request=_request,
    place=lambda target, unit, name: target.state / "artefacts" / name,
)
