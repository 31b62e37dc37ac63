"""Output-axis relations of real and of built models."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.fitting import fit_line
from scaling_tasks.onnx_model.original import OriginalModel, random_inputs
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.onnx_model.relations import Relations, derive_relations
from scaling_tasks.onnx_model.symbolic import expression_from_text, infer_symbolically
from scaling_tasks.shapes.expressions import evaluate, parse_expression, variables_of


def save(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[int | str]], output: str) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
    )
    graph.output[0].type.tensor_type.shape.SetInParent()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def constant(name: str, values: list[int]) -> onnx.NodeProto:
    return helper.make_node(
        "Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
    )


def relations_of(path: Path, buckets: list[tuple[int, ...]]) -> Relations:
    return derive_relations(path, read_signature(path), buckets)


def assert_exact(path: Path, relations: Relations, sizes: list[dict[str, int]]) -> None:
    model, signature = OriginalModel(path), read_signature(path).inputs
    for values in sizes:
        shapes = {name: array.shape for name, array in model.run(random_inputs(signature, values, seed=1)).items()}
        assert relations.shapes(values) == shapes, values


def test_recogniser_is_exact_at_unprobed_widths(ocr_models: Path) -> None:
    path = ocr_models / "ch_PP-OCRv4_rec_infer.onnx"
    signature = read_signature(path, {"x": [-1, 3, 48, -1]})
    relations = derive_relations(path, signature, [(1, 64), (4, 320), (1, 640)])
    (axes,) = relations.axes.values()
    assert variables_of(axes[1]) == {"W"}
    assert axes[0] == "N"
    assert axes[2] == 6625
    model = OriginalModel(path)
    for width in (17, 171, 199, 333, 501):
        ran = model.run(random_inputs(signature.inputs, {"N": 2, "W": width}, seed=1))
        assert relations.shapes({"N": 2, "W": width}) == {name: array.shape for name, array in ran.items()}


def test_detector_that_runs_at_some_sizes_only(ocr_models: Path) -> None:
    path = ocr_models / "ch_PP-OCRv4_det_infer.onnx"
    relations = relations_of(path, [(1, 64, 96), (1, 128, 160)])
    assert relations.shapes({"N": 1, "H": 192, "W": 224}) == {"sigmoid_0.tmp_0": (1, 1, 192, 224)}


def test_a_failed_inference_leaves_no_file(ocr_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = ocr_models / "ch_PP-OCRv4_det_infer.onnx"
    assert infer_symbolically(path, read_signature(path).inputs) == {}
    assert not list(tmp_path.iterdir())


def test_chained_strides_and_paddings(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[3, 3], strides=[2, 3], pads=[1, 0, 0, 0]),
        helper.make_node("AveragePool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": ["n", 3, "h", "w"]}, "b")
    relations = relations_of(path, [(1, 32, 32), (4, 200, 300)])
    sizes = [{"N": 2, "H": height, "W": width} for height, width in ((17, 99), (100, 31), (101, 64), (203, 305))]
    assert_exact(path, relations, sizes)


def test_a_sum_of_two_variables(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["past", "new"], ["all"], axis=1)]
    path = save(tmp_path / "m.onnx", nodes, {"past": [1, "past", 4], "new": [1, "length", 4]}, "all")
    relations = relations_of(path, [(16, 8), (64, 16)])
    assert relations.shapes({"past": 100, "length": 7}) == {"all": (1, 107, 4)}


def test_a_product_of_two_variables(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        constant("shape", [0, 3, -1]),
        helper.make_node("Reshape", ["small", "shape"], ["tokens"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": ["n", 3, "h", "w"]}, "tokens")
    relations = relations_of(path, [(1, 32, 32), (2, 64, 96)])
    assert_exact(path, relations, [{"N": 3, "H": 33, "W": 47}, {"N": 1, "H": 80, "W": 15}])


def test_a_size_that_depends_on_the_data_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["y"], to=TensorProto.FLOAT),
    ]
    nodes.insert(0, helper.make_node("Relu", ["raw"], ["x"]))
    path = save(tmp_path / "m.onnx", nodes, {"raw": ["n", 5]}, "y")
    with pytest.raises(ModelError, match="axis 1 of output 'y' follows no known relation"):
        relations_of(path, [(4,), (64,)])


def test_a_model_that_never_runs_is_refused(tmp_path: Path) -> None:
    nodes = [constant("shape", [5, 7]), helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, {"x": ["n", 3]}, "y")
    with pytest.raises(ModelError, match=r"cannot run at \{'x': \[\d, 3\]\}"):
        relations_of(path, [(8,), (16,)])


def test_relations_survive_json(tmp_path: Path) -> None:
    relations = Relations({"y": ("N", ("//", ("+", "W", 3), 8), 7)})
    again = Relations.from_payload(json.loads(json.dumps(relations.to_payload())))
    assert again == relations


@given(st.integers(1, 5), st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 32]), st.integers(-40, 40))
def test_a_line_through_a_window_holds_far_away(factor: int, divisor: int, offset: int) -> None:
    points = {size: (factor * size + offset) // divisor for size in (*range(60, 140), 1000)}
    line = fit_line(points)
    assert line is not None
    for size in (*range(60, 140), 250, 777, 1000):
        assert evaluate(line.expression("v"), {"v": size}) == (factor * size + offset) // divisor


def test_no_line_through_a_parabola() -> None:
    assert fit_line({size: size * size for size in range(1, 50)}) is None


@pytest.mark.parametrize(
    ("text", "width", "length"),
    [
        ("floor(floor(floor(W/2 - 1/2)/2)/2 - 1/2) + 1", 325, 41),
        ("ceiling(W/3)", 7, 3),
        ("Max(1, W - 10)", 4, 1),
        ("-W + 2*W*W", 3, 15),
    ],
)
def test_what_sympy_prints_is_understood(text: str, width: int, length: int) -> None:
    expression = expression_from_text(text, {"W"})
    assert expression is not None
    assert evaluate(expression, {"W": width}) == length


@pytest.mark.parametrize("text", ["unk__3", "W**2", "sqrt(W)", "W +", ""])
def test_what_is_not_understood_is_no_candidate(text: str) -> None:
    assert expression_from_text(text, {"W"}) is None


@pytest.mark.parametrize("value", [None, 1.5, True, ["^", 1, 2], ["+", 1], {"+": 1}])
def test_malformed_expressions_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not an expression"):
        parse_expression(value)
