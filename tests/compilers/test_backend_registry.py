"""Backends are found by name, wherever they come from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scaling_tasks.compilers import registry
from scaling_tasks.compilers.registry import backend_names, get_backend
from scaling_tasks.compilers.schema import complete_schema
from scaling_tasks.errors import CompileError, Mistakes
from scaling_tasks.shapes.signature import Signature, TensorSpec


def test_the_built_in_backends_are_there_and_say_their_names():
    assert {"lite", "onnxruntime", "openvino"} <= set(backend_names())
    for name in registry.BUILT_IN:
        assert get_backend(name).name == name


def test_an_unknown_name_is_answered_with_the_nearest_and_all():
    with pytest.raises(
        CompileError, match=r"'openvin' is no backend. Did you mean 'openvino'\? Known: .*lite"
    ) as caught:
        get_backend("openvin")
    assert caught.value.where == "compile.backend"


@pytest.mark.usefixtures("outside_package")
def test_an_outside_package_registers_a_backend_by_its_entry_point():
    assert "faulty" in backend_names()
    assert get_backend("faulty").identity({}) == {"faulty": "1"}


def test_the_version_and_the_source_of_an_outside_package_are_in_the_key(outside_package: Path):
    def version() -> dict[str, str]:
        for cached in (registry._registered, registry.get_backend, registry.outside_version):
            cached.cache_clear()
        return registry.outside_version("faulty")

    first = version()
    metadata = outside_package / "faulty-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    second = version()
    assert (first["backend:faulty"], second["backend:faulty"]) == ("1.0", "1.1")
    source = outside_package / "faulty_backend.py"
    source.write_text(source.read_text() + "# changed\n")
    third = version()
    assert {key for key in third if third[key] != second[key]} == {"backend_source", "engine_source"}
    assert registry.outside_version("openvino") == {}


@pytest.mark.usefixtures("outside_package")
def test_the_schema_has_the_options_of_every_backend_that_is_installed():
    schema = complete_schema()
    rules = {
        rule["if"]["properties"]["backend"]["const"]: rule["then"] for rule in schema["$defs"]["CompileSpec"]["allOf"]
    }
    assert set(rules) == set(backend_names())

    def options(name: str) -> dict[str, object]:
        reference = rules[name]["properties"]["options"]["$ref"].removeprefix("#/$defs/")
        found = schema["$defs"][reference]
        assert found["additionalProperties"] is False
        return found["properties"]

    assert set(options("faulty")) == {"fault", "pids"}
    assert options("onnxruntime")["optimization"]["enum"] == ["basic", "extended", "all"]
    assert {"quant_type", "real_inputs", "shape_bucket_enable"} <= set(options("nncase"))
    json.dumps(schema)


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("faulty", {"fualt": "none"}, r"compile\.options: 'fualt' is no option of faulty\. Did you mean 'fault'\?"),
        ("faulty", {"fault": 3}, r"compile\.options\.fault: 3 is a whole number\. Write a text\."),
        ("openvino", {"blob": "yes"}, r"compile\.options\.blob: 'yes' is a text\. Write true or false\."),
        ("openvino", {"device": "GPUU"}, r"compile\.options\.device: 'GPUU' is no device of OpenVINO\. .*'GPU'\?"),
        ("openvino", {"device": "AUTO:GPU.1,NPUX"}, r"'NPUX' is no device of OpenVINO\. Did you mean 'NPU'\?"),
        ("openvino", {"device": "cpu"}, r"'cpu' is no device of OpenVINO\. Known: CPU, GPU"),
        ("lite", {"dynamic": 1}, r"compile\.options\.dynamic: 1 is a whole number\. Write true or false\."),
        ("nncase", {"calibration_range": [1]}, r"calibration_range: \[1\] has 1 value\. Write a list of 2 values\."),
        ("nncase", {"calibration_range": [1, "x"]}, r"calibration_range\.1: 'x' is a text\. Write a number\."),
    ],
)
@pytest.mark.usefixtures("outside_package")
def test_options_are_validated_before_anything_runs(name: str, own: dict[str, object], message: str):
    options = {"backend": name, "device": "cpu", "options": own}
    with pytest.raises(CompileError, match=message):
        get_backend(name).check(Signature((TensorSpec("x", (1, "W")),)), options)


@pytest.mark.parametrize("device", ["CPU", "GPU.1", "AUTO", "AUTO:GPU,-CPU", "HETERO:NPU,CPU", "BATCH:GPU(4)"])
def test_devices_of_openvino_are_taken_whether_they_are_here_or_not(device: str):
    signature = Signature((TensorSpec("x", (1, "W")),))
    get_backend("openvino").check(signature, {"backend": "openvino", "options": {"device": device}})


def test_all_options_that_are_wrong_are_told_at_once():
    options = {"backend": "openvino", "options": {"blob": 1, "precison": "FP16", "device": 3}}
    with pytest.raises(Mistakes) as raised:
        get_backend("openvino").check(Signature((TensorSpec("x", (1, "W")),)), options)
    assert [error.where for error in raised.value.errors] == [
        "compile.options",
        "compile.options.blob",
        "compile.options.device",
    ]


def test_an_entry_point_that_cannot_be_imported_names_the_package(outside_package: Path):
    points = outside_package / "faulty-1.0.dist-info" / "entry_points.txt"
    points.write_text("[scaling_tasks.compilers]\nfaulty = missing_module:Backend\nlite = missing_module:Backend\n")
    with pytest.raises(CompileError, match=r"'faulty' cannot be imported.*'missing_module:Backend'"):
        get_backend("faulty")
    assert get_backend("lite").name == "lite"  # a built-in name cannot be taken over


def test_looking_up_all_built_in_backends_imports_no_compiler():
    code = (
        "import sys; from scaling_tasks.compilers.registry import BUILT_IN, get_backend\n"
        "[get_backend(name) for name in BUILT_IN]\n"
        "sys.exit(str([m for m in ('numpy', 'onnx', 'onnxruntime', 'openvino', 'nncase') if m in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
