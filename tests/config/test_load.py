"""Configurations: both spellings accepted, every mistake named with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling_tasks.config.load import load_target, parse_target, section
from scaling_tasks.errors import ConfigError, Mistakes


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "example.yaml"
    path.write_text(text)
    return path


def test_defaults_are_mindocr_s(tmp_path: Path) -> None:
    scaling = load_target(write(tmp_path, "model: m.onnx\n")).auto_scaling
    assert (scaling.n_std, scaling.expand_ratio, scaling.limit_side_len, scaling.interval) == (3, 0.2, 1280, 32)
    assert scaling.max_scaling_num == 100
    assert scaling.width_range == scaling.height_range == (1, 8192)
    assert scaling.batch_choices == (1, 4, 8, 16, 32, 64)
    assert len(scaling.default_scaling.height) == 20
    assert len(scaling.default_scaling.width) == 29


def test_mindocr_s_own_file_is_accepted(tmp_path: Path) -> None:
    text = """
model: m.onnx
auto_scaling:
  strategy: mean_std
  mean_std:
    n_std: 2
  max_min:
    expand_ratio: 0.5
  width_range: [1,8192]
  default_scaling:
    batch_size: [1, 4]
"""
    scaling = load_target(write(tmp_path, text)).auto_scaling
    assert (scaling.strategy, scaling.n_std, scaling.expand_ratio) == ("mean_std", 2, 0.5)
    assert scaling.default_scaling.batch_size == (1, 4)


def test_name_is_the_file_s_unless_given(tmp_path: Path) -> None:
    assert load_target(write(tmp_path, "model: m.onnx\n")).name == "example"
    assert load_target(write(tmp_path, "model: m.onnx\nname: other\n")).name == "other"


def test_a_bare_path_is_a_data_set() -> None:
    spec = parse_target({"model": "m.onnx", "dataset": "images"})
    assert spec.dataset is not None
    assert spec.dataset.path == "images"


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("model: m\nmodell: n\n", "example.yaml:2: modell", "Did you mean 'model'?"),
        ("model: m\nauto_scaling:\n  stratgy: x\n", ":3: auto_scaling.stratgy", "Did you mean 'strategy'?"),
        ("model: m\nauto_scaling:\n  strategy: optimum\n", ":3: auto_scaling.strategy", "Did you mean 'optimal'?"),
        (
            "model: m\nauto_scaling:\n  interval: '8'\n",
            ":3: auto_scaling.interval",
            "'8' is a text. Write a whole number of at least 1.",
        ),
        ("model: m\nauto_scaling:\n  interval: 0\n", ":3: auto_scaling.interval", "0 is below 1"),
        ("model: m\nauto_scaling:\n  width_range: [9, 2]\n", ":3: auto_scaling.width_range", "begins above its end"),
        ("model: m\nauto_scaling:\n  limits: {bytes: {most: 9}}\n", ":3: auto_scaling.limits", "takes anything"),
        ("model: m\nauto_scaling:\n  buckets_per: {N: 0}\n", ":3: auto_scaling.buckets_per", "0 is below 1"),
        ("model: m\nauto_scaling: {strategy: optimall}\n", ":2", "is no strategy. Did you mean 'optimal'?"),
        ("model: m\ncompile: onnxruntime\n", ":2: compile", "is a text. Write `{backend: onnxruntime}`."),
        ("model: m\ncompile: {memory: 1k}\n", ":2", "'1k' is a text. Write a whole number of at least 16777216."),
        ("model: m\nauto_scaling: {drop_quantile: 2}\n", ":2", "2 is not below 1. Write a number below 1."),
        ("model: m\nauto_scaling: {width_range: [1]}\n", ":2", "[1] has 1 value. Write a list of 2 values."),
        ("model: m\nruntime: {padding: exat}\n", ":2", "'exat' is no value of padding. Did you mean 'exact'?"),
        ("model: m\nruntime: {round_up: 1}\n", ":2", "1 is a whole number. Write true or false."),
        ("model: m\ndataset: {format: csv}\n", ":2: dataset", "'path' is missing. Write `path: …`."),
        ("model: m\nauto_scaling:\n  buckets: [{N: 1}]\n", ":3: auto_scaling.buckets", "or leave `buckets` out"),
        (
            "model: m\nauto_scaling:\n  target_padding: 1.1\n",
            ":3: auto_scaling.target_padding",
            "100 buckets may be used, whatever padding they reach. Write `max_scaling_num: auto`",
        ),
        (
            "model: m\ndataset: d\nauto_scaling:\n  max_scaling_num: auto\n",
            ":4: auto_scaling.max_scaling_num",
            "Write auto_scaling.target_padding",
        ),
        ("model: m\ninput_shape: {x: [1, 0]}\n", ":2: input_shape.x", "dimension 1 is 0"),
        ("model: m\ninput_shape: {x: [1, -2]}\n", ":2: input_shape.x", "dimension 1 is -2"),
        ("model: m\ninput_shape: {x: [1, '?t']}\n", ":2: input_shape.x", "dimension 1 is '?t'"),
        ("model: m\nmodel: n\n", ":2: model", "first in line 1"),
        ("model: [m\n", "example.yaml:2", "not YAML"),
        ("- a\n", "example.yaml", "not a mapping"),
        ("dataset: d\n", "example.yaml", "neither model nor input_shape"),
        ("input_shape: {x: [-1]}\ncompile: {backend: lite}\n", ":2: compile", "nothing to compile"),
        (
            "model: m\nshape_bucket:\n  shape_bucket_range_info: {a: [1, 9]}\n  shape_bucket_fix_var_map: {a: 3}\n",
            ":4: shape_bucket.shape_bucket_fix_var_map.a",
            "both fixed and given a range",
        ),
        (
            "model: m\nauto_scaling:\n  n_std: 1\n  mean_std: {n_std: 2}\n",
            ":4: auto_scaling.mean_std.n_std",
            "Keep one",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, where: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_target(write(tmp_path, text))
    assert where in str(caught.value)
    assert words in str(caught.value)


SEVERAL = """model: m
auto_scaling:
  stratgy: explicit
  width_range: [9, 2]
  buckets:
    - {H: 32}
    - {W: 0, H: -1}
    - {W: abc}
