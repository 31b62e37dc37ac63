"""A matrix: one file for several targets, named after what tells them apart, mistakes told where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scaling_tasks.compilers.registry import BUILT_IN
from scaling_tasks.compilers.schema import PUBLISHED, schema_text
from scaling_tasks.config.load import load_target, parse_target, read_targets, section
from scaling_tasks.errors import ConfigError, Mistakes, all_of
from tests.config.test_defaults_and_schema import matches

HEAD = "model: a.onnx\ndataset: images\n"
DEVICES = """
matrix:
  compile:
    - {backend: openvino, options: {precision: FP16}}
    - {backend: onnxruntime}
    - {backend: lite, soc_version: Ascend310P3, optional: true, threads: 2}
"""


def load(tmp_path: Path, text: str, defaults: str = "") -> dict[str, dict[str, object]]:
    (tmp_path / "net.yaml").write_text(text)
    if defaults:
        (tmp_path / "_defaults.yaml").write_text(defaults)
    found = read_targets(tmp_path / "net.yaml")
    if wrong := {str(error): error for each in found for error in each.mistakes}:
        raise all_of(list(wrong.values()))
    return {each.spec.name: section(each.spec) for each in found}


def test_a_section_as_axis(tmp_path: Path) -> None:
    found = load(tmp_path, HEAD + "compile: {timeout: 60}\n" + DEVICES)
    assert list(found) == ["net-openvino-FP16", "net-onnxruntime", "net-lite-Ascend310P3"]
    assert [spec["compile"]["backend"] for spec in found.values()] == ["openvino", "onnxruntime", "lite"]
    assert {spec["compile"]["timeout"] for spec in found.values()} == {60}
    assert found["net-openvino-FP16"]["compile"]["options"] == {"precision": "FP16"}
    assert found["net-onnxruntime"]["compile"]["options"] == {}


def test_the_product_of_axes_with_exclude_and_include(tmp_path: Path) -> None:
    text = """
compile: {backend: openvino}
matrix:
  compile.options.precision: [FP16, FP32]
  auto_scaling.max_scaling_num: [4, 8, 16]
  exclude:
    - {compile.options.precision: FP32, auto_scaling.max_scaling_num: 16}
    - {auto_scaling: {max_scaling_num: 4}}
  include:
    - {compile: {backend: onnxruntime}, runtime.round_up: true}
