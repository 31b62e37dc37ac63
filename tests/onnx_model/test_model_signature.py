"""What is read from ONNX models, and how ``input_shape`` changes it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.reading import read_signature


def save_identity(path: Path, **inputs: list[int | str | None]) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.INT64, dims) for name, dims in inputs.items()]
    outputs = [helper.make_tensor_value_info(f"{n}_out", TensorProto.INT64, d) for n, d in inputs.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in inputs]
    graph = helper.make_graph(nodes, "g", values, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return path


def test_recogniser_names_its_image_dimensions(ocr_models: Path) -> None:
    found = read_signature(ocr_models / "ch_PP-OCRv4_rec_infer.onnx")
    assert [t.dims for t in found.inputs.inputs] == [("N", 3, "H", "W")]
    assert [(t.name, t.dims[2], t.dtype) for t in found.outputs] == [("softmax_11.tmp_0", 6625, "float32")]


def test_input_shape_fixes_the_height(ocr_models: Path) -> None:
    found = read_signature(ocr_models / "ch_PP-OCRv4_rec_infer.onnx", {"x": [-1, 3, 48, -1]})
    assert found.inputs.variables == ("N", "W")
    assert found.inputs.shapes({"N": 2, "W": 320}) == {"x": (2, 3, 48, 320)}


def test_names_survive_and_unnamed_dimensions_get_one(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "m.onnx", ids=["batch", None], mask=["batch", "?t"], table=[7, "unk__4"])
    inputs = read_signature(path).inputs
    assert inputs.variables == ("batch", "ids_1", "mask_1", "table_1")
    assert inputs.inputs[2].dims == (7, "table_1")
    assert inputs.inputs[0].dtype == "int64"


def test_an_image_names_what_other_inputs_share_with_it(tmp_path: Path) -> None:
    image, mask = ["batch", 3, "height", "width"], ["batch", "height", "2*width"]
    path = save_identity(tmp_path / "m.onnx", pixels=image, mask=mask, ids=["batch", "length"])
    inputs = read_signature(path).inputs
    dims = [("N", 3, "H", "W"), ("N", "H", ("*", 2, "W")), ("N", "length")]
    assert [t.dims for t in inputs.inputs] == dims
    fixed = read_signature(path, {"pixels": [-1, 3, 224, 224], "mask": [-1, 224, 448]}).inputs
    assert set(fixed.variables) == {"N", "length"}


def test_a_text_in_input_shape_names_a_dimension(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "m.onnx", ids=["batch", None], mask=["batch", None])
    inputs = read_signature(path, {"ids": [-1, "length"], "mask": [1, "length"]}).inputs
    assert [t.dims for t in inputs.inputs] == [("batch", "length"), (1, "length")]


def test_initialisers_are_not_inputs(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "m.onnx", a=["n"], b=[2])
    model = onnx.load(str(path))
    model.graph.initializer.append(helper.make_tensor("b", TensorProto.INT64, [2], [1, 2]))
    onnx.save(model, str(path))
    assert [t.name for t in read_signature(path).inputs.inputs] == ["a"]


def test_missing_weight_files_do_not_matter(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "m.onnx", a=["n"])
    model = onnx.load(str(path))
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="absent.bin")
    model.graph.initializer.append(weight)
    path.write_bytes(model.SerializeToString())
    assert read_signature(path).inputs.variables == ("n",)


@pytest.mark.parametrize(
    ("input_shape", "message"),
    [
        ({"idz": [-1, 4]}, r"no input 'idz'.*Did you mean 'ids'"),
        ({"ids": [-1]}, r"the input has 2 dimensions, not 1: \['batch', 4\]"),
        ({"ids": [-1, 5]}, r"dimension 1 is 5 but the model fixes it to 4"),
        ({"ids": [-1, -1]}, r"dimension 1 is -1 but the model fixes it to 4"),
        ({"ids": [0, 4]}, r"dimension 0 is 0"),
    ],
)
def test_a_contradicting_input_shape_is_refused(
    tmp_path: Path, input_shape: dict[str, list[int]], message: str
) -> None:
    path = save_identity(tmp_path / "m.onnx", ids=["batch", 4])
    with pytest.raises(ModelError, match=message) as caught:
        read_signature(path, input_shape)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model at all", None])
def test_an_unreadable_file_is_a_model_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx"):
        read_signature(path)


def test_outputs_without_a_shape_have_what_follows_from_the_graph(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "m.onnx", a=["n", 3])
    model = onnx.load(str(path))
    model.graph.output[0].type.Clear()
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, str(path))
    assert [(len(t.dims), t.dtype) for t in read_signature(path).outputs] == [(2, "int64")]


def test_inputs_without_a_shape_have_that_of_the_configuration(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "m.onnx", a=["n", 3])
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match=r"'a' has no shape.*input_shape"):
        read_signature(path)
    assert [t.dims for t in read_signature(path, {"a": ["rows", 3]}).inputs.inputs] == [("rows", 3)]
