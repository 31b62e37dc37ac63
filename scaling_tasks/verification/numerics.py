"""Exact error: an artefact at its buckets and at sizes they contain, against the original model at those sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.compilers.real_inputs import padded
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.original import Arrays, Original, random_inputs
from scaling_tasks.runtime.cropping import widened
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.behaviour import Behaviour
from scaling_tasks.shapes.layouts import layout_variables
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.verification.comparison import Difference, compare_outputs, worst
from scaling_tasks.verification.verification_result import BucketCheck, VerificationResult

__all__ = ["classes_of", "smaller_sizes", "verify_artefact"]

_SEED = 20230607


def verify_artefact(
    original: Original,
    manifest: Manifest,
    directory: Path,
    tolerance: Tolerance,
    *,
    rounds: int = 1,
    smaller: int = 4,
) -> VerificationResult:
    """Run an artefact at each of its buckets and at smaller sizes that these contain, and compare it with the original.

    Inputs are random, unless the backend says that its artefact is to be judged on real ones. Smaller sizes are drawn
    at random, and where the bucket has rows a batch of requests of different sizes is run at once.

    Args:
        original: The original model.
        manifest: Of the artefact alone.
        directory: That holds its files.
        tolerance: Largest accepted difference.
        rounds: How many random inputs per bucket, where they are random.
        smaller: How many smaller sizes per bucket, where padding changes nothing.

    Raises:
        EngineError: The artefact does not load or does not run.
        ModelError: The original does not run at a bucket.
    """
    (artefact,) = manifest.artefacts
    backend = get_backend(manifest.backend)
    inputs, behaviour = manifest.signature.inputs, manifest.behaviour
    dtypes = {tensor.name: tensor.dtype for tensor in inputs.inputs}
    given = {tensor.name: tensor.dtype for tensor in manifest.signature.outputs}
    classes = classes_of(behaviour)
    engine = load_engine(manifest.engine, directory / artefact.files[0].name, manifest.options)
    checks: list[BucketCheck] = []
    of_smaller: list[BucketCheck] = []
    try:
        for number, bucket in enumerate(artefact.buckets):
            sizes = dict(zip(manifest.variables, bucket, strict=True))
            real = backend.real_inputs(manifest.options, inputs.shapes(sizes), dtypes)
            # One that is larger than any request can be is compared at the largest of these, among the smaller sizes.
            if behaviour.runs_at(sizes):
                told = behaviour.feeds_of_one_size(sizes, sizes)
                found: list[list[Difference]] = []
                for arrays in real or [random_inputs(inputs, sizes, seed=_SEED + at) for at in range(rounds)]:
                    arrays = padded(arrays, inputs.shapes(sizes))
                    # The reference runs first: an engine may write into what it was given.
                    reference = original.run(arrays)
                    answer = widened(engine.run({**arrays, **told}), given)
                    found.append(compare_outputs(answer, reference, tolerance, classes=classes))
                checks.append(BucketCheck(sizes, sizes, _worst_of(found)))
            if behaviour.kind in ("exact", "cleaned") and smaller:
                with BucketedModel(directory, _of_one_bucket(manifest, number), lambda *_: _Lent(engine)) as model:
                    of_smaller += _smaller(original, model, sizes, tolerance, smaller, real)
    finally:
        engine.close()
    checks += of_smaller
    return VerificationResult(artefact.stem, manifest.backend, tolerance, tuple(checks))


def _of_one_bucket(manifest: Manifest, at: int) -> Manifest:
    """Return the manifest with one bucket of its artefact: what a smaller one contains would run there otherwise."""
    (artefact,) = manifest.artefacts
    one = slice(at, at + 1)
    alone = replace(artefact, buckets=artefact.buckets[one], costs=artefact.costs[one], hits=artefact.hits[one])
    return replace(manifest, artefacts=(alone,))


class _Lent:
    """An engine that several models use one after another, none of which closes it."""

    def __init__(self, engine: Engine) -> None:
        self.run = engine.run

    def close(self) -> None:
        """Leave it open for the next."""


def classes_of(behaviour: Behaviour) -> dict[str, bool]:
    """Return per output whether its last axis holds classes: it does where its length is fixed."""
    return {name: not layout_variables(axes[-1]) for name, axes in behaviour.layouts.items() if axes}


def _smaller(
    original: Original,
    model: BucketedModel,
    bucket: Mapping[str, int],
    tolerance: Tolerance,
    count: int,
    real: Sequence[Arrays] | None,
) -> list[BucketCheck]:
    """Return what smaller sizes give: each alone, and requests of different sizes in one batch."""
    behaviour, inputs = model.manifest.behaviour, model.manifest.signature.inputs
    drawn: list[tuple[dict[str, int], Arrays, Arrays]] = []
    if real is None and not behaviour.runs_at(bucket):
        sizes = behaviour.next_running(bucket, step=-1)
        drawn.append((sizes, arrays := random_inputs(inputs, sizes, seed=_SEED), original.run(arrays)))
    for sizes, arrays in _smaller_inputs(behaviour, inputs, bucket, 8 * count, real):
        try:
            drawn.append((sizes, arrays, original.run(arrays)))
        except ModelError:
            continue  # Many models run at some sizes only, and do not say so in their shapes.
        if len(drawn) == count:
            break
    classes = classes_of(behaviour)
    checks = []
    together = model.run_many([arrays for _, arrays, _ in drawn]) if behaviour.rows is not None else []
    for at, (sizes, arrays, reference) in enumerate(drawn):
        answers = [model.run(arrays), *together[at : at + 1]]
        found = [compare_outputs(answer, reference, tolerance, classes=classes) for answer in answers]
        checks.append(BucketCheck(model.select(sizes), sizes, _worst_of(found)))
    return checks


def _smaller_inputs(
    behaviour: Behaviour, inputs: Signature, bucket: Mapping[str, int], count: int, real: Sequence[Arrays] | None
) -> Iterator[tuple[dict[str, int], Arrays]]:
    """Yield real inputs that are smaller than a bucket, or where there are to be none random ones."""
    if real is not None:
        for arrays in real:
            sizes = {**bucket, **inputs.sizes({name: array.shape for name, array in arrays.items()})}
            if sizes != dict(bucket) and behaviour.runs_at(sizes):
                yield sizes, arrays
        return
    generator = np.random.default_rng([_SEED, *bucket.values()])
    for number, sizes in enumerate(smaller_sizes(behaviour, bucket, generator, count)):
        yield sizes, random_inputs(inputs, sizes, seed=_SEED + number)


def smaller_sizes(
    behaviour: Behaviour, bucket: Mapping[str, int], generator: np.random.Generator, count: int
) -> Iterator[dict[str, int]]:
    """Yield distinct random sizes that a bucket contains and at which the model runs, ``bucket`` itself left out."""
    seen = {tuple(bucket.values())}
    for turn in range(count):
        sizes = {name: int(generator.integers(1, size + 1)) for name, size in bucket.items()}
        if turn % 2 and behaviour.rows in sizes:
            # Rows of a batch: requests of one row each, which are run together.
            sizes[str(behaviour.rows)] = 1
        if turn % 4 < 2:
            sizes |= dict.fromkeys(behaviour.empty, 0)
        found = sizes if behaviour.runs_at(sizes) else behaviour.next_running(sizes)
        if not behaviour.runs_at(found):
            found = behaviour.next_running(sizes, step=-1)
        fits = behaviour.runs_at(found) and all(found[name] <= size for name, size in bucket.items())
        if fits and tuple(found.values()) not in seen:
            seen.add(tuple(found.values()))
            yield found


def _worst_of(found: Sequence[Sequence[Difference]]) -> tuple[Difference, ...]:
    return tuple(worst(list(each)) for each in zip(*found, strict=True))