"""
    found = load(tmp_path, HEAD + text)
    assert list(found) == ["net-FP16-8", "net-FP16-16", "net-FP32-8", "net-onnxruntime-round_up"]
    assert found["net-FP16-16"]["auto_scaling"]["max_scaling_num"] == 16
    assert found["net-onnxruntime-round_up"]["compile"]["options"] == {}
    assert found["net-onnxruntime-round_up"]["runtime"]["round_up"] is True


def test_names_by_a_template(tmp_path: Path) -> None:
    text = (
        HEAD
        + "name: detector\nmatrix: {name: '{backend}_{name}_{compile.soc_version}',"
        + " compile: [{backend: lite, soc_version: A}, {backend: lite, soc_version: B}]}\n"
    )
    assert list(load(tmp_path, text)) == ["lite_detector_A", "lite_detector_B"]


def test_values_that_are_no_words(tmp_path: Path) -> None:
    text = (
        "matrix: {model: [m/a.onnx, m/b.onnx], auto_scaling.batch_choices: [[1, 2]], runtime.round_up: [true, false]}\n"
    )
    assert list(load(tmp_path, text)) == [
        "net-a-1x2-round_up",
        "net-a-1x2-no_round_up",
        "net-b-1x2-round_up",
        "net-b-1x2-no_round_up",
    ]


def test_a_matrix_for_all_files(tmp_path: Path) -> None:
    found = load(tmp_path, HEAD, "compile: {timeout: 9}\nmatrix: {compile.backend: [openvino, onnxruntime]}\n")
    assert list(found) == ["net-openvino", "net-onnxruntime"]
    assert found["net-openvino"]["compile"]["timeout"] == 9
    assert found["net-openvino"]["dataset"]["path"] == "images"


def test_a_file_without_a_matrix_is_one_target(tmp_path: Path) -> None:
    assert list(load(tmp_path, HEAD)) == ["net"]


@pytest.mark.parametrize(
    ("text", "defaults", "where", "what"),
    [
        ("matrix: 3\n", "", "net.yaml:3: matrix", "no mapping of lists"),
        ("matrix: {}\n", "", "net.yaml:3: matrix", "no cell"),
        ("matrix:\n  compile: {backend: lite}\n", "", "net.yaml:4: matrix.compile", "no list of values"),
        ("matrix:\n  compile.backend: []\n", "", "net.yaml:4: matrix.compile.backend", "no list of values"),
        ("matrix:\n  compile.backend: [lite]\n  exclude: [3]\n", "", "net.yaml:5: matrix.exclude.0", "no mapping"),
        ("matrix:\n  auto_scling.x: [1]\n", "", "net.yaml:4: auto_scling", "Did you mean 'auto_scaling'?"),
        (
            "matrix:\n  compile.backend: [lite]\n  exclude:\n    - {compile.backend: atc}\n",
            "",
            "net.yaml:6: matrix.exclude.0",
            "none is excluded",
        ),
        ("matrix:\n  include: 3\n", "", "net.yaml:4: matrix.include", "no list"),
        ("matrix:\n  name: '{device}'\n  compile.backend: [lite]\n", "", "net.yaml:4: matrix.name", "says nothing of"),
        ("matrix:\n  name: '{'\n  compile.backend: [lite]\n", "", "net.yaml:4: matrix.name", "not a template"),
        ("matrix:\n  name: x\n  compile.backend: [lite, atc]\n", "", "net.yaml:5", "two cells are called 'x'"),
        ("matrix:\n  compile.backend: [lite, lite]\n", "", "net.yaml:4", "two cells are called 'net-lite'"),
        ("matrix:\n  compile.bakend: [lite]\n", "", "net.yaml:4: compile.bakend", "Did you mean 'backend'"),
        ("matrix:\n  compile:\n    - backend: lite\n    - timeot: 3\n", "", "net.yaml:6: compile.timeot", "'timeout'"),
        ("matrix:\n  precision: [FP16]\n", "", "net.yaml:4: precision", "unknown key 'precision'"),
        ("matrix:\n  verify.absolute:\n  - 1\n  - tight\n", "", "net.yaml:6: verify.absolute", "'tight'"),
        ("output: build/x\nmatrix: {compile.backend: [lite]}\n", "", "net.yaml:3: output", "every target"),
        (
            "verify: {abslute: 1}\n",
            "matrix: {compile.backend: [lite, atc]}\n",
            "net.yaml:3: verify.abslute",
            "'absolute'",
        ),
        ("", "# c\nmatrix: {compile.backnd: [lite]}\n", "_defaults.yaml:2: compile.backnd", "'backend'"),
        ("matrix: {a.b.c.d.e.f.g.h.i: [1]}\n", "", "net.yaml:3: matrix", "no key lies so deep"),
        (f"matrix: {{verify.drop: {[*range(40)]}, verify.absolute: {[*range(40)]}}}\n", "", "net.yaml:3", "1600 cells"),
    ],
)
def test_mistakes_name_file_line_and_key(tmp_path: Path, text: str, defaults: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, HEAD + text, defaults)
    assert where in str(caught.value)
    assert what in str(caught.value)
    assert not isinstance(caught.value, Mistakes), "what all cells share is told once"


def test_one_target_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(HEAD + DEVICES)
    with pytest.raises(ConfigError, match=r"3 targets \(net-openvino-FP16, net-onnxruntime"):
        load_target(tmp_path / "net.yaml")
    with pytest.raises(ConfigError, match="a matrix is several targets"):
        parse_target({"model": "a.onnx", "matrix": {"compile": [{"backend": "lite"}]}})


def test_the_schema_knows_it() -> None:
    schema = yaml.safe_load(schema_text(BUILT_IN))
    assert schema == yaml.safe_load(PUBLISHED.read_text())
    assert matches(yaml.safe_load(HEAD + DEVICES), schema, schema)
    assert not matches({"matrix": 3}, schema, schema)
    assert not matches({"matrix": {"compile": {"backend": "lite"}}}, schema, schema)
