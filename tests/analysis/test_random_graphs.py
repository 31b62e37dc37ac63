"""The random graphs are what they say: valid at their sizes, varied, and built of every operator of the table."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_tasks.analysis.operators import load_rules
from scaling_tasks.analysis.registry import known_operators
from tests.analysis.node_tests import cases
from tests.analysis.random_graphs import (
    OPERATORS,
    OPSETS,
    Growing,
    RandomModel,
    Rejected,
    load_operators,
    random_models,
)

load_operators()

_INPUTS = (
    (("B", "L", 4),),
    (("B", 4, "H", "W"),),
    (("B", "M", 1), ("B", 3, "L")),
    (("B", 4),),
    (("L", "B", 8),),
    (("B", 4, "L"),),
)

_NOT_DRAWN = {
    # Noise, refused wherever it is asked for a number per position.
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    # No kernel of onnxruntime's takes them, or no version of the operators that is drawn has them.
    *("BitCast", "CumProd", "Scatter", "SwiGLU", "Swish", "TensorScatter", "Upsample", "ai.onnx.ml.TreeEnsemble"),
    # Their operands are no real numbers behind each other.
    *("Constant", "MaxRoiPool", "NonMaxSuppression", "ai.onnx.ml.CategoryMapper", "com.microsoft.ExpandDims"),
    # They take many operands that have to fit.
    *("CausalConvWithState", "LinearAttention", "com.microsoft.CausalConvWithState", "com.microsoft.LinearAttention"),
    *("com.microsoft.DynamicQuantizeLSTM", "com.microsoft.EmbedLayerNormalization"),
    *("com.microsoft.MoE", "com.microsoft.QAttention", "com.microsoft.QEmbedLayerNormalization", "com.microsoft.QMoE"),
    *("ai.onnx.ml.SVMClassifier", "ai.onnx.ml.SVMRegressor", "ai.onnx.ml.TreeEnsembleClassifier"),
}
"""Operators that are in no random graph."""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_models())
def test_models_are_valid_and_run_at_their_limits(random: RandomModel) -> None:
    if "OwnNorm" not in random.operators:  # onnxruntime's, but in ONNX's domain.
        onnx.checker.check_model(random.model, full_check=True)
    session = onnxruntime.InferenceSession(random.model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, random.inputs(random.limits, 0))
    assert outputs
    assert all(output.size for output in outputs)


@settings(max_examples=30, deadline=None)
@given(random_models(), st.integers(0, 1000))
def test_sizes_are_multiples_of_the_step_and_within_the_limits(random: RandomModel, seed: int) -> None:
    for name, size in random.sizes(seed).items():
        assert 1 <= size <= random.limits[name]
        assert name == "B" or size % random.step == 0


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_fits_behind_some_input(name: str) -> None:
    fitted = 0

    @settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data(), st.sampled_from(_INPUTS), st.sampled_from([1, 4]), st.sampled_from(OPSETS))
    def put(data: st.DataObject, inputs: tuple[tuple[int | str, ...], ...], step: int, opset: int) -> None:
        nonlocal fitted
        graph = Growing(0, opset, step)
        values = [graph.input(f"x{at}", dims) for at, dims in enumerate(inputs)]
        with contextlib.suppress(Rejected):
            fitted += OPERATORS[name](graph, data.draw, values[-1]) is not None

    put()
    assert fitted


def test_inputs_are_the_same_for_the_same_seed() -> None:
    graph = Growing(0)
    value = graph.add("Relu", graph.input("x0", ["B", "L", 4]))
    random = RandomModel(graph.model([value]), {"B": 3, "L": 17}, 1, ("Relu",))
    one, two = (random.inputs({"B": 2, "L": 5}, 7)["x0"] for _ in range(2))
    assert one.shape == (2, 5, 4)
    np.testing.assert_array_equal(one, two)


def test_what_is_not_finite_is_rejected() -> None:
    graph = Growing(0)
    value = graph.input("x0", ["B", "L", 4])
    with pytest.raises(Rejected):
        graph.add("Sqrt", value)


def test_known_operators_are_in_random_graphs_or_have_tests_of_their_own() -> None:
    load_rules()
    folder = Path(__file__).parent
    drawn = "".join(file.read_text() for file in folder.glob("random_*.py"))
    own = "".join(file.read_text() for file in folder.glob("test_*.py"))
    left = {name for name in known_operators() if not _names(drawn, name)}
    assert left == _NOT_DRAWN
    onnx_tests = frozenset().union(*(case.operators for case in cases()))
    assert {name for name in left - onnx_tests if not _names(own, name)} == {"ai.onnx.ml.TreeEnsemble"}


def _names(text: str, operator: str) -> bool:
    """Whether a text names an operator of any domain; reductions are put together of two words."""
    name = operator.rpartition(".")[2]
    return f'"{name}"' in text or (name.startswith("Reduce") and f'"{name.removeprefix("Reduce")}"' in text)
