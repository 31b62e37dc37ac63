"""What is no model is named, and what no model can say is one error with the file's name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.compilers.conformance_models import side_file_case
from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.digest import digest_model
from scaling_tasks.onnx_model.reading import load_model, read_signature


def model() -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Twice", ["m"], ["y"], domain="own")]
    opset = helper.make_opsetid("", 17)
    twice = helper.make_function("own", "Twice", ["a"], ["c"], [helper.make_node("Add", ["a", "a"], ["c"])], [opset])
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[opset, helper.make_opsetid("own", 1)], functions=[twice])


NO_FILES: list[Callable[[Path], None]] = [
    Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS pointer.*git lfs pull"),
        (b"", "it is empty"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"weights and such\n", "it is text"),
        (b"<!DOCTYPE html><html>", "page of a web site"),
        (bytes(1000), "not an ONNX model"),
    ],
)
def test_what_is_no_model_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_file_is_not_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "m.onnx")
    for read in (load_model, digest_model):
        with pytest.raises(ModelError, match=r"m\.onnx: cannot be read"):
            read(tmp_path / "m.onnx")


def _fill(proto: onnx.ModelProto, key: str, value: str) -> None:
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for known, given in {"location": "w.bin", key: value}.items():
        weight.external_data.add(key=known, value=given)


def _dimension(proto: onnx.ModelProto) -> onnx.TensorShapeProto.Dimension:
    return proto.graph.input[0].type.tensor_type.shape.dim[1]


def _call(proto: onnx.ModelProto) -> None:
    proto.functions[0].node[0].op_type, proto.functions[0].node[0].domain = "Twice", "own"


def _double(proto: onnx.ModelProto) -> None:
    """Thirty functions, each of which calls the one before twice."""
    for number in range(30):
        callee = f"f{number - 1}" if number else "Twice"
        nodes = [
            helper.make_node(callee, ["a"], ["b"], domain="own"),
            helper.make_node(callee, ["b"], ["c"], domain="own"),
        ]
        proto.functions.append(helper.make_function("own", f"f{number}", ["a"], ["c"], nodes, proto.opset_import))
    proto.graph.node[1].op_type = "f29"


DAMAGES: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "element type": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 99), "element type 99"),
    "no element type": (lambda m: m.graph.output[0].type.tensor_type.ClearField("elem_type"), "element type 0"),
    "weight's type": (lambda m: setattr(m.graph.initializer[0], "data_type", 77), "element type 77"),
    "weight's size": (lambda m: m.graph.initializer[0].dims.append(3), "do not fit their dimensions"),
    "negative size": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -4), "dimensions .* cannot be"),
    "huge size": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**60), "dimensions .* cannot be"),
    "huge and empty": (lambda m: m.graph.initializer[0].dims.extend([0, 2**31, 2**31]), "dimensions .* cannot be"),
    "huge input": (lambda m: setattr(_dimension(m), "dim_value", 2**40), "dimension 1"),
    "no name": (lambda m: setattr(m.graph.input[0], "name", ""), "input 0 has no name"),
    "no operator": (lambda m: setattr(m.graph.node[0], "op_type", ""), "has no operator"),
    "no graph": (lambda m: m.ClearField("graph"), "no graph with outputs"),
    "recursion": (_call, "'Twice' calls itself"),
    "explosion": (_double, "comes to .* nodes"),
    "dangling": (lambda m: m.graph.node[0].input.__setitem__(0, "nowhere"), "takes 'nowhere', which nothing makes"),
    "made twice": (lambda m: m.graph.node.append(m.graph.node[0]), "'m' is made twice"),
    "negative offset": (lambda m: _fill(m, "offset", "-1"), "the offset of the weights 'w' is '-1'"),
    "offset in words": (lambda m: _fill(m, "offset", "first"), "the offset of the weights 'w' is 'first'"),
    "length": (lambda m: _fill(m, "length", "9999999"), "take 64 bytes, but their length is given as 9999999"),
    "up": (lambda m: _fill(m, "location", "../w.bin"), "outside the model's directory"),
    "absolute": (lambda m: _fill(m, "location", "/etc/passwd"), "outside the model's directory"),
    "nowhere": (lambda m: _fill(m, "location", ""), "outside the model's directory"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_no_model_can_say_is_one_error(damage: str, tmp_path: Path) -> None:
    proto = model()
    spoil, words = DAMAGES[damage]
    spoil(proto)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=words) as caught:
        read_signature(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", NO_FILES)
def test_weights_are_read_from_files_alone(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = side_file_case(tmp_path).model
    weights = tmp_path / "parts/dynamic.weights"
    weights.unlink()
    make(weights)
    with pytest.raises(ModelError, match=r"dynamic\.weights: the weights 'first' cannot be read"):
        load_model(path)
