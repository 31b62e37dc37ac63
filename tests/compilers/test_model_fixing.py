"""Fixing dimensions, and the digest of a model with everything that belongs to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.compilers.conformance_models import image_case, shared_variable_case, transformer_case
from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.digest import digest_model, external_files
from scaling_tasks.onnx_model.fixing import write_fixed_model


def run(model: Path, inputs):
    import onnxruntime

    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(None, inputs)


def dims(values):
    return [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]


@pytest.mark.parametrize("make", [image_case, shared_variable_case, transformer_case])
def test_a_fixed_model_computes_the_same_and_all_its_shapes_are_known(make, tmp_path: Path):
    import onnx

    case = make(tmp_path)
    values = dict(zip(case.signature.variables, case.buckets[-1], strict=True))
    shapes = case.signature.shapes(values)
    fixed = write_fixed_model(case.model, shapes, tmp_path / "fixed.onnx")
    inputs = {name: np.random.default_rng(1).random(shape, dtype=np.float32) for name, shape in shapes.items()}
    expected = run(case.model, inputs)
    np.testing.assert_array_equal(run(fixed, inputs)[0], expected[0])
    graph = onnx.load(str(fixed)).graph
    assert dims(graph.input) == [list(shape) for shape in shapes.values()]
    assert dims(graph.output) == [list(expected[0].shape)]
    assert all(0 not in found for found in dims(graph.value_info))


def test_the_ocr_model_is_fixed_although_its_height_has_a_strange_name(ocr_models: Path, tmp_path: Path):
    model = ocr_models / "ch_PP-OCRv4_rec_infer.onnx"
    fixed = write_fixed_model(model, {"x": (1, 3, 48, 160)}, tmp_path / "fixed.onnx")
    x = np.random.default_rng(1).random((1, 3, 48, 160), dtype=np.float32)
    np.testing.assert_allclose(run(fixed, {"x": x})[0], run(model, {"x": x})[0], atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": (1, 3, 16, 8)}, r"has no input 'y'\. Its inputs are x"),
        ({"x": (1, 3, 16)}, r"dimensions \['\?', 3, 16, '\?'\], which cannot be fixed to \[1, 3, 16\]"),
        ({"x": (1, 3, 17, 8)}, r"cannot be fixed to \[1, 3, 17, 8\]"),
    ],
)
def test_what_does_not_fit_the_model_is_named(shapes, message: str, tmp_path: Path):
    with pytest.raises(ModelError, match=message):
        write_fixed_model(image_case(tmp_path).model, shapes, tmp_path / "fixed.onnx")
    assert not (tmp_path / "fixed.onnx").exists()


def test_a_file_that_is_no_model_is_named(tmp_path: Path):
    (tmp_path / "m.onnx").write_bytes(b"\xff\xfflocation")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model"):
        write_fixed_model(tmp_path / "m.onnx", {}, tmp_path / "fixed.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model"):
        digest_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"none\.onnx: cannot be read"):
        digest_model(tmp_path / "none.onnx")


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """The transformer with its weights in a file of their own."""
    import onnx

    case = transformer_case(tmp_path)
    path = tmp_path / "split" / "model.onnx"
    (path.parent / "weights").mkdir(parents=True)
    model = onnx.load(str(case.model))
    onnx.save(model, str(path), save_as_external_data=True, location="weights/data", size_threshold=0)
    return path


def test_external_data_follows_a_fixed_model_and_enters_the_digest(external: Path, tmp_path: Path):
    data = external.parent / "weights" / "data"
    assert external_files(external) == (data,)
    (tmp_path / "work").mkdir()
    fixed = write_fixed_model(external, {"tokens": (1, 8, 16)}, tmp_path / "work" / "fixed.onnx")
    x = {"tokens": np.ones((1, 8, 16), np.float32)}
    np.testing.assert_array_equal(run(fixed, x)[0], run(external, x)[0])
    before = digest_model(external)
    content = bytearray(data.read_bytes())
    content[5] ^= 1
    data.write_bytes(content)
    os.utime(data, (1, 1))
    assert digest_model(external) != before


def test_the_digest_is_of_content_not_of_place_or_time(external: Path, tmp_path: Path):
    before = digest_model(external)
    shutil.copytree(external.parent, tmp_path / "moved")
    os.utime(tmp_path / "moved" / "model.onnx", (1, 1))
    assert digest_model(tmp_path / "moved" / "model.onnx") == before


def test_data_outside_the_models_directory_is_refused(external: Path, tmp_path: Path):
    import onnx

    model = onnx.load(str(external), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    external.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"lie outside the model.s directory, at .*secret"):
        digest_model(external)
