"""Operands and names as MindSpore Lite takes them, on the converter and the engine themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.lite import LiteBackend
from scaling_tasks.compilers.lite_operands import bound_by_one, expand_where, lead_with_inputs, name_apart
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

OPTIONS = {"backend": "lite", "device": "cpu"}


@pytest.fixture
def lite() -> None:
    try:
        find_toolchain("cpu")
    except (CompileError, EngineError) as error:
        pytest.skip(str(error))


def model(nodes, inputs, **constants) -> onnx.ModelProto:
    """Return a model; ``inputs`` are element type and dimensions by name."""
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info(name, element, dims) for name, (element, dims) in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)


def where() -> onnx.ModelProto:
    """Return content that is replaced by a number beyond a mask of one axis."""
    nodes = [
        helper.make_node("Relu", ["x"], ["content"], "content"),
        helper.make_node("Unsqueeze", ["mask"], ["wide"], "wide", axes=[0, 1]),
        helper.make_node("Cast", ["wide"], ["valid"], "valid", to=TensorProto.BOOL),
        helper.make_node("Where", ["valid", "content", "low"], ["y"], "y"),
    ]
    inputs = {"x": (TensorProto.FLOAT, [1, 3, "L"]), "mask": (TensorProto.FLOAT, ["M"])}
    return model(nodes, inputs, low=np.float32(-3e38))


def test_inputs_of_where_get_the_shape_of_its_result():
    changed = where()
    assert expand_where(changed)
    assert [node.op_type for node in changed.graph.node].count("Expand") == 2
    feeds = {"x": np.ones((1, 3, 5), np.float32), "mask": np.array([1, 1, 0, 0, 0], np.float32)}
    answers = [
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, feeds)[0] for each in (where(), changed)
    ]
    np.testing.assert_array_equal(*answers)
    assert not expand_where(model([helper.make_node("Relu", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [1])}))


def test_a_where_that_broadcasts_both_ways_over_open_sizes_is_refused():
    nodes = [helper.make_node("Where", ["c", "a", "b"], ["y"], "choice")]
    inputs = {"a": (TensorProto.FLOAT, ["L", 1]), "b": (TensorProto.FLOAT, [1, 5]), "c": (TensorProto.BOOL, [1, 1])}
    with pytest.raises(CompileError, match="fails at the Where 'choice', none of whose inputs has the shape"):
        expand_where(model(nodes, inputs))


def test_a_where_whose_result_has_a_shape_of_its_own():
    nodes = [helper.make_node("Where", ["c", "a", "b"], ["y"], "choice")]
    inputs = {"a": (TensorProto.FLOAT, [4, 1]), "b": (TensorProto.FLOAT, [5]), "c": (TensorProto.BOOL, [1, 1])}
    changed = model(nodes, inputs)
    assert expand_where(changed)
    feeds = {"a": np.arange(4, dtype=np.float32)[:, None], "b": np.ones(5, np.float32), "c": np.array([[True]])}
    answers = [
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, feeds)[0]
        for each in (model(nodes, inputs), changed)
    ]
    assert answers[0].shape == (4, 5)
    np.testing.assert_array_equal(*answers)


ONE_BOUND = {
    "least": "y = Clip (x, low)",
    "most": "y = Clip (x, , high)",
    "both": "y = Clip (x, low, high)",
    "neither": "y = Clip (x)",
    "least, as an attribute": "y = Clip <min = 0.000000001> (x)",
    "most, as an attribute": "y = Clip <max = 0.5> (x)",
}


@pytest.mark.parametrize("bound", ONE_BOUND)
def test_numbers_are_kept_within_one_bound(bound: str, lite: None, tmp_path: Path):
    opset = 10 if "attribute" in bound else 13
    text = (
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[1,"L"] x) => (float[1,"L"] y) '
        f"<float low = {{0.000000001}}, float high = {{0.5}}> {{ {ONE_BOUND[bound]} }}"
    )
    source = onnx.parser.parse_model(text.replace('"L"', "L"))
    assert bound_by_one(onnx.ModelProto.FromString(source.SerializeToString())) == (bound not in ("both", "neither"))
    feeds = {"x": np.array([[-3, 0, 0.2, 0.7, 4, 9]], np.float32)}
    np.testing.assert_allclose(*both_answers(source, feeds, tmp_path), rtol=1e-6)


@pytest.mark.parametrize("opset", [12, 17])
def test_a_number_without_dimensions_is_no_endless_wait(opset: int, lite: None, tmp_path: Path):
    text = (
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[2,4] x, int64[1] at) => (float[4] y) '
        "<int64[0] none = {}> { one = Reshape (at, none) y = Gather <axis = 0> (x, one) }"
    )
    path = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(text), str(path))
    feeds = {"x": np.arange(8, dtype=np.float32).reshape(2, 4), "at": np.array([1])}
    np.testing.assert_array_equal(answer(path, feeds, tmp_path), feeds["x"][1])


def test_shape_arithmetic_is_done_before_it_can_lead_the_converter_astray(lite: None, tmp_path: Path):
    """An attention mask by Range and Less, and heads split by Shape, Gather and Concat: it cannot load that itself."""
    from benchmarks.zoo.registry import zoo_model
    from scaling_tasks.analysis.analyse import analyse_model

    source = zoo_model("causal_less").build()
    path = tmp_path / "m.onnx"
    onnx.save(analyse_model(source).cleaned, str(path))
    feeds = {
        "x": np.random.default_rng(3).normal(size=(1, 24, 32)).astype(np.float32),
        "st_valid_0": np.full(24, np.inf, np.float32),
    }
    expected = onnxruntime.InferenceSession(source.SerializeToString()).run(None, {"x": feeds["x"]})[0]
    np.testing.assert_allclose(answer(path, feeds, tmp_path), expected, atol=1e-4)


CASTS = {
    "to int64 and back": "a = Cast <to = 7> (x) y = Cast <to = 1> (a)",
    "to int32 and back": "a = Cast <to = 6> (x) y = Cast <to = 1> (a)",
    "to truth and back": "a = Cast <to = 9> (x) y = Cast <to = 1> (a)",
    "times 1": "a = Cast <to = 7> (x) b = Mul (a, one) y = Cast <to = 1> (b)",
    "of several kinds": "a = Cast <to = 7> (x) b = Cast <to = 6> (a) c = Cast <to = 7> (b) y = Cast <to = 1> (c)",
    "to uint8 and back": "z = Abs (x) a = Cast <to = 2> (z) y = Cast <to = 1> (a)",
    "of what is whole": "z = Round (x) a = Cast <to = 7> (z) b = Add (a, one) y = Cast <to = 1> (b)",
    "of what is whole to truth": "z = Floor (x) a = Cast <to = 9> (z) y = Cast <to = 1> (a)",
    "as an output": "y = Cast <to = 7> (x)",
}


@pytest.mark.parametrize("casts", CASTS)
def test_a_cast_cuts_off_what_is_behind_the_point(casts: str, lite: None, tmp_path: Path):
    kind = "int64" if casts == "as an output" else "float"
    source = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g (float[7] x) => ({kind}[7] y) '
        f"<int64[1] one = {{1}}> {{ {CASTS[casts]} }}"
    )
    feeds = {"x": np.array([0.6, -0.6, 1.4, 2.6, -2.6, 3.0, 0.0], np.float32)}
    np.testing.assert_array_equal(*both_answers(source, feeds, tmp_path))


ORDERS = {
    "the last that is greatest": "i = ArgMax <axis = 1, select_last_index = 1> (x) y = Cast <to = 1> (i)",
    "the last that is least": "i = ArgMin <axis = 0, keepdims = 0, select_last_index = 1> (x) y = Cast <to = 1> (i)",
    "the least": "y, i = TopK <largest = 0> (x, two)",
    "places of the least": "v, i = TopK <largest = 0, axis = 0> (x, two) y = Cast <to = 1> (i)",
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_last_and_the_least_are_found(order: str, lite: None, tmp_path: Path):
    source = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g (float[3,4] x) => (float[a,b] y) '
        f"<int64[1] two = {{2}}> {{ {ORDERS[order]} }}"
    )
    source.graph.output[0].type.tensor_type.ClearField("shape")
    feeds = {"x": np.array([[1, 0, 0, 1], [0, 2, 2, 0], [3, 0, 1, 2]], np.float32)}
    np.testing.assert_array_equal(*both_answers(source, feeds, tmp_path))


def both_answers(source: onnx.ModelProto, feeds, directory: Path):
    """Return the first output as MindSpore Lite gives it and as onnxruntime does."""
    path = directory / "m.onnx"
    onnx.save(source, str(path))
    return answer(path, feeds, directory), onnxruntime.InferenceSession(str(path)).run(None, feeds)[0]


def answer(path: Path, feeds, directory: Path):
    """Return the first output of the model at ``path``, compiled for the shapes of ``feeds``."""
    specs = tuple(TensorSpec(name, array.shape, str(array.dtype)) for name, array in feeds.items())
    job = CompileJob(path, Signature(specs), Unit("all", "m_static", (), ((),)), OPTIONS)
    files = run_job(job, directory / "made", log=directory / "m.log", timeout=100).artefact.files
    engine = load_engine(LiteBackend.engine, files[0], OPTIONS)
    try:
        return next(iter(engine.run(feeds).values()))
    finally:
        engine.close()


def test_operands_that_are_inputs_come_first_and_names_are_kept_apart():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "b"),
        helper.make_node("Unsqueeze", ["m"], ["u"], "u", axes=[0]),
        helper.make_node("Min", ["a", "u"], ["b"], "c"),
        helper.make_node("Sub", ["b", "u"], ["y"], "y"),
    ]
    changed = model(nodes, {"x": (TensorProto.FLOAT, [1, 4]), "m": (TensorProto.FLOAT, [4])})
    assert lead_with_inputs(changed)
    assert name_apart(changed)
    assert [list(node.input) for node in changed.graph.node] == [["x"], ["m"], ["u", "a"], ["b", "u"]]
    assert [node.name for node in changed.graph.node] == ["a", "u", "c", "y"]


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_where_and_whole_numbers_run_at_several_sizes(lite: None, tmp_path: Path, dynamic: bool):
    source = where()
    source.graph.node[-1].output[0] = "chosen"
    source.graph.node.append(helper.make_node("Gather", ["chosen", "order"], ["y"], "ordered", axis=2))
    source.graph.input.append(helper.make_tensor_value_info("order", TensorProto.INT64, ["O"]))
    path = tmp_path / "m.onnx"
    onnx.save(source, str(path))
    signature = Signature(
        (TensorSpec("x", (1, 3, "L")), TensorSpec("mask", ("L",)), TensorSpec("order", ("L",), "int64"))
    )
    options = {"backend": "lite", "device": "cpu", "options": {"dynamic": dynamic}}
    for unit in LiteBackend().units("m", signature, [(6,), (16,)], options):
        job = CompileJob(path, signature, unit, options)
        files = run_job(job, tmp_path / unit.name, log=tmp_path / "m.log", timeout=100).artefact.files
        engine = load_engine(LiteBackend.engine, files[0], options)
        for length in [bucket["L"] for bucket in unit.values()] * 2:
            x = np.random.default_rng(length).normal(size=(1, 3, length)).astype(np.float32)
            mask = (np.arange(length) < length - 2).astype(np.float32)
            feeds = {"x": x, "mask": mask, "order": np.arange(length)[::-1].copy()}
            expected = onnxruntime.InferenceSession(str(path)).run(None, feeds)[0]
            np.testing.assert_allclose(engine.run(feeds)["y"], expected, rtol=1e-6)
        with pytest.raises(EngineError, match="beyond 32 bits"):
            engine.run({**feeds, "order": np.full(length, 1 << 40)})
        engine.close()
