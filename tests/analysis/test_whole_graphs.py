"""Random graphs served from a bucket answer as the original does at random sizes, or the analysis refuses them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, event, given, note, settings

from benchmarks.zoo.bucketed import serve
from benchmarks.zoo.judging import apart, open_session, perturbed
from scaling_tasks.analysis.analyse import Analysis, analyse_model
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


def _analyse(random: RandomModel) -> Analysis:
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in random.model.graph.input
    }
    return analyse_model(random.model, input_shape=dims, bucket_limits=random.limits)


def _compare(original: Any, served: Any, inputs: dict[str, Any]) -> None:
    note(f"shapes: { {name: array.shape for name, array in inputs.items()} }")
    try:
        expected = original(inputs)
    except Exception:  # onnxruntime raises types of its own; there is nothing to compare with.
        event("the original does not run")
        return
    moved, found = original(perturbed(inputs, 0)), served(inputs)
    for name, array in expected.items():
        own = apart(moved[name], array)
        if own < _ILL_CONDITIONED and np.isfinite(array).all():
            assert apart(found[name], array) <= max(_TOLERANCE, 20 * own), name
