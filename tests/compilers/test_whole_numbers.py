"""Whole numbers as importers compute them: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.compilers.whole_numbers import quantise_in_floats, round_to_even, take_remainders
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

OPTIONS = {
    "lite": {"backend": "lite", "device": "cpu"},
    "nncase": {"backend": "nncase", "options": {"target": "cpu"}},
}
HALVES = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 8388607.5, -4194303.5, 1e-10, -1e-10, 0, 7, 1e9]
FEEDS = {
    "x": np.array(HALVES, np.float32),
    "a": np.array([7, -7, 7, -7, 1, 0, -6]),
    "b": np.array([2, 2, -2, -2, 3, 5, 3]),
}
WHOLE = """<ir_version: 8, opset_import: ["": 13]>
    g (float[14] x, int64[7] a, int64[7] b) => (float[14] y, int64[14] whole, int64[7] rest) {
        y = Round (x)
        whole = Cast <to = 7> (y)
        rest = Mod (a, b)
    }"""


def answer(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return dict(zip((each.name for each in session.get_outputs()), session.run(None, FEEDS), strict=True))


def test_halves_and_remainders_are_alike():
    proto = onnx.parser.parse_model(WHOLE)
    expected = answer(proto)
    assert round_to_even(proto)
    assert "Round" not in {node.op_type for node in proto.graph.node}
    assert take_remainders(proto)
    for key, value in answer(proto).items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.parametrize("backend", OPTIONS)
def test_halves_and_remainders_compile(backend: str, tmp_path: Path):
    options = OPTIONS[backend]
    try:
        get_backend(backend).identity(options)
    except (CompileError, EngineError) as error:
        pytest.skip(str(error))
    proto, path = onnx.parser.parse_model(WHOLE), tmp_path / "m.onnx"
    onnx.save(proto, str(path))
    specs = tuple(TensorSpec(key, value.shape, str(value.dtype)) for key, value in FEEDS.items())
    job = CompileJob(path, Signature(specs), Unit("all", "m_static", (), ((),)), options)
    files = run_job(job, tmp_path / "made", log=tmp_path / "m.log", timeout=100).artefact.files
    engine = load_engine(get_backend(backend).engine, files[0], options)
    found = engine.run(FEEDS)
    engine.close()
    for key, value in answer(proto).items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_what_is_quantised_for_no_product_is_left(tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]> g (float[3] x) => (float[3] y) {
        q, scale, zero = DynamicQuantizeLinear (x)
        y = Cast <to = 1> (q)
    }""")
    assert not quantise_in_floats(proto, tmp_path)
