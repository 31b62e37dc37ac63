"""Stage ``verify``: one artefact against the original model at each of its buckets."""

from __future__ import annotations

from typing import Any

from scaling_tasks.documents import document_text, parse_document
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.files import write_if_changed
from scaling_tasks.onnx_model.reading import ModelSignature
from scaling_tasks.pipeline.artefacts import read_record
from scaling_tasks.pipeline.bundle import given_padding
from scaling_tasks.pipeline.process import work_apart
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import read_units

__all__ = ["run", "work"]


def run(target: Target, unit: str) -> dict[str, Any]:
    """Compare the unit's artefact with the original at each of its buckets and write what was found.

    Returns:
        ``absolute``: the largest absolute difference; in its place a warning where the artefact cannot be run.

    Raises:
        VerificationFailed: It differs by more than the tolerance, or the engine did not survive.
    """
    if reason := target.cannot_run:
        text = document_text("verification", 1, {"artefact": unit, "buckets": [], "unverified": reason})
        write_if_changed(target.verification(unit), text.encode())
        return {"warnings": [f"not compared with the original model: {reason}"]}
    text = work_apart("verify", target, unit)
    write_if_changed(target.verification(unit), text.encode())
    found = parse_document(text, "verification", 1, where=unit, error=VerificationFailed)
    return {"absolute": max(check["absolute"] for check in found["buckets"])}


def work(target: Target, unit_name: str) -> str:
    """Return the verification document; called in a process of its own.

    Raises:
        ScalingTasksError: The artefact does not load, or differs by more than the tolerance.
    """
    from scaling_tasks.compilers.contract import Tolerance
    from scaling_tasks.compilers.registry import get_backend
    from scaling_tasks.onnx_model.original import open_original
    from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
    from scaling_tasks.verification.numerics import verify_artefact

    document = read_units(target.units)
    options, spec = target.options, target.spec.verify
    default = get_backend(options["backend"]).tolerance_for(options)
    files = [ArtefactFile(each["name"], each["digest"]) for each in read_record(target, unit_name)["files"]]
    signature = ModelSignature(document.inputs, document.outputs)
    manifest = make_manifest(
        target.model.stem,
        options["backend"],
        options,
        signature,
        document.behaviour,
        [(document.unit(unit_name), files)],
        {},
        padding=given_padding(target),
        engine=get_backend(options["backend"]).engine,
    )
    tolerance = Tolerance(
        default.absolute if spec.absolute is None else spec.absolute,
        default.relative if spec.relative is None else spec.relative,
    )
    original = open_original(target.model, fixed=target.spec.inputs)
    result = verify_artefact(original, manifest, target.directory, tolerance)
    if failure := result.failure():
        raise failure
    return result.to_json()
