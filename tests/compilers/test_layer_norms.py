"""Layer norms for nncase, which knows none, and for MindSpore Lite: written out, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.compilers.conformance import CompilerConformance
from scaling_tasks.compilers.conformance_models import ConformanceCase
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.layer_norms import spell_out
from scaling_tasks.compilers.lite import LiteBackend
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.shapes.signature import Signature, TensorSpec, name_dimensions
from scaling_tasks.shapes.unit import Unit

WIDTHS = (6, 8)


def model_of(nodes: list[onnx.NodeProto], opset: int = 17, axis: int = -1) -> onnx.ModelProto:
    """A model from ``x`` to ``y`` with a scale, a bias and a matrix to use."""
    random, norm = np.random.default_rng(0), WIDTHS[axis:]
    weights = {"scale": random.normal(1, 0.2, norm), "bias": random.normal(0, 0.2, norm)}
    weights |= {"matrix": random.normal(0, 0.3, (8, 8)), "epsilon": np.array(1e-3), "two": np.array(2.0)}
    graph = helper.make_graph(
        nodes,
        "norms",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *WIDTHS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def norm(inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node("LayerNormalization", inputs, outputs, **attributes)


def run(model: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(1).normal(1, 3, (2, *WIDTHS)).astype(np.float32)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": x})[0]


@pytest.mark.parametrize("opset", [17, 18, 21])
@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("inputs", [["x", "scale"], ["x", "scale", "bias"]])
def test_written_out_it_is_the_same(opset: int, axis: int, inputs: list[str]):
    model = model_of([norm(inputs, ["y"], axis=axis, epsilon=1e-3)], opset, axis)
    expected = run(model)
    spell_out(model)
    assert "LayerNormalization" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [1, -2])
def test_a_scale_that_is_repeated_does_not_say_over_which_axes_it_is(axis: int):
    """Of one axis or of more than are normed, and computed."""
    model = model_of(
        [
            norm(["x", "scale"], ["z"], axis=axis),
            helper.make_node("Mul", ["z", "two"], ["twice"]),
            helper.make_node("Reshape", ["scale", "shape"], ["more"]),
            norm(["twice", "more"], ["y"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, WIDTHS[-1]]), "shape"))
    expected = run(model)
    assert spell_out(model)
    assert "LayerNormalization" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model), expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_written_out_stays():
    model = model_of([norm(["x", "scale"], ["z", "mean"]), helper.make_node("Add", ["z", "mean"], ["y"])])
    before = model.SerializeToString()
    assert not spell_out(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("attributes", [{}, {"epsilon": 1e-5}, {"axis": 2, "epsilon": 0.3}, {"axis": -2}], ids=str)
def test_mindspore_lite_computes_it_as_it_is_meant(attributes: dict[str, float], tmp_path: Path):
    options = {"backend": "lite", "device": "cpu"}
    try:
        LiteBackend().identity(options)
    except (CompileError, EngineError) as error:
        pytest.skip(str(error))
    path = tmp_path / "model.onnx"
    onnx.save(model_of([norm(["x", "scale", "bias"], ["y"], **attributes)], axis=attributes.get("axis", -1) % -3), path)
    x = np.random.default_rng(1).normal(1, 3, (2, *WIDTHS)).astype(np.float32)
    x[0, 2:] = 0  # As what lies beyond a request's size: nothing varies there.
    job = CompileJob(path, Signature((TensorSpec("x", x.shape),)), Unit("all", "m_static", (), ((),)), options)
    files = run_job(job, tmp_path / "made", log=tmp_path / "m.log", timeout=100).artefact.files
    engine = load_engine("lite", files[0], options)
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
    np.testing.assert_allclose(engine.run({"x": x})["y"], expected, atol=1e-5)
    engine.close()


class Nncase(CompilerConformance):
    """How a backend's tests compile."""

    backend_name = "nncase"
    options = {"options": {"target": "cpu"}}  # noqa: RUF012


def written_out() -> list[onnx.NodeProto]:
    """A layer norm as exporters before opset 17 write it, of which onnxruntime would make the operator."""
    make = helper.make_node
    return [
        make("ReduceMean", ["x"], ["mean"], axes=[-1]),
        make("Sub", ["x", "mean"], ["centred"]),
        make("Pow", ["centred", "two"], ["squares"]),
        make("ReduceMean", ["squares"], ["variance"], axes=[-1]),
        make("Add", ["variance", "epsilon"], ["moved"]),
        make("Sqrt", ["moved"], ["deviation"]),
        make("Div", ["centred", "deviation"], ["whitened"]),
        make("Mul", ["whitened", "scale"], ["scaled"]),
        make("Add", ["scaled", "bias"], ["normal"]),
    ]


@pytest.mark.parametrize("form", ["operator", "written out"])
def test_nncase_compiles_it(form: str, tmp_path: Path):
    backend = Nncase()
    try:
        backend.backend.identity(backend.compile_options)
    except CompileError as error:
        pytest.skip(str(error))
    nodes = written_out() if form == "written out" else [norm(["x", "scale", "bias"], ["normal"], epsilon=1e-3)]
    path = tmp_path / "model.onnx"
    onnx.save(model_of([*nodes, helper.make_node("MatMul", ["normal", "matrix"], ["y"])]), path)
    backend.check_case(ConformanceCase(path, name_dimensions({"x": ["N", *WIDTHS]}), ((2,),)), tmp_path)
