"""Backends are found by name, wherever they come from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaling_tasks.compilers import registry
from scaling_tasks.compilers.registry import backend_names, get_backend
from scaling_tasks.errors import CompileError


def test_the_built_in_backends_are_there_and_say_their_names():
    assert {"lite", "onnxruntime", "openvino"} <= set(backend_names())
    for name in registry._BUILT_IN:
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


def test_an_entry_point_that_cannot_be_imported_names_the_package(outside_package: Path):
    points = outside_package / "faulty-1.0.dist-info" / "entry_points.txt"
    points.write_text("[scaling_tasks.compilers]\nfaulty = missing_module:Backend\nlite = missing_module:Backend\n")
    with pytest.raises(CompileError, match=r"'faulty' cannot be imported.*'missing_module:Backend'"):
        get_backend("faulty")
    assert get_backend("lite").name == "lite"  # a built-in name cannot be taken over


def test_looking_up_all_built_in_backends_imports_no_compiler():
    code = (
        "import sys; from scaling_tasks.compilers.registry import _BUILT_IN, get_backend\n"
        "[get_backend(name) for name in _BUILT_IN]\n"
        "sys.exit(str([m for m in ('numpy', 'onnx', 'onnxruntime', 'openvino', 'nncase') if m in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
