"""MindSpore Lite for real: rewriting, deterministic files, the engine in its process, finding the toolchain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.compilers import lite, lite_converter, lite_toolchain, provision_lite
from scaling_tasks.compilers.conformance_models import image_case, transformer_case
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.lite import LiteBackend
from scaling_tasks.compilers.lite_rewrite import rewrite_for_lite
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.compilers.mindir import check_mindir, sort_primitives
from scaling_tasks.engines import lite_loader, lite_python, process_worker
from scaling_tasks.engines.lite_python import PYTHON_VARIABLE, provisioned
from scaling_tasks.engines.python37 import find_python37
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, EngineError

CPU = {"backend": "lite", "device": "cpu", "options": {"dynamic": True}}


@pytest.fixture(scope="module")
def dynamic_engine(tmp_path_factory: pytest.TempPathFactory):
    """The transformer as one dynamic MindIR, and the original."""
    import onnxruntime

    try:
        find_toolchain("cpu")
    except CompileError as error:
        pytest.skip(str(error))
    directory = tmp_path_factory.mktemp("lite")
    case = transformer_case(directory)
    (unit,) = LiteBackend().units("t", case.signature, case.buckets, CPU)
    assert unit.stem == "t_dynamic"
    job = CompileJob(case.model, case.signature, unit, CPU)
    (path,) = run_job(job, directory / "w", log=directory / "l.log", timeout=100).artefact.files
    engine = load_engine("lite", path, CPU)
    yield engine, onnxruntime.InferenceSession(str(case.model))
    engine.close()


def tokens(seed: int, batch: int, length: int) -> dict[str, np.ndarray]:
    return {"tokens": np.random.default_rng(seed).random((batch, length, 16), dtype=np.float32)}


def test_the_engine_takes_any_size_and_non_contiguous_arrays(dynamic_engine):
    engine, original = dynamic_engine
    for seed, (batch, length) in enumerate([(1, 4), (3, 300), (1, 4), (2, 7)]):
        inputs = tokens(seed, batch, length)
        np.testing.assert_allclose(engine.run(inputs)["y"], original.run(None, inputs)[0], atol=1e-5)
    turned = {"tokens": np.asfortranarray(tokens(9, 2, 5)["tokens"])}
    np.testing.assert_allclose(engine.run(turned)["y"], original.run(None, turned)[0], atol=1e-5)


def test_results_do_not_change_with_later_requests(dynamic_engine):
    engine, _ = dynamic_engine
    first = engine.run(tokens(1, 1, 8))["y"]
    copy = first.copy()
    engine.run(tokens(2, 1, 8))
    np.testing.assert_array_equal(first, copy)


def test_the_engine_serves_threads(dynamic_engine):
    engine, original = dynamic_engine
    wrong: list[int] = []

    def ask(seed: int) -> None:
        inputs = tokens(seed, 1 + seed % 2, 4 + seed)
        if not np.allclose(engine.run(inputs)["y"], original.run(None, inputs)[0], atol=1e-5):
            wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_refused_request_leaves_the_engine_usable(dynamic_engine):
    engine, _ = dynamic_engine
    with pytest.raises(EngineError, match="inputs are"):
        engine.run({"other": np.zeros((1, 2, 16), np.float32)})
    assert engine.run(tokens(1, 1, 8))["y"].shape == (1, 8, 16)


def test_an_engine_whose_process_dies_says_so_and_can_be_closed(dynamic_engine):
    other = load_engine("lite", dynamic_engine[0]._path, CPU)
    other._process.kill()
    with pytest.raises(EngineError, match="made the engine's process end"):
        other.run(tokens(1, 1, 8))
    other.close()
    other.close()


def test_hard_sigmoid_and_convolution_are_spelled_out_without_changing_the_result(tmp_path: Path):
    import onnx
    import onnxruntime

    model = image_case(tmp_path).model
    rewritten = rewrite_for_lite(model, tmp_path)
    assert rewritten != model
    nodes = onnx.load(str(rewritten)).graph.node
    assert "HardSigmoid" not in {node.op_type for node in nodes}
    (convolution,) = [node for node in nodes if node.op_type == "Conv"]
    assert {"kernel_shape", "strides", "dilations"} <= {attribute.name for attribute in convolution.attribute}
    x = {"x": np.random.default_rng(3).normal(0, 3, (1, 3, 16, 32)).astype(np.float32)}
    results = [onnxruntime.InferenceSession(str(path)).run(None, x)[0] for path in (model, rewritten)]
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_a_model_that_needs_no_rewriting_is_used_as_it_is(tmp_path: Path):
    model = tmp_path / "plain.onnx"
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1,W] x) => (float[1,W] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), str(model))
    assert rewrite_for_lite(model, tmp_path) == model


def test_the_operator_that_the_converter_loses_its_way_at_is_named(tmp_path: Path):
    case = transformer_case(tmp_path)
    (unit,) = LiteBackend().units("t", case.signature, case.buckets, CPU)
    job = CompileJob(case.model, case.signature, unit, CPU)
    output = (
        "[WARNING] LITE(1,7f,python):2026-1-1-00:00:00 [a.cc:625] InferSubgraph] InferShape failed, name: a/Conv, "
        "type: Conv2DFusion\n[ERROR] LITE(1,7f,python):2026-1-1-00:00:00 [a.cc:642] Run] InferSubgraph index: 0 failed"
    )
    with pytest.raises(CompileError, match=r"no shape for what the Conv2DFusion 'a/Conv' gives.*another backend"):
        lite._refuse(1, output, job)


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


@given(st.lists(st.binary(max_size=20), max_size=10), st.randoms())
def test_primitives_in_any_order_give_one_file(primitives: list[bytes], order):
    import tempfile

    shuffled = list(primitives)
    order.shuffle(shuffled)
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for parts in (primitives, shuffled):
            path = Path(directory) / "m.mindir"
            path.write_bytes(field(1, b"v1") + b"".join(field(12, part) for part in parts) + field(7, b"graph"))
            sort_primitives(path)
            results.append(path.read_bytes())
            assert len(check_mindir(path)) == len(primitives) + 2
    assert results[0] == results[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_package_that_starts_threads_is_not_forked(threads: int, tmp_path: Path):
    try:
        python = find_toolchain("cpu").python
    except CompileError as error:
        pytest.skip(str(error))
    case = transformer_case(tmp_path)
    request = {"model": str(case.model), "framework": "ONNX", "output": str(tmp_path / "t"), "optimize": "general"}
    request |= {"input_shape": {}, "config_file": "", "load": ""}
    (tmp_path / "request.json").write_text(json.dumps(request))
    forks = tmp_path / "forks"
    code = (
        "import os, runpy, sys, threading\n"
        f"os.register_at_fork(before=lambda: open({str(forks)!r}, 'w'))\n"
        f"for _ in range({threads - 1}):\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        f"sys.argv = [{lite_converter.__file__!r}, 'convert', {str(tmp_path / 'request.json')!r}]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert check_mindir(tmp_path / "t.mindir")
    assert forks.exists() == (threads == 1)


def test_what_does_not_load_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    try:
        find_toolchain("cpu")
    except CompileError as error:
        pytest.skip(str(error))
    case = transformer_case(tmp_path)
    (unit,) = LiteBackend().units("t", case.signature, case.buckets, CPU)
    job = CompileJob(case.model, case.signature, unit, CPU)
    # Whole by its structure, and no model.
    monkeypatch.setattr("scaling_tasks.compilers.lite.sort_primitives", lambda path: path.write_bytes(field(7, b"?")))
    for name in ("refused", "accepted"):
        (tmp_path / name).mkdir()
    with pytest.raises(CompileError, match="MindSpore Lite failed: ParseFromArray failed"):
        LiteBackend().compile(job, tmp_path / "refused")
    monkeypatch.undo()
    assert LiteBackend().compile(job, tmp_path / "accepted").files[0].is_file()


@pytest.mark.parametrize("content", [b"", field(1, b"v1"), field(7, b"graph")[:-1], b"\xff" * 30, b"\x3b\x00"])
def test_what_is_no_whole_mindir_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "m.mindir").write_bytes(content)
    with pytest.raises(CompileError, match=r"m\.mindir"):
        check_mindir(tmp_path / "m.mindir")


@pytest.mark.parametrize("module", [lite_converter, lite_loader, process_worker])
def test_what_runs_under_python_37_parses_there(module: Any):
    python = find_python37()
    if python is None:
        pytest.skip("no CPython 3.7 on this machine")
    code = "import ast, sys; ast.parse(open(sys.argv[1], encoding='utf-8').read())"
    done = subprocess.run([python, "-c", code, module.__file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine without any CPython 3.7, converter or provisioned environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PYENV_ROOT", "CONDA_PREFIX", "LITE_HOME", "MSLITE_HOME", PYTHON_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for module in (lite_toolchain, lite_python):
        module._find.cache_clear()
    yield tmp_path
    for module in (lite_toolchain, lite_python):
        module._find.cache_clear()


def test_a_missing_toolchain_is_one_line_that_says_how_to_get_it(bare_machine: Path):
    with pytest.raises(CompileError, match=r"MindSpore Lite was not found.*provision_lite") as caught:
        LiteBackend().identity(CPU)
    assert "\n" not in str(caught.value)


def test_provisioning_without_python_37_says_what_is_missing_and_succeeds(bare_machine: Path):
    done = subprocess.run(
        [sys.executable, "-m", provision_lite.__name__], capture_output=True, text=True, cwd=bare_machine
    )
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert "no CPython 3.7 was found" in done.stdout
    assert "pyenv install 3.7" in done.stdout
    assert not (bare_machine / ".toolchains").exists()


def test_an_explicit_python_without_the_package_is_an_error_not_a_guess(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    with pytest.raises(CompileError, match=f"{PYTHON_VARIABLE}=.*cannot import mindspore_lite"):
        find_toolchain("cpu")


def test_an_interpreter_that_does_not_run_is_passed_over(bare_machine: Path, monkeypatch: pytest.MonkeyPatch):
    shim = bare_machine / "empty" / "python3.7"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert find_python37() is None
    good = bare_machine / ".pyenv" / "versions" / "3.7.9" / "bin" / "python"
    good.parent.mkdir(parents=True)
    good.write_text("#!/bin/sh\necho 3.7\n")
    good.chmod(0o755)
    assert find_python37() == good


def test_a_provisioned_environment_is_found_from_below_without_starting_it(bare_machine: Path):
    environment = bare_machine / ".toolchains" / "mindspore-lite"
    (environment / "lib/python3.7/site-packages/mindspore_lite-2.0.0.dist-info").mkdir(parents=True)
    below = bare_machine / "a" / "b"
    below.mkdir(parents=True)
    os.chdir(below)
    assert provisioned(below) == (environment / "bin" / "python", "2.0.0")
    assert LiteBackend().identity(CPU)["mindspore_lite"] == "2.0.0"
    assert provision_lite.provision(bare_machine).startswith("MindSpore Lite 2.0.0 is ready")
