"""Weights in files beside the model are read, however those files are linked, or what is wrong with them is said."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

from scaling_tasks.compilers.conformance_models import side_file_case
from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.reading import load_model, whole_model


def test_weights_are_taken_in_as_onnx_takes_them_in(tmp_path: Path) -> None:
    path = side_file_case(tmp_path).model
    wanted = onnx.load(str(path))
    assert load_model(path) == wanted
    assert onnx.load_from_string(whole_model(path)) == wanted


def test_a_side_file_may_have_several_links(tmp_path: Path) -> None:
    path = side_file_case(tmp_path).model
    os.link(tmp_path / "parts/dynamic.weights", tmp_path / "other.weights")
    assert all(tensor.raw_data for tensor in load_model(path).graph.initializer)


def test_a_side_file_that_is_missing_short_or_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = side_file_case(tmp_path / "model").model
    weights = tmp_path / "model/parts/dynamic.weights"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=r"dynamic\.weights: is too short to hold the weights 'second'"):
        load_model(path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"dynamic\.weights: the weights 'first' cannot be read"):
        load_model(path)
    (tmp_path / "elsewhere").write_bytes(whole)
    # Caches of models keep every file as a link to a store of contents.
    weights.symlink_to(tmp_path / "elsewhere")
    assert load_model(path)
    model = load_model(path, weights=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../elsewhere" if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    for weighted in (True, False):
        with pytest.raises(ModelError, match="lie outside the model's directory"):
            load_model(path, weights=weighted)
