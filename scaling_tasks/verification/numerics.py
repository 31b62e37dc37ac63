"""Exact error: an artefact at its buckets against onnxruntime on the original model at the same shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.documents import document_text
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.onnx_model.original import open_original, random_inputs
from scaling_tasks.shapes.signature import ModelSignature
from scaling_tasks.verification.comparison import Difference, compare_outputs, worst

__all__ = ["BucketCheck", "VerificationResult", "verify_artefact"]

_KIND, _VERSION = "verification", 1
_SEED = 20230607


@dataclass(frozen=True)
class BucketCheck:
    """The differences at one bucket.

    Attributes:
        sizes: The bucket.
        outputs: One difference per output, over all random inputs the worst.
    """

    sizes: Mapping[str, int]
    outputs: tuple[Difference, ...]

    @property
    def worst(self) -> Difference:
        """The output that is furthest off."""
        return worst(list(self.outputs))

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        head = self.worst.to_payload()
        keys = ("absolute", "relative", "agreement", "passed", "problem")
        return {
            "sizes": dict(self.sizes),
            **{key: head[key] for key in keys},
            "outputs": [difference.to_payload() for difference in self.outputs],
        }


@dataclass(frozen=True)
class VerificationResult:
    """What was found of one artefact.

    Attributes:
        artefact: File name of the artefact.
        backend: Who made it.
        tolerance: What was accepted.
        buckets: One check per bucket.
    """

    artefact: str
    backend: str
    tolerance: Tolerance
    buckets: tuple[BucketCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance at every bucket; nothing that was compared nowhere passes."""
        return bool(self.buckets) and all(check.worst.passed for check in self.buckets)

    @property
    def absolute(self) -> float:
        """The largest absolute difference at any bucket."""
        return max((each.absolute for check in self.buckets for each in check.outputs), default=0.0)

    def to_json(self) -> str:
        """Return the ``verification`` document, byte-deterministic."""
        payload = {
            "artefact": self.artefact,
            "backend": self.backend,
            "tolerance": {"absolute": self.tolerance.absolute, "relative": self.tolerance.relative},
            "passed": self.passed,
            "buckets": [check.to_payload() for check in self.buckets],
        }
        return document_text(_KIND, _VERSION, payload)

    def failure(self) -> VerificationFailed | None:
        """Return the error to raise, None where the artefact passed."""
        if self.passed:
            return None
        failed = [check for check in self.buckets if not check.worst.passed]
        if not failed:
            return VerificationFailed("there is no bucket to compare it at", where=self.artefact)
        check = max(failed, key=lambda each: each.worst.excess)
        difference = check.worst
        found = difference.problem or (
            f"the largest difference is {difference.absolute:.3g} ({difference.relative:.3g} of the largest value)"
        )
        return VerificationFailed(
            f"output {difference.output!r} differs from the original model at {dict(check.sizes) or 'its only shape'}: "
            f"{found}; accepted are {self.tolerance.absolute:g} + {self.tolerance.relative:g}·|value|",
            where=self.artefact,
            fix="If this precision is wanted, raise verify.absolute or verify.relative.",
        )


def verify_artefact(
    model_path: Path,
    signature: ModelSignature,
    backend_name: str,
    artefact_path: Path,
    options: Mapping[str, Any],
    buckets: Sequence[Mapping[str, int]],
    tolerance: Tolerance,
    *,
    rounds: int = 1,
) -> VerificationResult:
    """Run an artefact at each of its buckets and compare it with the original.

    Inputs are random, unless the backend says that its artefact is to be judged on real ones.

    Args:
        model_path: The original ONNX model.
        signature: Its inputs with named variables, and its outputs.
        backend_name: Who made the artefact.
        artefact_path: The artefact's first file.
        options: The target's ``compile`` section as plain values.
        buckets: One value per variable each; ``[{}]`` for a model without variables.
        tolerance: Largest accepted difference.
        rounds: How many random inputs per bucket, where they are random.

    Raises:
        EngineError: The artefact does not load or does not run.
        ModelError: The original does not run at a bucket.
    """
    original = open_original(model_path)
    classes = {tensor.name: isinstance(tensor.dims[-1], int) for tensor in signature.outputs if tensor.dims}
    backend = get_backend(backend_name)
    dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs.inputs}
    engine = load_engine(backend.engine, artefact_path, options)
    try:
        checks = []
        for sizes in buckets:
            found: list[list[Difference]] = []
            real = backend.real_inputs(options, signature.inputs.shapes(sizes), dtypes)
            seeds = range(_SEED, _SEED + rounds)
            for inputs in real or [random_inputs(signature.inputs, sizes, seed=seed) for seed in seeds]:
                # The reference runs first: an engine may write into what it was given.
                reference = original.run(inputs)
                found.append(compare_outputs(engine.run(inputs), reference, tolerance, classes=classes))
            checks.append(BucketCheck(dict(sizes), tuple(worst(list(each)) for each in zip(*found, strict=True))))
    finally:
        engine.close()
    return VerificationResult(artefact_path.name, backend_name, tolerance, tuple(checks))
