"""Padding error: what a bundle answers at sizes between its buckets, against the original at the exact size.

An exact artefact can still answer differently where it is padded: convolutions see the padding at the edge, pooling and
normalisation average over it, attention attends to it. How much is a property of the model and of the padding policy.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import BundleError, ModelError
from scaling_tasks.onnx_model.original import Arrays, Original, random_inputs
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.runtime.policies import Padding
from scaling_tasks.runtime.requests import RequestReader
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.verification.comparison import compare_outputs
from scaling_tasks.verification.numerics import classes_of
from scaling_tasks.verification.padding_result import PaddingProbe, PaddingResult

__all__ = ["compare_policies", "is_padded", "measure_padding", "smooth_inputs"]

InputMaker = Callable[[Signature, Mapping[str, int], int], Arrays]

_SEED = 20230608
# A model may run at some sizes only; those just below a bucket are tried in this order.
_BELOW = (1, 2, 4, 8, 16, 32)


def measure_padding(
    directory: Path,
    manifest: Manifest,
    original: Original,
    tolerance: Tolerance,
    *,
    makers: Mapping[str, InputMaker] | None = None,
    samples: Sequence[Path] = (),
) -> PaddingResult:
    """Run the bundle at the sizes at which padding is largest and smallest, and compare with the original.

    Per bucket and variable these are the next smaller bucket's size plus 1, and the bucket's own minus 1. Samples are
    run as they are; those that fit a bucket exactly or none at all say nothing of padding and are left out.

    Args:
        directory: Of the bundle.
        manifest: What is in it; with other padding policies, those are what is measured.
        original: The original model.
        tolerance: What counts as a change.
        makers: How inputs are made, by name; random and smooth ones by default.
        samples: ``.npz`` files with one array per input, of any sizes.

    Raises:
        BundleError: An artefact is missing or damaged, or a sample is not one of this model's.
        VerificationFailed: An answer is no number where the original's is one, or has another shape or element type.
    """
    result = _measure(directory, manifest, original, tolerance, makers, samples)
    if failure := result.incomparable():
        raise failure
    return result


def _measure(
    directory: Path,
    manifest: Manifest,
    original: Original,
    tolerance: Tolerance,
    makers: Mapping[str, InputMaker] | None,
    samples: Sequence[Path],
) -> PaddingResult:
    named = {"random": random_inputs, "smooth": smooth_inputs} if makers is None else makers
    probes = []
    signature = manifest.signature.inputs
    classes = classes_of(manifest.behaviour)
    with BucketedModel(directory, replace(manifest, oversize="error"), partial(load_engine, manifest.engine)) as model:
        generated = _served(model, original, signature, named) if named else ()
        for sizes, reference in itertools.chain(generated, _sampled(model, original, manifest, samples)):
            for name, (inputs, wanted) in reference.items():
                differences = compare_outputs(model.run(inputs), wanted, tolerance, classes=classes)
                probes.append(PaddingProbe(model.select(sizes), sizes, name, tuple(differences)))
    return PaddingResult(manifest.model, tolerance, tuple(probes))


def compare_policies(
    directory: Path,
    manifest: Manifest,
    original: Original,
    tolerance: Tolerance,
    policies: Mapping[str, Padding] | None = None,
    samples: Sequence[Path] = (),
) -> dict[str, PaddingResult]:
    """Measure several padding policies for all inputs at once: on samples alone where there are any.

    Args:
        directory: Of the bundle.
        manifest: What is in it.
        original: The original model.
        tolerance: What counts as a change.
        policies: By name; zeros, repeated edges and the constants 1 and -1 (white and black after normalisation) by
            default. Masks stay masks.
        samples: As for ``measure_padding``.

    Returns:
        Every policy's result, that whose answers are nearest to the original's first: by the share of equal largest
        classes, then by the mean difference.
    """
    tried = policies or {
        "zero": Padding(),
        "edge": Padding("edge"),
        "constant 1": Padding("constant", value=1.0),
        "constant -1": Padding("constant", value=-1.0),
    }
    results = {}
    for name, policy in tried.items():
        padding = {key: replace(policy, mask=old.mask) for key, old in manifest.padding.items()}
        padded = replace(manifest, padding=padding)
        results[name] = _measure(directory, padded, original, tolerance, {} if samples else None, samples)
    return dict(sorted(results.items(), key=lambda item: _rank(item[1])))


def _rank(result: PaddingResult) -> tuple[int, float, float]:
    """Order by answers that cannot be compared, such as NaN, then by agreement, then by the mean difference."""
    lost = sum(bool(each.problem) for probe in result.probes for each in probe.outputs)
    return lost, -(result.agreement or 0.0), result.mean


def smooth_inputs(signature: Signature, values: Mapping[str, int], seed: int) -> Arrays:
    """Return inputs whose neighbours are alike, as in images: random ones, averaged along their last two axes."""
    arrays = random_inputs(signature, values, seed)
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            for axis in range(max(0, array.ndim - 2), array.ndim):
                array = _smoothed(array, axis)
            arrays[name] = array
    return arrays


def _smoothed(array: Any, axis: int) -> Any:
    near = [np.roll(array, shift, axis=axis) for shift in (-2, -1, 0, 1, 2)]
    return (np.sum(near, axis=0) / np.sqrt(len(near))).clip(-1, 1).astype(array.dtype)


def is_padded(directory: Path, manifest: Manifest) -> bool:
    """Return whether there are sizes between the buckets at which the model runs, as far as its own shapes say."""
    with BucketedModel(directory, replace(manifest, oversize="error"), partial(load_engine, manifest.engine)) as model:
        return any(sizes for bucket in model.buckets for sizes in _candidates(model, bucket))


def _served(
    model: BucketedModel, original: Original, signature: Signature, makers: Mapping[str, InputMaker]
) -> Iterator[tuple[dict[str, int], dict[str, tuple[Arrays, Arrays]]]]:
    """Yield sizes that are padded, with inputs and the original's answers by maker."""
    seen = set()
    for bucket in model.buckets:
        for candidates in _candidates(model, bucket):
            for sizes in candidates:
                if tuple(sizes.values()) in seen:
                    continue
                inputs = {name: make(signature, sizes, _SEED) for name, make in makers.items()}
                try:
                    answers = {name: (each, original.run(each)) for name, each in inputs.items()}
                except ModelError:
                    continue
                seen.add(tuple(sizes.values()))
                yield sizes, answers
                break


