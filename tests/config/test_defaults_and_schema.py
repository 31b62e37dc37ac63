"""What targets share, the published schema, and the configuration that is written for a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from scaling_tasks.compilers.registry import BUILT_IN
from scaling_tasks.compilers.schema import PUBLISHED, schema_text
from scaling_tasks.config.load import load_target
from scaling_tasks.config.schema import target_schema
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.config.template import SCHEMA_NAME, configuration_text, write_configuration
from scaling_tasks.errors import ConfigError
from scaling_tasks.shapes.signature import Signature, name_dimensions

IMAGE = name_dimensions({"x": [-1, 3, -1, -1]})
TOKENS = name_dimensions({"ids": ["batch", "seq len"], "mask": ["batch", "seq len"]})
STATIC = name_dimensions({"x": [1, 3, 8, 8]})
CACHE = name_dimensions(
    {"ids": ["batch", "seq"], "mask": ["batch", "past + 2*(seq - 1)"], "past": ["batch", "past", 8]}
)


def write(directory: Path, target: str, defaults: str) -> TargetSpec:
    (directory / "net.yaml").write_text(target)
    (directory / "_defaults.yaml").write_text(defaults)
    return load_target(directory / "net.yaml")


def test_defaults_hold_where_the_target_says_nothing(tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        "model: a.onnx\nauto_scaling: {interval: 8}\n",
        "auto_scaling: {interval: 16, max_scaling_num: 5}\ncompile: {backend: openvino}\n",
    )
    assert (spec.auto_scaling.interval, spec.auto_scaling.max_scaling_num) == (8, 5)
    assert spec.compile is not None
    assert spec.compile.backend == "openvino"
    assert spec.name == "net"


@pytest.mark.parametrize("defaults", ["", "# timeout: 3\n", "---\n"])
def test_defaults_may_say_nothing(tmp_path: Path, defaults: str) -> None:
    assert write(tmp_path, "model: a.onnx\n", defaults).model == "a.onnx"


def test_both_spellings_merge(tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        "model: a.onnx\ndataset: images\nauto_scaling: {mean_std: {n_std: 2}}\n",
        "dataset: {strict: true}\nauto_scaling: {n_std: 1}\n",
    )
    assert spec.dataset is not None
    assert (spec.dataset.path, spec.dataset.strict) == ("images", True)
    assert spec.auto_scaling.n_std == 2


def test_lists_and_kinds_of_preprocessing_are_replaced_whole(tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        "model: a.onnx\ndataset: {path: d, preprocessing: {kind: tokens, special: 2}}\n"
        "auto_scaling: {batch_choices: [1]}\n",
        "dataset: {preprocessing: {kind: keep_ratio, side: 640}}\nauto_scaling: {batch_choices: [1, 2, 4]}\n",
    )
    assert spec.dataset is not None
    assert msgspec.to_builtins(spec.dataset.preprocessing)["kind"] == "tokens"
    assert spec.auto_scaling.batch_choices == (1,)


def test_null_takes_a_default_back(tmp_path: Path) -> None:
    spec = write(tmp_path, "model: a.onnx\ncompile: null\n", "compile: {backend: openvino}\n")
    assert spec.compile is None


@pytest.mark.parametrize(
    ("target", "defaults", "where"),
    [
        ("model: a\n", "# c\nverify: {abslute: 1}\n", "_defaults.yaml:2: verify.abslute"),
        ("model: a\nverify:\n  abslute: 1\n", "verify: {relative: 1}\n", "net.yaml:3: verify.abslute"),
        ("model: a\n", "auto_scaling:\n  width_range: [9, 1]\n", "_defaults.yaml:2: auto_scaling.width_range"),
        ("model: a\n", "name: everyone\n", "_defaults.yaml:1: name"),
    ],
)
def test_errors_name_the_file_that_holds_the_key(tmp_path: Path, target: str, defaults: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write(tmp_path, target, defaults)
    assert where in str(caught.value)


def test_the_published_schema_is_current() -> None:
    published = PUBLISHED.read_text(encoding="utf-8")
    assert published == schema_text(BUILT_IN), "run: python -m scaling_tasks.compilers.schema --publish"
    assert '"optimization"' in published


def test_the_schema_describes_every_key() -> None:
    definitions = target_schema()["$defs"]
    for name in ("TargetSpec", "AutoScalingSpec", "DatasetSpec", "ShapeBucketSpec", "CompileSpec", "VerifySpec"):
        for key, value in definitions[name]["properties"].items():
            assert value.get("description"), f"{name}.{key}"
    assert definitions["TargetSpec"]["additionalProperties"] is False


def test_the_documentation_has_a_row_for_every_key() -> None:
    rows = [line.split("|")[1] for line in Path("README.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    named = {word.strip("`") for row in rows if "`" in row for word in row.replace(",", " ").split()}
    sections = {"AutoScalingSpec": "auto_scaling", "DatasetSpec": "dataset", "ShapeBucketSpec": "shape_bucket"}
    sections |= {"CompileSpec": "compile", "VerifySpec": "verify", "RuntimeSpec": "runtime"}
    definitions = target_schema()["$defs"]
    keys = [f"{name}.{key}" for spec, name in sections.items() for key in definitions[spec]["properties"]]
    keys += [key for key in definitions["TargetSpec"]["properties"] if key not in {*sections.values(), "inputs"}]
    assert "inputs.<input>" in named
    # Two keys may have one row, which names the second without its section.
    assert [key for key in keys if key not in named and key.rpartition(".")[2] not in named] == []


def matches(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Return whether a value is valid by the few keywords that make an editor underline a key or a word."""
    if "$ref" in schema:
        return matches(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return any(matches(value, each, whole) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if schema.get("type") in kinds and not isinstance(value, kinds[schema["type"]]):
        return False
    if schema.get("type") in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, int | float)):
        return False
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for key, inner in value.items():
            if key not in known and others is False:
                return False
            beside = others if isinstance(others, dict) else {}
            if not matches(inner, known.get(key, beside), whole):
                return False
    return True


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_fits_the_schema(path: Path) -> None:
    schema = target_schema()
    assert matches(yaml.safe_load(path.read_text()), schema, schema)


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    schema = target_schema()
    assert matches({"model": "a", "dataset": "d", "auto_scaling": {"mean_std": {"n_std": 2}}}, schema, schema)
    assert not matches({"modle": "a"}, schema, schema)
    assert not matches({"auto_scaling": {"strategy": "best"}}, schema, schema)
    assert not matches({"dataset": {"path": 3}}, schema, schema)


