"""Operators that ONNX defines by others, written as those: the same under onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from scaling_tasks.compilers.lite_operators import DEFINED_BY_OTHERS
from scaling_tasks.compilers.operator_functions import inline_operators

# Of most, definitions hold another of these operators, and numbers that the operator may leave out.
KINDS = {
    "Gelu": 20,
    "Selu": 18,
    "Swish": 24,
    "Celu": 13,
    "Mish": 18,
    "Shrink": 18,
    "Softsign": 18,
    "ThresholdedRelu": 18,
}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_alike(kind: str):
    proto = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": {KINDS[kind]}]>
        g (float[2,3] x) => (float[2,3] y) {{ y = {kind} (x) }}""")
    x = np.random.default_rng(3).normal(0, 2, (2, 3)).astype(np.float32)
    inlined = inline_operators(proto, DEFINED_BY_OTHERS)
    assert not {node.op_type for node in inlined.graph.node} & DEFINED_BY_OTHERS
    expected = ReferenceEvaluator(proto).run(None, {"x": x})[0]
    found = onnxruntime.InferenceSession(inlined.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_defined_by_types_that_are_not_known_stays():
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18, "other": 1]>
        g (float[2,3] x) => (float[2,3] y, float[2,3] z) {
            a = other.Unknown (x)
            y = CastLike (a, x)
            b = other.Unknown (y)
            z = Shrink (b)
        }""")
    kinds = [node.op_type for node in inline_operators(proto, DEFINED_BY_OTHERS).graph.node]
    assert {"Unknown", "CastLike"} <= set(kinds)
