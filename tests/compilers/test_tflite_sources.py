"""TFLite models as sources."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import scaling_tasks as st
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.config.load import parse_target
from scaling_tasks.doit_plugin.run_targets import run_targets
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, ModelError
from scaling_tasks.onnx_model.tflite import TfliteEngine, output_names, read_tflite, write_fixed_tflite
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature
from tests.compilers.tiny_tflite import write_tiny_tflite

pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dynamic model."""
    return write_tiny_tflite(tmp_path_factory.mktemp("tflite") / "small.tflite")


def numbers(length: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(length).random((1, length, 8), dtype=np.float32)}


def test_the_open_dimension_is_the_variable_minus_one(model: Path):
    assert read_tflite(model) == Signature((TensorSpec("x", (1, "-1", 8)),))
    assert output_names(model) == ["y"]


def test_the_reference_takes_any_size(model: Path):
    engine = TfliteEngine(model)
    assert [engine.run(numbers(length))["y"].shape for length in (3, 7, 3)] == [(1, 3, 8), (1, 7, 8), (1, 3, 8)]
    engine.close()


def test_a_fixed_model_computes_the_same(model: Path, tmp_path: Path):
    fixed = write_fixed_tflite(model, {"x": (1, 5, 8)}, tmp_path / "fixed.tflite")
    assert read_tflite(fixed).variables == ()
    np.testing.assert_array_equal(TfliteEngine(fixed).run(numbers(5))["y"], TfliteEngine(model).run(numbers(5))["y"])


@pytest.mark.parametrize("shapes", [{"z": (1, 5, 8)}, {"x": (1, 5, 9)}])
def test_shapes_that_do_not_fit_are_refused(model: Path, tmp_path: Path, shapes):
    with pytest.raises(ModelError, match=r"small\.tflite: (has no input 'z'|cannot take the shapes)"):
        write_fixed_tflite(model, shapes, tmp_path / "fixed.tflite")


def test_a_file_that_is_no_model_is_named(tmp_path: Path):
    (tmp_path / "m.tflite").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"m\.tflite: not a readable TFLite model"):
        read_tflite(tmp_path / "m.tflite")


OPTIONS = {
    "lite": {"backend": "lite", "device": "cpu"},
    "nncase": {"backend": "nncase", "options": {"target": "cpu"}},
}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_bucket_equals_the_tflite_interpreter(name: str, model: Path, tmp_path: Path):
    options = OPTIONS[name]
    backend = get_backend(name)
    try:
        backend.identity(options)
    except CompileError as error:
        pytest.skip(str(error))
    signature = read_tflite(model)
    reference = TfliteEngine(model)
    units = backend.units("small", signature, [(4,), (9,)], options)
    assert [unit.stem for unit in units] == ["small_-1-4", "small_-1-9"]
    for unit in units:
        job = CompileJob(model, signature, unit, options)
        files = run_job(job, tmp_path / unit.name, log=tmp_path / "l.log", timeout=100).artefact.files
        engine = load_engine(backend.engine, files[0], options)
        inputs = numbers(unit.buckets[0][0])
        np.testing.assert_allclose(engine.run(inputs)["y"], reference.run(inputs)["y"], atol=1e-4)
        engine.close()


def test_a_target_is_built_from_it(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/small.tflite").write_bytes(model.read_bytes())
    monkeypatch.chdir(tmp_path)
    backend = "nncase" if importlib.util.find_spec("nncase") else "lite"
    options = {"options": {"target": "cpu"}} if backend == "nncase" else {"device": "cpu"}
    spec = {
        "name": "small",
        "model": "models/small.tflite",
        "shape_bucket": {"shape_bucket_range_info": {"-1": [1, 20]}, "shape_bucket_segments_count": 2},
        "compile": {"backend": backend, **options},
        # The graph of a TFLite model is not followed, so that what padding does to answers is not known.
        "runtime": {"padding": "accept"},
    }
    monkeypatch.delenv("SCALING_TASKS_JOBS", raising=False)
    assert run_targets([Target(parse_target(spec))], jobs=1) == 0
    assert "SCALING_TASKS_JOBS" not in os.environ
    with st.load_bundle("build/small") as bundle:
        inputs = np.random.default_rng(0).normal(size=(1, 13, 8)).astype(np.float32)
        (answer,) = bundle.run({"x": inputs}).values()
    (expected,) = TfliteEngine(model).run({"x": inputs}).values()
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_the_fix_map_is_honoured(model: Path) -> None:
    spec = {"model": str(model), "shape_bucket": {"shape_bucket_enable": False, "shape_bucket_fix_var_map": {"-1": 7}}}
    assert target_signature(Target(parse_target(spec))).inputs.inputs[0].dims == (1, 7, 8)


def test_a_model_that_ends_its_interpreter_ends_nothing_else(tmp_path: Path):
    """The root table lies where its own list of fields should: found by fuzzing."""
    path = write_tiny_tflite(tmp_path / "forged.tflite")
    content = bytearray(path.read_bytes())
    content[10] = 6
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"forged\.tflite: .* is ended by SIGSEGV"):
        read_tflite(path)