@pytest.mark.parametrize("inputs", [IMAGE, TOKENS, STATIC, CACHE], ids=["image", "tokens", "static", "cache"])
@pytest.mark.parametrize("dataset", ["datasets/pages: 2", None])
def test_a_written_configuration_loads(tmp_path: Path, inputs: Signature, dataset: str | None) -> None:
    path = write_configuration(tmp_path, "net", "models/my net.onnx", inputs, dataset, "onnxruntime", schema_text())
    spec = load_target(path)
    assert spec.model == "models/my net.onnx"
    assert spec.compile is not None
    assert spec.compile.backend == "onnxruntime"
    named = name_dimensions(spec.input_shape or {})
    assert [tensor.dims for tensor in named.inputs] == [tensor.dims for tensor in inputs.inputs]
    if inputs.variables and dataset:
        assert spec.dataset is not None
        assert spec.dataset.path == dataset
    if inputs.variables and not dataset:
        assert spec.shape_bucket is not None
        assert set(spec.shape_bucket.shape_bucket_range_info) == set(inputs.variables)
    assert json.loads((tmp_path / SCHEMA_NAME).read_text())["$schema"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="there is one already"):
        write_configuration(tmp_path, "net", "net.onnx", IMAGE, None, "lite", schema_text())
    assert [path.name for path in tmp_path.iterdir()] == ["net.yaml"]
    assert (tmp_path / "net.yaml").read_text() == "mine"


def test_the_first_line_points_editors_to_the_schema() -> None:
    first = configuration_text("net.onnx", IMAGE, None, "lite").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_NAME}"
