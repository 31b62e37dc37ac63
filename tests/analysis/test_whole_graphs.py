"""Random graphs served from a bucket answer as the original does at random sizes, or the analysis refuses them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, event, given, note, settings

from benchmarks.zoo.bucketed import serve
from benchmarks.zoo.judging import apart, open_session, perturbed
from scaling_tasks.analysis.analyse import Analysis, analyse_model
from tests.analysis.drafts import assert_exact
from tests.analysis.drawing import thorough
from tests.analysis.random_graphs import RandomModel, random_models

_TOLERANCE = 2e-5
_ILL_CONDITIONED = 1e-3
"""Of the largest value: a model that rounding moves further than this tells nothing."""


@settings(
    thorough, max_examples=int(os.environ.get("ANALYSIS_EXAMPLES", "150")), suppress_health_check=list(HealthCheck)
)
@given(random_models())
def test_bucket_answers_as_the_original_at_the_exact_size(random: RandomModel) -> None:
    note(f"operators: {random.operators}")
    analysis = _analyse(random)
    if analysis.behaviour.refusals or not analysis.behaviour.runs_at(random.limits):
        assert all(str(verdict) for verdict in analysis.behaviour.refusals)
        event("refused")
        return
    original = open_session(random.model, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "cleaned.onnx")
        file.write_bytes(analysis.cleaned.SerializeToString())
        with serve(analysis, random.model, "onnxruntime", random.limits, [file]) as served:
            for seed in range(6):
                sizes = random.sizes(seed)
                if analysis.behaviour.runs_at(sizes):
                    _compare(original, served.run, random.inputs(sizes, seed))
        _compare_as_it_is(random, analysis, original, Path(folder, "plain.onnx"))


def _compare_as_it_is(random: RandomModel, analysis: Analysis, original: Any, file: Path) -> None:
    """Where padding is accepted, outputs that are still said to be exact are so in the model that nothing cleaned."""
    behaviour = analysis.behaviour.accepted()
    kept = set(behaviour.layouts) - {verdict.output for verdict in behaviour.verdicts if verdict.kind != "exact"}
    if not kept:
        return
    event("exact as it is")
    file.write_bytes(random.model.SerializeToString())
    with serve(replace(analysis, behaviour=behaviour), random.model, "onnxruntime", random.limits, [file]) as served:
        for seed in range(3):
            sizes = random.sizes(seed)
            if behaviour.runs_at(sizes):
                _compare(original, served.run, random.inputs(sizes, seed), kept)


@settings(
    thorough, max_examples=int(os.environ.get("ANALYSIS_EXAMPLES", "150")), suppress_health_check=list(HealthCheck)
)
@given(random_models())
def test_requests_of_several_sizes_together_and_what_is_known_of_every_tensor(random: RandomModel) -> None:
    note(f"operators: {random.operators}")
    rows = [{**random.sizes(seed), **({"B": 1} if "B" in random.limits else {})} for seed in range(3)]
    original = open_session(random.model, threads=1)
    assume(not any(_is_ill_conditioned(original, random.inputs(row, at)) for at, row in enumerate(rows)))
    limits = random.limits
    assert_exact(random.model, limits, rows, refusable=True, input_shape=random.dims(), bucket_limits=limits)


def _is_ill_conditioned(original: Any, inputs: dict[str, Any]) -> bool:
    """Whether rounding moves an answer by a tenth of what is compared, or there is none that is a number."""
    try:
        expected, moved = original(inputs), original(perturbed(inputs, 0))
    except Exception:  # onnxruntime raises types of its own.
        return False
    return any(not np.isfinite(array).all() or apart(moved[name], array) > 1e-5 for name, array in expected.items())


def _analyse(random: RandomModel) -> Analysis:
    return analyse_model(random.model, input_shape=random.dims(), bucket_limits=random.limits)


def _compare(original: Any, served: Any, inputs: dict[str, Any], kept: Collection[str] | None = None) -> None:
    note(f"shapes: { {name: array.shape for name, array in inputs.items()} }")
    try:
        expected = original(inputs)
    except Exception:  # onnxruntime raises types of its own; there is nothing to compare with.
        event("the original does not run")
        return
    moved, found = original(perturbed(inputs, 0)), served(inputs)
    for name, array in expected.items():
        own = apart(moved[name], array)
        if (kept is None or name in kept) and own < _ILL_CONDITIONED and np.isfinite(array).all():
            assert apart(found[name], array) <= max(_TOLERANCE, 20 * own), name
