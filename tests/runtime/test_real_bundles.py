"""Bundles of real models on real engines: answers at true sizes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import BundleError, CompileError
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.original import OriginalModel, random_inputs
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.manifest import ArtefactFile, Fallback, make_manifest


def build(
    model: Path,
    backend_name: str,
    input_shape: list[int],
    buckets: Sequence[tuple[int, ...]],
    directory: Path,
    **own_options: object,
) -> Path:
    """Compile and bundle a model as it is, padding accepted; in this process where the compiler allows it."""
    backend, signature = get_backend(backend_name), read_signature(model, {"x": input_shape})
    options = {"backend": backend_name, "device": "cpu", "soc_version": "Ascend310P3", "options": own_options}
    directory.mkdir(parents=True)
    artefacts = []
    for unit in backend.units(model.stem, signature.inputs, buckets, options):
        workdir = directory / f"work-{unit.name}"
        job = CompileJob(model.resolve(), signature.inputs, unit, options)
        if backend_name == "nncase":
            made = run_job(job, workdir, log=directory / f"{unit.name}.log", timeout=300).artefact
        else:
            workdir.mkdir()
            made = backend.compile(job, workdir)
        moved = [Path(shutil.move(path, directory / path.name)) for path in made.files]
        artefacts.append((unit, [ArtefactFile(path.name, digest_file(path)) for path in moved]))
    shutil.copy(model, directory / "dynamic.onnx")
    fallback = Fallback("openvino", ArtefactFile("dynamic.onnx", digest_file(model)), {})
    behaviour = analyse_model(model, input_shape={"x": input_shape}).behaviour.accepted()
    manifest = make_manifest(
        model.stem, backend_name, options, signature, behaviour, artefacts, {}, oversize="fallback", fallback=fallback
    )
    (directory / "manifest.json").write_text(manifest.to_json())
    return directory


@pytest.fixture(scope="module")
def recogniser(ocr_models: Path) -> Path:
    return ocr_models / "ch_PP-OCRv4_rec_infer.onnx"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "lite"])
def test_recogniser_bundle(recogniser: Path, backend: str, tmp_path: Path) -> None:
    try:
        get_backend(backend).identity({"backend": backend, "device": "cpu", "options": {}})
    except CompileError as missing:
        pytest.skip(str(missing))
    shape, buckets = [-1, 3, 48, -1], [(1, 64), (2, 64), (1, 128)]
    directory = build(recogniser, backend, shape, buckets, tmp_path / "bundle")
    signature = read_signature(recogniser, {"x": shape}).inputs
    original = OriginalModel(recogniser)
    with load_bundle(directory) as model:
        for count, width in ((1, 64), (2, 64), (5, 64), (1, 128), (1, 200)):
            inputs = random_inputs(signature, {"N": count, "W": width}, seed=width)
            (found,), (wanted,) = model.run(inputs).values(), original.run(inputs).values()
            assert found.shape == wanted.shape
            # Without padding the answer is the original's; 200 is served by the dynamic model.
            np.testing.assert_allclose(found, wanted, atol=2e-4)
        requests = [random_inputs(signature, {"N": 1, "W": width}, seed=width) for width in (63, 20, 101, 40)]
        together = model.run_many(requests)
        for request, result in zip(requests, together, strict=True):
            (found,), (wanted,) = result.values(), original.run(request).values()
            assert found.shape == wanted.shape
        assert model.stats().oversize == {"batch": 1, "fallback": 1}


def test_the_detector_keeps_its_size(ocr_models: Path, tmp_path: Path) -> None:
    directory = build(
        ocr_models / "ch_PP-OCRv4_det_infer.onnx", "openvino", [1, 3, -1, -1], [(64, 96), (96, 96)], tmp_path / "b"
    )
    with load_bundle(directory, warm_up=True) as model:
        assert model.select({"H": 65, "W": 32}) == {"H": 96, "W": 96}
        (found,) = model.run({"x": np.zeros((1, 3, 64, 64), np.float32)}).values()
        assert found.shape == (1, 1, 64, 64)
        with pytest.raises(BundleError, match="no bucket contains"):
            model.select({"H": 200})
