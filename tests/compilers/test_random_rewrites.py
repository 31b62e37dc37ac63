"""Random graphs as MindSpore Lite and nncase get them: in onnxruntime they answer as the original does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scaling_tasks.compilers import lite_rewrite, nncase_model
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit
from tests.analysis.drafts import session
from tests.analysis.drawing import thorough
from tests.analysis.random_graphs import RandomModel, random_models

EXAMPLES = int(os.environ.get("ANALYSIS_EXAMPLES", "60"))


def of_nncase(job: CompileJob, workdir: Path) -> Path:
    return nncase_model.static_model(job, workdir, simplify=True)[0]


@pytest.mark.parametrize("rewritten", [lite_rewrite.static_model, of_nncase], ids=["lite", "nncase"])
def test_they_answer_as_the_original(rewritten: Callable[[CompileJob, Path], Path]) -> None:
    @settings(thorough, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(random_models(), st.integers(0, 1000), st.booleans())
    def answer(random: RandomModel, seed: int, in_halves: bool) -> None:
        feeds = random.inputs(random.sizes(seed), seed)
        if in_halves:  # Many are equal, and many to be rounded.
            feeds = {name: np.round(array * 2) / 2 for name, array in feeds.items()}
        with tempfile.TemporaryDirectory() as directory:
            compare(random.model, feeds, Path(directory), rewritten)

    answer()


def compare(model: onnx.ModelProto, feeds: Any, directory: Path, rewritten: Any) -> None:
    path = directory / "m.onnx"
    onnx.save(model, str(path))
    try:
        expected = session(model).run(None, feeds)
    except Exception:  # At this size the original has no answer.
        assume(False)
    specs = tuple(TensorSpec(name, array.shape, str(array.dtype)) for name, array in feeds.items())
    job = CompileJob(path, Signature(specs), Unit("all", "m_static", (), ((),)), {"backend": "", "device": "cpu"})
    try:
        made = rewritten(job, directory)
    except CompileError:
        return
    found = session(readable(onnx.load(str(made)))).run([value.name for value in model.graph.output], feeds)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(other).max(initial=0))))


def readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """Say the sizes of every Split as an input again, of which MindSpore Lite reads the attribute."""
    for node in model.graph.node:
        for said in [each for each in node.attribute if node.op_type == "Split" and each.name == "split"]:
            sizes = onnx.numpy_helper.from_array(np.array(said.ints, np.int64), f"{node.output[0]}/sizes")
            model.graph.initializer.append(sizes)
            node.input.append(sizes.name)
            node.attribute.remove(said)
    return model
