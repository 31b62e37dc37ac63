"""Which of equal values OpenVINO's artefacts take: the first, as ONNX says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnxruntime
import pytest

from scaling_tasks.compilers.conformance import CompilerConformance
from scaling_tasks.compilers.conformance_models import ConformanceCase
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.shapes.signature import name_dimensions

FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def picked(axis: int, largest: int, suffix: str = "") -> onnx.NodeProto:
    return onnx.helper.make_node(
        "TopK", ["x", "k"], [f"values{suffix}", f"picked{suffix}"], axis=axis, largest=largest, sorted=1
    )


def branch(suffix: str, axis: int, largest: int) -> onnx.GraphProto:
    found = onnx.helper.make_tensor_value_info(f"picked{suffix}", INT64, None)
    return onnx.helper.make_graph([picked(axis, largest, suffix)], suffix, [], [found])


def loop_body(axis: int, largest: int) -> onnx.GraphProto:
    value = onnx.helper.make_tensor_value_info
    nodes = [picked(axis, largest, "_now"), onnx.helper.make_node("Identity", ["go"], ["going"])]
    given = [value("turn", INT64, []), value("go", BOOL, []), value("before", INT64, None)]
    return onnx.helper.make_graph(nodes, "body", given, [value("going", BOOL, []), value("picked_now", INT64, None)])


def nodes_of(kind: str, axis: int, largest: int) -> list[onnx.NodeProto]:
    make = onnx.helper.make_node
    if kind == "plain":
        return [picked(axis, largest)]
    if kind == "branch":
        first, second = branch("_then", axis, largest), branch("_else", axis, largest)
        return [
            make("ReduceMax", ["x"], ["top"], keepdims=0),
            make("Greater", ["top", "zero"], ["is"]),
            make("If", ["is"], ["picked"], then_branch=first, else_branch=second),
        ]
    return [make("Loop", ["turns", "yes", "start"], ["picked"], body=loop_body(axis, largest))]


def model_of(kind: str, axis: int, largest: int) -> onnx.ModelProto:
    taken = [10 if each == axis else size for each, size in enumerate([2, 40, 960])]
    constants = [
        onnx.numpy_helper.from_array(np.array(value), name)
        for name, value in {"k": [10], "zero": np.float32(0), "turns": 2, "yes": True}.items()
    ]
    constants.append(onnx.numpy_helper.from_array(np.zeros(taken, np.int64), "start"))
    graph = onnx.helper.make_graph(
        nodes_of(kind, axis, largest),
        kind,
        [onnx.helper.make_tensor_value_info("x", FLOAT, ["N", 40, 960])],
        [onnx.helper.make_tensor_value_info("picked", INT64, None)],
        constants,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


class OpenVino(CompilerConformance):
    """How a backend's tests compile."""

    backend_name = "openvino"


@pytest.mark.parametrize("kind", ["plain", "branch", "loop"])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("largest", [0, 1])
def test_the_first_of_equal_values_is_taken(kind: str, axis: int, largest: int, tmp_path: Path):
    path = tmp_path / "model.onnx"
    onnx.save(model_of(kind, axis, largest), path)
    case = ConformanceCase(path, name_dimensions({"x": ["N", 40, 960]}), ((2,),))
    backend = OpenVino()
    artefact = backend.compile(case, backend.units(case)[0], tmp_path / "work").artefact
    x = np.random.default_rng(axis).integers(0, 2, (2, 40, 960)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    engine = load_engine("openvino", artefact.files[0], backend.compile_options)
    try:
        found = engine.run({"x": x})["picked"]
    finally:
        engine.close()
    np.testing.assert_array_equal(found, expected)