def _sampled(
    model: BucketedModel, original: Original, manifest: Manifest, samples: Sequence[Path]
) -> Iterator[tuple[dict[str, int], dict[str, tuple[Arrays, Arrays]]]]:
    """Yield the sizes of samples that are padded, with their inputs and the original's answers."""
    for path in samples:
        reader = RequestReader(str(path), manifest.signature.inputs, manifest.padding, manifest.behaviour)
        inputs, values = reader.read(_sample(path))
        sizes = dict(zip(manifest.signature.inputs.variables, values, strict=True))
        try:
            padded = model.select(sizes) != sizes
        except BundleError:  # No bucket holds it.
            continue
        if padded:
            try:
                answers = original.run(inputs)
            except ModelError as cause:
                raise BundleError(f"is a sample that the model refuses: {cause.what}", where=str(path)) from cause
            yield sizes, {"samples": (inputs, answers)}


def _sample(path: Path) -> Arrays:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    # What numpy raises for files that are cut short, no archives, or hold Python objects.
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as cause:
        raise BundleError(
            "is no .npz file of plain arrays", where=str(path), fix="Save it with numpy.savez."
        ) from cause


def _candidates(model: BucketedModel, bucket: Mapping[str, int]) -> Iterator[Sequence[dict[str, int]]]:
    """Yield, per size to probe, the sizes to try until the original runs at one."""
    for name, size in bucket.items():
        smaller = max((other[name] for other in model.buckets if other[name] < size), default=0)
        from_above = [dict(bucket) | {name: size - step} for step in _BELOW if size - step > smaller]
        from_below = [dict(bucket) | {name: smaller + step} for step in _BELOW if smaller + step < size]
        # Nobody sends images of one pixel; without a smaller bucket half the size stands for "much smaller".
        from_below = from_below if smaller else [dict(bucket) | {name: max(1, size // 2 // 32 * 32 or size // 2)}]
        # Where the model runs at few sizes only and says so, these may be further away.
        behaviour = model.manifest.behaviour
        from_above += [behaviour.next_running(each, step=-1) for each in from_above[:1]]
        from_below += [behaviour.next_running(each) for each in from_below[:1]]
        for tried in (from_above, from_below):
            inside = (each for each in tried if all(each[other] <= bucket[other] for other in bucket))
            yield [each for each in inside if behaviour.runs_at(each) and model.select(each) != each]
