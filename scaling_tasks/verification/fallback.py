"""The original model under the engine that serves by it what no bucket contains."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import EngineError, ModelError, VerificationFailed
from scaling_tasks.onnx_model.original import Original, random_inputs
from scaling_tasks.runtime.cropping import widened
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.verification.comparison import compare_outputs
from scaling_tasks.verification.numerics import classes_of
from scaling_tasks.verification.verification_result import BucketCheck, VerificationResult

__all__ = ["verify_fallback"]

_SEED = 20230608
_FIX = "Write `runtime: {oversize: error}`, or compile for an engine that takes it as it is."


def verify_fallback(original: Original, engine: str, path: Path, manifest: Manifest, tolerance: Tolerance) -> None:
    """Compare the original under an engine with itself under onnxruntime, at a size that is in no bucket.

    Where it does not run at the next such size, it is compared at the largest that it runs at inside of a bucket.

    Args:
        original: The original model.
        engine: Name of the engine.
        path: The original as one file, its fixed inputs inside.
        manifest: Of an artefact; a size next to its last bucket is asked for first.
        tolerance: Largest accepted difference.

    Raises:
        VerificationFailed: It does not load or run, or differs by more than the tolerance.
    """
    signature, behaviour = manifest.signature, manifest.behaviour
    bucket = dict(zip(manifest.variables, manifest.artefacts[0].buckets[-1], strict=True))
    beyond = behaviour.next_running({name: size + 1 for name, size in bucket.items()})
    try:
        with contextlib.closing(load_engine(engine, path, manifest.options)) as loaded:
            try:
                sizes, arrays = beyond, random_inputs(signature.inputs, beyond, seed=_SEED)
                reference = original.run(arrays)
            except ModelError:  # Many models run at some sizes only, and do not say so in their shapes.
                sizes = behaviour.next_running(bucket, step=-1)
                arrays = random_inputs(signature.inputs, sizes, seed=_SEED)
                reference = original.run(arrays)
            answer = widened(loaded.run(arrays), {tensor.name: tensor.dtype for tensor in signature.outputs})
    except EngineError as error:
        what = f"{engine} does not take the original model, which is to serve what no bucket contains: {error.what}"
        raise VerificationFailed(what, where="runtime.oversize", fix=_FIX) from error
    found = compare_outputs(answer, reference, tolerance, classes=classes_of(behaviour))
    check = BucketCheck(sizes, sizes, tuple(found))
    if failure := VerificationResult(path.stem, engine, tolerance, (check,)).failure():
        raise VerificationFailed(failure.what, where="runtime.oversize", fix=_FIX)
