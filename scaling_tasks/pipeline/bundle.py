"""Stage ``bundle``: artefacts to the manifest that makes their directory a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.config.load import section
from scaling_tasks.files import digest_file, write_if_changed
from scaling_tasks.onnx_model.reading import ModelSignature
from scaling_tasks.pipeline.artefacts import read_record, remove_others
from scaling_tasks.pipeline.keys import result_options
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import read_units

if TYPE_CHECKING:
    from scaling_tasks.runtime.manifest import Fallback
    from scaling_tasks.runtime.policies import Padding

__all__ = ["run"]

_OPEN_ONNX = ("openvino", "onnxruntime")


def run(target: Target) -> dict[str, Any]:
    """Write ``manifest.json`` and remove the artefacts of buckets that are no longer planned; the store keeps them.

    Raises:
        PlanError: The target is not planned yet.
    """
    from scaling_tasks.compilers.registry import get_backend
    from scaling_tasks.planning.plan import BucketPlan
    from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest

    document = read_units(target.units)
    plan = BucketPlan.from_json(target.buckets.read_bytes(), where=str(target.buckets))
    order = [plan.variables.index(variable) for variable in document.inputs.variables]
    costs = {
        tuple(int(bucket[column]) for column in order): float(cost)
        for bucket, cost in zip(plan.buckets, plan.bucket_costs, strict=True)
    }
    files = [
        (unit, [ArtefactFile(file["name"], file["digest"]) for file in read_record(target, unit.name)["files"]])
        for unit in document.units
    ]
    manifest = make_manifest(
        target.model.stem,
        target.options["backend"],
        result_options(target),
        ModelSignature(document.inputs, document.outputs),
        document.behaviour,
        files,
        costs,
        padding=given_padding(target),
        oversize=target.spec.runtime.oversize,
        round_up=target.spec.runtime.round_up,
        fallback=_fallback(target) if target.spec.runtime.oversize == "fallback" else None,
        engine=get_backend(target.options["backend"]).engine,
    )
    removed = remove_others(target, [unit.name for unit in document.units])
    write_if_changed(target.manifest, manifest.to_json().encode())
    return {"path": target.directory.as_posix(), "removed": len(removed)}


def given_padding(target: Target) -> dict[str, Padding]:
    """Return how inputs are padded where the configuration says so."""
    from scaling_tasks.runtime.policies import Padding

    return {name: Padding(**section(each)) for name, each in target.spec.runtime.policies.items()}


def _fallback(target: Target) -> Fallback:
    """Copy the original model into the bundle, for what no bucket contains."""
    from scaling_tasks.runtime.manifest import ArtefactFile, Fallback

    # OpenVINO opens ONNX by itself; every other backend's artefacts are of another kind, and onnxruntime always can.
    backend = target.options["backend"] if target.options["backend"] in _OPEN_ONNX else "onnxruntime"
    copy = target.directory / f"{target.model.stem}_original.onnx"
    _inline(target.model, copy)
    return Fallback(backend, ArtefactFile(copy.name, digest_file(copy)))


def _inline(model: Path, copy: Path) -> None:
    """Write the model with its external data inside, so that it is one file."""
    from scaling_tasks.onnx_model.reading import load_model

    write_if_changed(copy, load_model(model).SerializeToString(deterministic=True))
