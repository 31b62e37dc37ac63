"""Stage ``padding``: what padding does to the bundle's answers at sizes between its buckets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.documents import parse_document
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.files import write_if_changed
from scaling_tasks.pipeline.process import work_apart
from scaling_tasks.pipeline.target import Target

__all__ = ["run", "work"]

# What the report calls a change where the configuration does not say: far above rounding, far below a decision.
_NOTICEABLE = 1e-3


def run(target: Target) -> dict[str, Any]:
    """Measure the padding error and write it.

    Returns:
        ``changed``: names of the outputs that padding changes.

    Raises:
        VerificationFailed: ``verify.padding_tolerance`` is set and not met, or the engine did not survive.
    """
    text = work_apart("padding", target)
    write_if_changed(target.padding, text.encode())
    found = parse_document(text, "padding", 2, where=target.name, error=VerificationFailed)
    return {"changed": sorted(found["changed"])}


def work(target: Target, unit: None) -> str:
    """Return the padding document; called in a process of its own."""
    from scaling_tasks.compilers.contract import Tolerance
    from scaling_tasks.onnx_model.original import open_original
    from scaling_tasks.runtime.bundle import read_manifest
    from scaling_tasks.verification.padding import compare_policies, measure_padding

    spec = target.spec.verify
    tolerance = Tolerance(_NOTICEABLE if spec.padding_tolerance is None else spec.padding_tolerance, 0.0)
    manifest = read_manifest(target.directory)
    original = open_original(target.model, fixed=target.spec.inputs)
    samples = _sample_files(spec.samples) if spec.samples is not None else []
    result = measure_padding(target.directory, manifest, original, tolerance, samples=samples)
    if samples and not any(probe.inputs == "samples" for probe in result.probes):
        raise VerificationFailed(
            f"no bucket pads any of the {len(samples)} samples in {spec.samples!r}",
            where="verify.samples",
            fix="Add samples of sizes between the buckets'.",
        )
    if spec.padding_tolerance is not None and (failure := result.failure()):
        raise failure
    if not spec.compare_padding:
        return result.to_json()
    best, tried = compare_policies(target.directory, manifest, original, tolerance, samples=samples)
    ranking = [
        {"policy": name, "agreement": each.agreement, "mean": each.mean, "absolute": each.absolute}
        for name, each in tried.items()
    ]
    return result.to_json({"policies": ranking, "recommended": best})


def _sample_files(directory: str) -> list[Path]:
    files = sorted(Path(directory).rglob("*.npz"))
    if not files:
        raise VerificationFailed(
            f"{directory!r} holds no .npz files", where="verify.samples", fix="Save one array per input in each."
        )
    return files