verify: {metric: score, drop: -1}
shape_bucket:
  shape_bucket_range_info: {a: [0, 3], b: [5, 4], c: [9, 8]}
input_shape: {x: [1, 0], y: [0]}
"""


def test_every_mistake_of_a_file_is_told_by_line(tmp_path: Path) -> None:
    with pytest.raises(Mistakes) as caught:
        load_target(write(tmp_path, SEVERAL))
    places = [error.where.partition("example.yaml:")[2] for error in caught.value.errors]
    assert places == [
        "3: auto_scaling.stratgy",
        "4: auto_scaling.width_range",
        "7: auto_scaling.buckets.1.W",
        "7: auto_scaling.buckets.1.H",
        "8: auto_scaling.buckets.2.W",
        "9: verify.drop",
        "9: verify.metric",
        "11: shape_bucket.shape_bucket_range_info.a.0",
        "11: shape_bucket.shape_bucket_range_info.b",
        "11: shape_bucket.shape_bucket_range_info.c",
        "12: input_shape.x",
        "12: input_shape.y",
    ], caught.value


def test_rules_without_their_values_are_silent_and_the_others_all_speak(tmp_path: Path) -> None:
    text = "model: 3\nverify: {metric: score}\nshape_bucket:\n  shape_bucket_range_info: {b: [5, 4], c: [9, 8]}\n"
    with pytest.raises(Mistakes) as caught:
        load_target(write(tmp_path, text))
    places = [error.where.rpartition(" ")[2] for error in caught.value.errors]
    ranges = "shape_bucket.shape_bucket_range_info"
    assert places == ["model", "verify.metric", f"{ranges}.b", f"{ranges}.c"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_target(tmp_path / "absent.yaml")


def test_sections_are_plain_values() -> None:
    spec = parse_target({"model": "m", "compile": {"backend": "openvino"}})
    assert section(spec.compile)["backend"] == "openvino"
    assert section(None) is None


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"dataset": "images"}, "images"),
        ({"dataset": "gt.txt", "verify": {"samples": "real"}}, "real"),
        ({"dataset": "sizes.csv"}, None),
        ({"dataset": "images", "compile": {"backend": "nncase", "options": {"target": "cpu"}}}, None),
        ({"dataset": "images", "compile": {"backend": "nncase", "options": {"real_inputs": "own"}}}, "own"),
        ({"dataset": "images", "compile": {"backend": "openvino"}}, None),
    ],
)
def test_quantisation_has_the_target_s_real_inputs(values: dict[str, Any], found: str | None) -> None:
    spec = parse_target({"model": "m.onnx", "compile": {"backend": "nncase"}, **values})
    assert spec.compile is not None
    assert spec.compile.options.get("real_inputs") == found


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "/x", "a/b", ".hidden", "..", "", "a:b", "a*", "a=b", "a\nb"),
        "a\\b",
        "-x",
        "[x]",
        "x" * 300,
    ],
)
def test_a_name_cannot_hold_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name directories and tasks"):
        parse_target({"name": name, "input_shape": {"x": [1, -1]}})


def test_a_name_can_hold_what_file_names_do() -> None:
    assert parse_target({"name": "Modèle v1.2-b", "input_shape": {"x": [1, -1]}}).name == "Modèle v1.2-b"


BUCKETS = {"shape_bucket_range_info": {"L": [1, 8]}}


@pytest.mark.parametrize(
    ("values", "padding"),
    [
        ({}, "exact"),
        ({"shape_bucket": BUCKETS}, "accept"),
        ({"shape_bucket": BUCKETS, "runtime": {"padding": "exact"}}, "exact"),
        ({"shape_bucket": {**BUCKETS, "shape_bucket_enable": False}}, "exact"),
        ({"compile": {"backend": "nncase", "options": {"shape_bucket_enable": True}}}, "accept"),
    ],
)
def test_who_comes_from_nncases_shape_bucket_gets_the_model_as_it_is(values, padding: str):
    values = {"name": "t", "model": "m.onnx", **values}
    assert parse_target(values).runtime.padding == padding
